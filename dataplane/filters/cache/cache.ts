import type { RuleCache } from '../../cache/caches.ts'
import { ageAt, type Entry } from '../../cache/entry.ts'
import { readBody } from '../../pipeline/body.ts'
import type { Failure } from '../../pipeline/errors.ts'
import type { Cached, Exchange, HeadTap } from '../../pipeline/exchange.ts'
import { Kind } from '../../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../../pipeline/rule.ts'
import { chooseVariant } from '../../pipeline/variant.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { Served } from '../../upstream/served.ts'
import type { Filter, Outcome } from '../filter.ts'
import { madeOf } from './answers.ts'
import { computes } from './asks.ts'
import { createQuestions, variedKey, type Questions } from './question.ts'
import { recording } from './recording.ts'
import { takes, wishesOf, type Wishes } from './wishes.ts'

/** Larger bodies are not looked at: what is in them would be hashed between the packets of others. Bytes. */
const bodyMax = 1_048_576

type Built = Readonly<{ cache: RuleCache; questions: Questions; ownCookie: string | undefined }>
/** A request that may be answered with what was kept. */
type Asked = Readonly<{ exchange: Exchange; rule: BuiltRule; variant: BuiltVariant; wishes: Wishes; beginning: string }>

/** Answers with what was answered before. After everything that may refuse a request, and before all that is done with it. */
export const cache: Filter = {
  name: 'cache',
  build({ route, rule }, { caches }) {
    if (rule.cache === undefined) return undefined
    const built: Built = {
      cache: caches.of(route, rule, rule.cache),
      questions: createQuestions(route, rule, rule.cache),
      ownCookie: rule.split?.by === 'Cookie' ? rule.split.name : undefined,
    }
    return function answerFromCache(exchange) {
      const wishes = wishesOf(exchange, built.ownCookie)
      const why = bars(exchange, wishes)
      if (why !== undefined) return pass(exchange, why)
      const { rule: ofTable } = exchange
      const variant = ofTable && chooseVariant(exchange, ofTable)
      if (ofTable === undefined || variant === undefined) return undefined
      const asked: Asked = { exchange, rule: ofTable, variant, wishes, beginning: built.questions.begin(exchange, wishes, variant) }
      const body = readBody(exchange)
      return body instanceof Promise ? body.then((settled) => look(asked, settled, built)) : look(asked, body, built)
    }
  },
}

/** Why a request is none that a cache can answer, as far as its head tells. */
function bars({ method, received, rule, body }: Exchange, { control, type, encoding, partly }: Wishes): string | undefined {
  if ((received.seen & (1 << Kind.upgrade)) !== 0) return 'it asks for a tunnel'
  if (method === 'POST') {
    if (!computes(received.path, type)) return 'it may change something'
    if (encoding !== '' && encoding !== 'identity') return 'its body is packed'
    const length = body?.length ?? received.bodyLength
    if (length === 'chunked') {
      if (rule === undefined || !Number.isFinite(rule.requestMax)) return 'the length of its body is not known'
    } else if (length > bodyMax) return 'its body is large'
  } else if (method !== 'GET' && method !== 'HEAD') return 'its method'
  else if (received.bodyLength !== 0) return 'its body'
  else if (isGrpc(type)) return 'its method'
  if (control.has('no-store')) return 'no-store'
  return partly ? 'it asks for a part' : undefined
}

function pass(exchange: Exchange, why: string): undefined {
  mark(exchange, { result: 'bypass', why })
  exchange.explaining?.set('cache', `not asked: ${why}`)
  return undefined
}

function mark(exchange: Exchange, cached: Cached): void {
  exchange.cached = cached
  ;(exchange.headTaps ??= []).push(cached.result === 'bypass' ? tellBypass : cached.result === 'miss' ? tellMiss : tellHit)
}

const tellBypass: HeadTap = (_, headers) => { headers.push('x-modelroute-cache', 'bypass') }
const tellMiss: HeadTap = (_, headers) => { headers.push('x-modelroute-cache', 'miss') }
const tellHit: HeadTap = (_, headers) => { headers.push('x-modelroute-cache', 'hit') }

function look(asked: Asked, body: Buffer | Failure, built: Built): Outcome | Promise<Outcome> {
  if ('code' in body) return body
  const { exchange, wishes, beginning } = asked
  if (body.length > bodyMax) return pass(exchange, 'its body is large')
  const { cache, questions } = built
  const plain = questions.plain(beginning, body, wishes)
  const entry = find(cache, plain, exchange)
  if (entry !== undefined && isGood(entry, wishes)) return hit(asked, entry, built)
  if (body.length === 0) return miss(asked, plain, undefined, built, 0)
  const same = questions.same(beginning, body, exchange, wishes)
  if ('why' in same) return pass(exchange, same.why)
  const { key } = same
  if (key === plain) return miss(asked, key, undefined, built, 0)
  const other = find(cache, key, exchange)
  if (other === undefined || !isGood(other, wishes)) return miss(asked, key, plain, built, 0)
  cache.memory.set(plain, { kind: 'alias', key })
  return hit(asked, other, built)
}

const find = (cache: RuleCache, key: string, { received }: Exchange) => cache.find(key, (at, names) => variedKey(at, names, received.headers))

function isGood(entry: Entry, wishes: Wishes): boolean {
  const age = ageAt(entry, Date.now())
  return !entry.always && age < entry.lifetime && takes(wishes, age, entry.lifetime)
}

function hit({ exchange, rule, wishes }: Asked, entry: Entry, { cache: { policy } }: Built): Outcome {
  const now = Date.now()
  const age = Math.floor(ageAt(entry, now) / 1000)
  exchange.explaining?.set('cache', `hit: ${age} s old, of ${Math.floor(entry.lifetime / 1000)} s`)
  mark(exchange, { result: 'hit', age, billed: policy.billed / 100, backendSeconds: entry.backendSeconds })
  const made = madeOf(entry, exchange.method, wishes, now)
  return new Served(exchange, rule, () => made)
}

/** How often a request waits for another one like it, before it goes itself. */
const waitsMax = 3

function miss(asked: Asked, key: string, alias: string | undefined, built: Built, waits: number): Outcome | Promise<Outcome> {
  const { exchange, wishes, variant } = asked
  const { cache } = built
  if (exchange.explaining !== undefined) {
    exchange.explaining.set('cache', 'miss: nothing is kept for it')
    return undefined
  }
  const before = waits < waitsMax && wishes.control.size === 0 ? cache.flights.under(key) : undefined
  if (before !== undefined) {
    return new Promise<Outcome>((resolve) => {
      const leave = before.join((landing) => {
        if (landing === 'unkept') resolve(go())
        else {
          const entry = find(cache, key, exchange)
          resolve(entry !== undefined && isGood(entry, wishes) ? hit(asked, entry, built) : miss(asked, key, alias, built, waits + 1))
        }
      })
      exchange.onEnd(leave)
    })
  }
  return go()

  function go(): undefined {
    mark(exchange, { result: 'miss' })
    if (exchange.method === 'HEAD') return undefined
    const flight = cache.flights.under(key) === undefined ? cache.flights.begin(key, performance.now()) : undefined
    exchange.onEnd(() => flight?.land('failed'))
    ;(exchange.stages ??= []).push(recording({
      exchange, cache, variant, wishes, key, alias, flight, mark: cache.floor, asked: Date.now(),
      credential: wishes.credentials.length > 0 && (cache.policy.scope !== 'Principal'),
    }))
    return undefined
  }
}
