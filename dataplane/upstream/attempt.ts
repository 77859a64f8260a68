import type { Rule } from '../../table/route.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { TrySpan } from '../telemetry/tracing/try_span.ts'
import type { Backend, TryOutcome } from './backend.ts'
import { ConnectionLost, type AnswerHandler, type Controller, type Handler, type Sent } from './dispatch.ts'
import { ClientLeft } from './body.ts'
import type { Upstream } from './pool.ts'
import type { Phase } from './outcome.ts'

/** Who has a try made. */
export type Trier = Readonly<{
  /** An answer begins: who gets it, or undefined where it is not wanted and the try was cancelled. */
  answered(attempt: Attempt, status: number, rawHeaders: readonly string[]): AnswerHandler | undefined
  /** It ended without the beginning of an answer. */
  failed(attempt: Attempt, error: Error): void
}>

/** One request to one endpoint, and what comes of it. */
export class Attempt implements Handler {
  readonly upstream: Upstream
  readonly startedAt = performance.now()
  readonly #exchange: Exchange
  readonly #backend: Backend
  readonly #timeouts: Rule['timeouts']
  readonly #trier: Trier
  phase: Phase = 'connecting'
  /** Where its request is traced. */
  span: TrySpan | undefined
  /** `performance.now()` of the beginning of its answer, and of its end. */
  firstByteAt = 0
  endedAt = 0
  /** `performance.now()` by which the answer must have begun, or be complete. */
  due = Number.POSITIVE_INFINITY
  #controller: Controller | undefined
  #answer: AnswerHandler | undefined
  #status = 0
  #headers: readonly string[] = []
  #over = false
  /** What is said of it at its end, where that is known before. */
  #verdict: TryOutcome | undefined

  constructor(trier: Trier, exchange: Exchange, backend: Backend, upstream: Upstream, timeouts: Rule['timeouts']) {
    this.#trier = trier
    this.#exchange = exchange
    this.#backend = backend
    this.upstream = upstream
    this.#timeouts = timeouts
  }

  start(sent: Sent, http2: boolean): void {
    const { upstream } = this
    const { connect } = this.#timeouts
    const { lane } = this.#backend.state
    const pool = http2 ? upstream.http2(connect, lane) : upstream.pool(connect, lane)
    pool.dispatch(sent, this)
  }

  /**
   * Ends it, and nothing more is heard of it. One that still waits for a connection stays in the queue until it would
   * be sent.
   */
  cancel(verdict: TryOutcome = cancelled): void {
    this.#verdict ??= verdict
    if (this.phase !== 'connecting' && !this.#over) this.#controller?.abort(new Error('aborted by the gateway'))
  }

  /** Its answer has begun, and is not wanted. */
  decline(): void {
    this.cancel(this.#whole([], performance.now()))
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    this.phase = 'sent'
    if (this.#verdict !== undefined) {
      controller.abort(new Error('aborted by the gateway'))
      return
    }
    const { backendRequest } = this.#timeouts
    if (backendRequest !== undefined) this.due = this.startedAt + backendRequest
  }

  onRequestSent(): void {
    const { firstByte } = this.#timeouts
    if (firstByte !== undefined && this.phase === 'sent') this.due = Math.min(this.due, performance.now() + firstByte)
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    if (this.#verdict !== undefined) return
    this.phase = 'answering'
    this.#status = status
    this.#headers = rawHeaders
    this.firstByteAt = performance.now()
    const { backendRequest = Number.POSITIVE_INFINITY } = this.#timeouts
    this.due = this.startedAt + backendRequest
    if (this.#backend.watched) this.#backend.began(this.upstream, this.#exchange, this.#whole([], this.firstByteAt))
    this.#answer = this.#trier.answered(this, status, rawHeaders)
    this.#answer?.onResponseStart(controller, status, rawHeaders)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#verdict === undefined) this.#answer?.onResponseData(controller, chunk)
  }

  onResponseFlush(): boolean {
    return this.#answer !== undefined && this.#answer.onResponseFlush()
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    const now = performance.now()
    this.#settle(this.#whole(rawTrailers, now), now)
    this.#answer?.onResponseEnd(controller, rawTrailers)
  }

  onResponseError(error: Error): void {
    const given = this.#verdict !== undefined
    this.#settle(failed(error, this.phase), performance.now())
    if (given) return
    if (this.#answer === undefined) this.#trier.failed(this, error)
    else this.#answer.onResponseError(error)
  }

  #whole(trailers: readonly string[], now: number): TryOutcome {
    const { startedAt } = this
    return {
      kind: 'answered', status: this.#status, headers: this.#headers, trailers,
      firstByteMs: this.firstByteAt - startedAt, totalMs: now - startedAt,
    }
  }

  #settle(outcome: TryOutcome, now: number): void {
    if (this.#over) return
    this.#over = true
    this.endedAt = now
    this.#exchange.upstreamEndedAt = now
    this.#backend.settle(this.upstream, this.#verdict ?? outcome, this.#exchange)
    this.span?.settle(this.#verdict ?? outcome, this.firstByteAt, now)
  }
}

const cancelled: TryOutcome = { kind: 'cancelled' }

function failed(error: Error, phase: Phase): TryOutcome {
  const code = 'code' in error ? error.code : ''
  // A connection that was kept open may be closed as idle, and a request that cannot be sent is nobody's fault there.
  if (error instanceof ClientLeft || code === 'REQUEST_INVALID' || (error instanceof ConnectionLost && error.stale)) return cancelled
  if (phase === 'connecting' || code === 'STREAM_REFUSED') return { kind: 'failed', why: 'connect' }
  return { kind: 'failed', why: code === 'UPSTREAM_PROTOCOL' ? 'protocol' : 'reset' }
}
