import type { RuleCache, Varied } from '../../cache/caches.ts'
import { ageAt, type Entry } from '../../cache/entry.ts'
import type { Cached } from '../../pipeline/cached.ts'
import type { Exchange, HeadTap } from '../../pipeline/exchange.ts'
import type { BuiltRule, BuiltVariant } from '../../pipeline/rule.ts'
import { Served } from '../../upstream/served.ts'
import { madeOf } from './answers.ts'
import { variedKey, type Beginning, type Questions } from './question.ts'
import type { Semantic } from './semantic.ts'
import { takes, type Wishes } from './wishes.ts'

/** The cache of one rule. */
export type Built = Readonly<{ cache: RuleCache; questions: Questions; semantic: Semantic | undefined; ownCookie: string | undefined }>
/** A request that may be answered with what was kept. */
export type Asked = Readonly<{ exchange: Exchange; rule: BuiltRule; variant: BuiltVariant; wishes: Wishes; beginning: Beginning }>

/** What the request has to do with the cache; its answer says so. */
export function mark(exchange: Exchange, cached: Cached): void {
  const first = exchange.cached === undefined
  exchange.cached = cached
  if (!first) return
  const tell: HeadTap = (_, headers) => {
    const result = exchange.cached?.result ?? 'bypass'
    headers.push('x-modelroute-cache', result === 'stale' ? 'hit' : result)
    if (exchange.cached?.similarity !== undefined) headers.push('x-modelroute-cache-similarity', exchange.cached.similarity.toFixed(4))
  }
  ;(exchange.headTaps ??= []).push(tell)
}

const varied = ({ received }: Exchange): Varied => (at, names) => variedKey(at, names, received.headers)

/** What is kept under a key, however old. */
export const find = (cache: RuleCache, key: string, exchange: Exchange): Entry | undefined => cache.find(key, varied(exchange), exchange.explaining !== undefined)
/** The same in the store that proxies share. */
export const fetch = (cache: RuleCache, key: string, exchange: Exchange): Promise<Entry | undefined> | undefined => cache.fetch(key, varied(exchange))

/** There too, for a request that is only imagined. */
export const look = (cache: RuleCache, key: string, exchange: Exchange): Promise<Entry | undefined> => cache.look(key, varied(exchange))

export const isGood = (entry: Entry, wishes: Wishes, now = Date.now()): boolean => takes(wishes, entry, ageAt(entry, now))

/** As what an answer is given: `why` is for the log. */
type As = Readonly<Pick<Cached, 'why' | 'similarity'> & { result: 'hit' | 'semantic-hit' | 'stale' }>

/** Enough of a key to know it again. */
export const nameOf = (key: string): string => Buffer.from(key, 'latin1').toString('hex', 0, 8)

/** Says of a request that it is answered with what is kept. */
export function markGiven(exchange: Exchange, entry: Entry, { cache: { policy } }: Built, as: As, now = Date.now()): void {
  const age = Math.floor(ageAt(entry, now) / 1000)
  mark(exchange, { ...as, age, billed: policy.billed / 100, backendSeconds: entry.backendSeconds })
  exchange.generated = entry.generated && { ...entry.generated }
}

/** Answers with what is kept under a key. */
export function give({ exchange, rule, wishes }: Asked, key: string, entry: Entry, built: Built, as: As = { result: 'hit' }, now = Date.now()): Served {
  if (exchange.told !== undefined && as.result !== 'stale') {
    const [age, lifetime] = [ageAt(entry, now), entry.lifetime].map((milliseconds) => Math.floor(milliseconds / 1000))
    exchange.explaining?.set('cache', `${as.result}: ${age} s old, of ${lifetime} s, under ${nameOf(key)}`)
    exchange.told.cache = { result: as.result, key: nameOf(key), ...(age !== undefined && { age }), ...(lifetime !== undefined && { lifetime }) }
  }
  markGiven(exchange, entry, built, as, now)
  return new Served(exchange, rule, madeOf(entry, exchange.method, wishes, now))
}
