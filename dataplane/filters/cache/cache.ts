import { readBody } from '../../pipeline/body.ts'
import type { Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { Kind } from '../../pipeline/headers.ts'
import { chooseVariant } from '../../pipeline/variant.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import type { Filter, Outcome } from '../filter.ts'
import { computes } from './asks.ts'
import { find, give, isGood, mark, type Asked, type Built } from './give.ts'
import { forgetChanged, miss } from './miss.ts'
import { createQuestions } from './question.ts'
import { createSemantic } from './semantic.ts'
import { wishesOf, type Wishes } from './wishes.ts'

/** Larger bodies are not looked at: what is in them would be hashed between the packets of others. Bytes. */
const bodyMax = 1_048_576

/** Answers with what was answered before. After everything that may refuse a request, and before all that is done with it. */
export const cache: Filter = {
  name: 'cache',
  build({ route, rule }, { caches, call }) {
    if (rule.cache === undefined) return undefined
    const cache = caches.of(route, rule, rule.cache)
    const { semantic } = rule.cache
    const built: Built = {
      cache,
      semantic: semantic && createSemantic(route, rule, semantic, cache, { call, tell: caches.tell }),
      questions: createQuestions(route, rule, rule.cache),
      ownCookie: rule.split?.by === 'Cookie' ? rule.split.name : undefined,
    }
    return function answerFromCache(exchange) {
      const wishes = wishesOf(exchange, built.ownCookie)
      const why = bars(exchange, wishes)
      if (why !== undefined) return pass(exchange, why, built)
      const { rule: ofTable } = exchange
      const variant = ofTable && chooseVariant(exchange, ofTable)
      if (ofTable === undefined || variant === undefined) return undefined
      const asked: Asked = { exchange, rule: ofTable, variant, wishes, beginning: built.questions.begin(exchange, wishes, variant, built.cache) }
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

function pass(exchange: Exchange, why: string, { cache }: Built): undefined {
  mark(exchange, { result: 'bypass', why })
  if (!safe.has(exchange.method)) forgetChanged(exchange, cache)
  exchange.explaining?.set('cache', `not asked: ${why}`)
  if (exchange.told !== undefined) exchange.told.cache = { result: 'bypass', why }
  return undefined
}

/** RFC 9110 section 9.2.1. */
const safe = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

function look(asked: Asked, body: Buffer | Failure, built: Built): Outcome | Promise<Outcome> {
  if ('code' in body) return body
  const { exchange, beginning, wishes } = asked
  if (body.length > bodyMax) return pass(exchange, 'its body is large', built)
  const { cache, questions } = built
  const plain = questions.plain(beginning, body)
  const entry = find(cache, plain, exchange)
  const now = Date.now()
  if (entry !== undefined && isGood(entry, wishes, now)) return give(asked, plain, entry, built, { result: 'hit' }, now)
  if (body.length === 0) return miss({ ...asked, key: plain, alias: undefined, old: entry }, built, 0)
  const same = questions.same(beginning, body, exchange, wishes)
  if ('why' in same) return pass(exchange, same.why, built)
  const { key, asks } = same
  if (key === plain) return miss({ ...asked, key, alias: undefined, old: entry }, built, 0)
  const other = find(cache, key, exchange)
  if (other === undefined || !isGood(other, wishes)) return miss({ ...asked, key, alias: plain, old: other, asks }, built, 0)
  if (exchange.explaining === undefined) cache.memory.set(plain, { kind: 'alias', key })
  return give(asked, key, other, built)
}
