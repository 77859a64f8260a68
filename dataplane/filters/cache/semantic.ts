import type { Cache } from '../../../table/cache.ts'
import type { Route, Rule } from '../../../table/route.ts'
import type { RuleCache, Tell } from '../../cache/caches.ts'
import type { Entry } from '../../cache/entry.ts'
import { createEmbed, type Embed } from '../../cache/semantic/embedding.ts'
import { meaningOf, sameMeaning, sameNumbers } from '../../cache/semantic/meaning.ts'
import type { Neighbour } from '../../cache/semantic/near.ts'
import type { TextPlace } from '../../cache/shared.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { BuiltRule } from '../../pipeline/rule.ts'
import type { CallVariant } from '../../upstream/call.ts'
import type { Asking } from './question.ts'

/** An answer to a text that means the same, and its key. */
export type Similar = Neighbour & Readonly<{ entry: Entry }>
/** `place`: where the text stands, for the answer that is to come. Undefined: nobody could say. */
export type Sought = Readonly<{ similar?: Similar | undefined; place?: TextPlace | undefined }>

/** What is kept under a key and may be given now: in this process, or in the store that proxies share. */
export type Answers = Readonly<{ here(key: string): Entry | undefined; anywhere(key: string): Promise<Entry | undefined> | undefined }>

export type Semantic = Readonly<{
  /** Looks for an answer to a text that means the same. Undefined: nothing is compared now. Never rejects. */
  seek(key: string, asks: (() => Asking | undefined) | undefined, exchange: Exchange, answers: Answers): Promise<Sought> | Sought | undefined
  /** Whether this hit is one of those for which the model is asked as well. */
  draws(): boolean
  /** Counts what such a hit was worth. */
  verify(similar: Similar, answer: Entry): Promise<void>
}>

type Settings = NonNullable<Cache['semantic']>

/** @param tell of what whoever runs the rule must know */
export function createSemantic(
  route: Route, rule: Rule, settings: Settings, cache: RuleCache, { call, tell }: Readonly<{ call: CallVariant; tell: Tell }>, chance = Math.random,
): Semantic {
  const { threshold, verify, wrong: most, embedding, model } = settings
  let of: BuiltRule | undefined
  let embed: Embed = async () => undefined

  /** By the rule that a request came by: it is built with what is asked for vectors. */
  function follow(built: BuiltRule | undefined): void {
    if (built === undefined || built === of) return
    of = built
    const variant = built.callees.find(({ name }) => name === embedding.name)
    if (variant === undefined) return
    embed = createEmbed((ask, terms) => call(built, variant, ask, terms), model, () => performance.now(), (why) => {
      tell('the semantic cache gets no vectors', { route: route.id, rule: rule.name, why })
    })
  }

  async function seekBy({ text, words, partition }: Asking, exchange: Exchange, { here, anywhere }: Answers): Promise<Sought> {
    follow(exchange.rule)
    const vector = await embed(text, exchange)
    if (vector === undefined) return {}
    const place = { partition, words, vector }
    for (const near of cache.around(place, threshold)) {
      const entry = here(near.key)
      if (entry !== undefined) return { similar: { ...near, entry }, place }
    }
    for (const near of await cache.aroundElsewhere(place, threshold) ?? []) {
      const entry = here(near.key) ?? await anywhere(near.key)
      if (entry !== undefined) return { similar: { ...near, entry }, place }
    }
    return { place }
  }

  return {
    seek(key, asks, exchange, answers) {
      if (cache.trust.lost) return undefined
      const before = cache.likeness(key)
      const entry = before && answers.here(before.key)
      if (before !== undefined && entry !== undefined) return { similar: { ...before, entry } }
      const asking = asks?.()
      return asking && seekBy(asking, exchange, answers)
    },
    draws: () => chance() < verify,
    async verify({ entry, similarity }, answer) {
      const [kept, fresh] = [meaningOf(entry), meaningOf(answer)]
      let agree = sameMeaning(kept, fresh)
      if (!agree && sameNumbers(kept, fresh)) {
        const [one, other] = [await embed(kept, undefined), await embed(fresh, undefined)]
        if (one === undefined || other === undefined) return
        agree = one.length === other.length && product(one, other) >= threshold
      }
      if (cache.trust.count(!agree, most)) {
        tell('the semantic cache is off: too many of its hits were false', { route: route.id, rule: rule.name, ...cache.trust.totals, similarity })
      }
    },
  }
}

const product = (one: Float32Array, other: Float32Array) => one.reduce((sum, value, at) => sum + value * (other[at] ?? 0), 0)
