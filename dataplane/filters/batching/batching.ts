import type { Batching } from '../../../table/batching.ts'
import { Batches } from '../../batching/batches.ts'
import type { BatchCall, Member, Settled } from '../../batching/batch.ts'
import { formOf } from '../../batching/forms.ts'
import { headOf } from '../../batching/heads.ts'
import type { ReadSingle, Single } from '../../batching/single.ts'
import { timerMax } from '../../clock.ts'
import { Unreadable, worked } from '../../json/text.ts'
import { readBody, readLimit } from '../../pipeline/body.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { Kind, valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../../pipeline/rule.ts'
import { chooseVariant } from '../../pipeline/variant.ts'
import { isPlain } from '../../protocols/encodings.ts'
import type { Series } from '../../telemetry/series.ts'
import { calleeOf } from '../../upstream/call.ts'
import { late } from '../../upstream/again.ts'
import { Patience } from '../../upstream/patience.ts'
import { Served } from '../../upstream/served.ts'
import type { Filter, Outcome } from '../filter.ts'

/** Larger requests are no single predictions, and gain nothing. Bytes. */
const bodyMax = 262_144

/** Has single predictions wait for others like them, and asks for all of them in one call. The last of the filters. */
export const batching: Filter = {
  name: 'batching',
  build({ rule }) {
    const terms = rule.batching
    if (terms === undefined) return undefined
    const batches = new Batches(terms)
    const callees = new Map<Series, BuiltRule>()
    return function joinOthers(exchange) {
      const { rule: built } = exchange
      const variant = built && chooseVariant(exchange, built)
      if (built === undefined || variant?.backend === undefined) return undefined
      const read = formOf(exchange.path)
      const why = read === undefined ? 'it does not ask for predictions' : bars(exchange)
      if (read === undefined || why !== undefined) return pass(exchange, why ?? '')
      const at: Place = { exchange, rule: built, variant, terms, batches, callees }
      const begin = (): Outcome | Promise<Outcome> => {
        const body = readBody(exchange)
        return body instanceof Promise ? body.then((settled) => look(at, settled, read)) : look(at, body, read)
      }
      // What the variant would not take must not spoil it for the others.
      return exchange.fits === undefined ? begin() : exchange.fits(built, variant).then((unfit) => unfit ?? begin())
    }
  },
}

type Place = Readonly<{ exchange: Exchange; rule: BuiltRule; variant: BuiltVariant; terms: Batching; batches: Batches; callees: Map<Series, BuiltRule> }>

/** Why it cannot wait for others, as far as its head tells. */
function bars({ method, received, body }: Exchange): string | undefined {
  if (method !== 'POST') return 'its method'
  if ((received.seen & (1 << Kind.upgrade)) !== 0) return 'it asks for a tunnel'
  if (!isPlain(valueOf(received.headers, 'content-encoding'))) return 'its body is packed'
  const length = body?.length ?? received.bodyLength
  return length !== 'chunked' && length > bodyMax ? 'its body is large' : undefined
}

function pass(exchange: Exchange, why: string): undefined {
  exchange.batched = { result: 'bypass', why }
  exchange.explaining?.set('batching', `goes alone: ${why}`)
  return undefined
}

function look(at: Place, body: Buffer | Failure, read: ReadSingle): Outcome | Promise<Outcome> {
  if ('code' in body) return body
  const { exchange } = at
  if (body.length > bodyMax) return pass(exchange, 'its body is large')
  const found = worked(read(body, exchange.received.headers), body.length)
  return found instanceof Promise ? found.then((single) => wait(at, single, body.length)) : wait(at, found, body.length)
}

function wait(at: Place, single: Single | string | Unreadable, bytes: number): Outcome | Promise<Outcome> {
  const { exchange, rule, variant, terms, batches } = at
  if (typeof single === 'string') return pass(exchange, single)
  if (single instanceof Unreadable) return pass(exchange, 'its body cannot be read')
  exchange.rows = single.rows
  const since = performance.now()
  const { headers, key: ofHead } = headOf(exchange, variant.name, terms, rule.deadlineHeader)
  const key = `${ofHead}\n${single.kind}`
  const why = batches.bars(key, { rows: single.rows, bytes }, since)
  if (why !== undefined) return pass(exchange, why)
  if (exchange.explaining !== undefined) {
    exchange.explaining.set('batching', `waits up to ${terms.maxDelay} ms for others like it, in a call of up to ${terms.maxSize} rows`)
    return undefined
  }
  const patience = new Patience(rule, exchange.received.headers, false, exchange.startedAt)
  // It is refused for that on the way of every request.
  if (patience.unreadable) return undefined
  const call = callOf(at, headers)
  const { batches: counts } = call.series
  return new Promise<Outcome>((resolve) => {
    let timer: NodeJS.Timeout | undefined
    let over = false
    const end = (outcome: Outcome) => {
      if (over) return
      over = true
      clearTimeout(timer)
      batches.release(member)
      counts.waiting--
      resolve(outcome)
    }
    const leave = (outcome: Outcome) => {
      if (over) return
      // It may have been asked for already: that it was too slow counts against the backend.
      exchange.upstreamStartedAt = member.batch?.sentAt ?? 0
      batches.leave(key, member)
      end(outcome)
    }
    const member: Member = { single, bytes, since, batch: undefined, spans: exchange.spans, settle: (settled) => end(outcomeOf(at, settled)) }
    if (patience.limit < Number.POSITIVE_INFINITY) timer = setTimeout(() => leave(late), Math.max(1, Math.min(patience.limit - since, timerMax)))
    counts.waiting++
    batches.add(key, member, call)
    exchange.onEnd(() => leave(gone))
  })
}

const gone = failure('client_closed', 'The client is gone.')

/** Bytes of an answer for several. */
const answerMax = 67_108_864

function callOf({ exchange, rule, variant, terms: { maxSize }, callees }: Place, headers: FlatHeaders): BatchCall {
  const { received: { authority, path, query } } = exchange
  const series = rule.series(exchange.asked, variant)
  let callee = callees.get(series)
  if (callee === undefined) {
    callee = calleeOf(rule, variant, series)
    callees.set(series, callee)
  }
  const max = readLimit(rule.responseMax)
  return { callee, passesOn: rule.next !== undefined, series, who: exchange, authority, path, query, headers, maxBytes: Math.max(max, Math.min(max * maxSize, answerMax)) }
}

function outcomeOf({ exchange, rule }: Place, { answer, batched, startedAt, endedAt }: Settled): Outcome {
  exchange.batched = batched
  if (answer === undefined) return undefined
  exchange.upstreamStartedAt = startedAt
  exchange.upstreamEndedAt = endedAt
  if (!('code' in answer)) return new Served(exchange, rule, () => answer)
  exchange.cause = answer.cause ?? ''
  return answer
}
