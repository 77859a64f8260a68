import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { isGrpc } from '../protocols/grpc.ts'
import type { Part } from './body.ts'
import { Kept } from './kept.ts'
import type { Room } from './room.ts'

/** One request that is over, with what it was answered. Times are in milliseconds since 1970. */
export type Seen = Readonly<{
  route: string
  rule: string
  variant: string
  model: string
  modelVersion: string
  /** The same as far as the route knows it, of which there are only so many. */
  knownVersion: string
  requestId: string
  /** What callers that log on their own call it (CloudEvents, HTTP protocol binding). */
  eventId: string | undefined
  /** W3C Trace Context. */
  traceparent: string | undefined
  status: number
  cache: string | undefined
  askedAt: number
  answeredAt: number
  asked: Part
  /** Undefined: it was not answered, or by an error. */
  answered: Part | undefined
  /** There was no room for all of it. */
  lost: boolean
  /** Gives its room back; called once. */
  release(): void
}>

const sane = /^[A-Za-z0-9\-._~:+/=@]{1,128}$/

/**
 * Keeps what is said of a request and its answer while they pass by.
 * @param max bytes that are kept of each body
 * @param over called once, when the answer is out or its client gone
 */
export function watchExchange(exchange: Exchange, room: Room, max: number, over: (seen: Seen) => void): void {
  const [asked, answer] = [new Kept(room, max), new Kept(room, max)]
  // What comes after may change them for the backend.
  const headers = [...exchange.received.headers]
  let status = 0
  let answerHeaders: Readonly<FlatHeaders> = []
  const { body, received: { bodyLength } } = exchange
  if (body !== undefined) asked.push(body, false)
  else if (bodyLength !== 0) exchange.tapBody((chunk, lent) => { if (chunk !== undefined) asked.push(chunk, lent) })
  ;(exchange.headTaps ??= []).push((code, told) => {
    status = code
    answerHeaders = [...told]
  })
  ;(exchange.glances ??= []).push((chunk) => answer.push(chunk, true))
  exchange.onEnd(() => {
    const now = Date.now()
    over({
      ...namesOf(exchange), requestId: exchange.requestId, eventId: eventIdOf(headers), traceparent: traceparentOf(exchange),
      status, cache: exchange.cached?.result, askedAt: Math.round(now - (performance.now() - exchange.startedAt)), answeredAt: now,
      asked: partOf(asked, headers), answered: succeeded(exchange, status, headers) ? partOf(answer, answerHeaders) : undefined,
      lost: asked.lost || answer.lost,
      release() {
        asked.release()
        answer.release()
      },
    })
  })
}

function namesOf(exchange: Exchange): Pick<Seen, 'route' | 'rule' | 'variant' | 'model' | 'modelVersion' | 'knownVersion'> {
  const { rule, variant, modelVersion = '', series } = exchange
  const model = exchange.model()?.name ?? variant?.model?.name ?? ''
  return {
    route: rule?.route ?? '', rule: rule?.name ?? '', variant: variant?.name ?? '', model: model.slice(0, textMax),
    modelVersion: modelVersion.slice(0, textMax), knownVersion: series?.labels.model_version ?? '',
  }
}

const partOf = (kept: Kept, headers: Readonly<FlatHeaders>): Part => ({
  type: valueOf(headers, 'content-type'), encoding: valueOf(headers, 'content-encoding'),
  jsonLength: valueOf(headers, 'inference-header-content-length'), bytes: kept.bytes(), size: kept.size,
})

/** An error is no prediction, nor is what stands in for one. */
function succeeded({ error, response, fallback }: Exchange, status: number, headers: Readonly<FlatHeaders>): boolean {
  if (error !== undefined || fallback === 'static' || status < 200 || status >= 300) return false
  return !isGrpc(valueOf(headers, 'content-type')) || (response.grpcStatus ?? 0) === 0
}

function traceparentOf({ trace }: Exchange): string | undefined {
  return trace === undefined || trace.parent === '' ? undefined : `00-${trace.id}-${trace.parent}-${trace.sampled ? '01' : '00'}`
}

/** Of what callers choose. Characters. */
const textMax = 256

function eventIdOf(headers: Readonly<FlatHeaders>): string | undefined {
  const id = valueOf(headers, 'ce-id')
  return id !== undefined && sane.test(id) ? id : undefined
}
