import { failure, requestTooLarge, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import { valueOf } from '../pipeline/headers.ts'
import { refuseExchange } from '../pipeline/reply.ts'
import { timerMax } from '../pipeline/rule.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { Answer, type Teller } from './answer.ts'
import { Attempt, type Trier } from './attempt.ts'
import type { TryOutcome } from './backend.ts'
import { gatherBody, gatherMax, RequestBody } from './body.ts'
import { patienceOf, shrinkPatience, type Destination } from './destination.ts'
import { ConnectionLost, type AnswerHandler } from './dispatch.ts'
import { failureOf } from './outcome.ts'
import type { Upstream } from './pool.ts'
import { Recorded } from './recorded.ts'

/**
 * Sends one request on, in one try or more, and its answer back, streaming both ways.
 *
 * Times (Gateway API, HTTPRouteTimeouts): `request` counts from the arrival, `backendRequest` from the beginning of a
 * try, both to the last byte of the answer. An open-ended answer (events, gRPC) meets both with its headers; from then
 * on, as for every answer, `streamIdle` bounds the time in which nothing moves.
 */
export class Forwarding implements Way, Trier, Teller {
  readonly #exchange: Exchange
  readonly #to: Destination
  readonly #grpc: boolean
  /** The backend took the request in. */
  #entered = false
  /** The one in hand. */
  #attempt: Attempt | undefined
  #tried: Upstream[] | undefined
  #answer: Answer | undefined
  /** Its head has gone out. */
  #begun = false
  /** The whole of a small body. */
  #body: Buffer | undefined
  /** The way of a larger one to the try in hand. */
  #stream: RequestBody | undefined
  /** Nothing more is to be sent to the client. */
  #over = false

  #timer: NodeJS.Timeout | undefined
  /** `performance.now()` by which all must be over, whatever the tries do. */
  #limit: number
  /** `performance.now()` until which the caller waits, also for a stream. */
  #until: number
  #moved = 0

  constructor(exchange: Exchange, to: Destination) {
    const { startedAt } = exchange
    this.#exchange = exchange
    this.#to = to
    this.#grpc = isGrpc(valueOf(to.headers, 'content-type'))
    this.#until = this.#grpc ? startedAt + patienceOf(to.headers) : Number.POSITIVE_INFINITY
    this.#limit = Math.min(this.#until, startedAt + (to.rule.timeouts.request ?? Number.POSITIVE_INFINITY))
  }

  start(): void {
    const { tick = Number.POSITIVE_INFINITY } = this.#to.rule
    const first = Math.min(tick, this.#until - this.#exchange.startedAt)
    if (first < Number.POSITIVE_INFINITY) this.#timer = setTimeout(onTick, Math.min(first, timerMax), this)
    const admitted = this.#to.backend.admit(this.#exchange)
    if (admitted instanceof Promise) void admitted.then((refused) => this.#enter(refused))
    else this.#enter(admitted)
  }

  /** The client is gone, or has been answered: called exactly once, when the response closes. */
  clientClosed(): void {
    this.#over = true
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    this.#answer?.drop()
    this.#attempt?.cancel()
    if (this.#entered) this.#to.backend.leave(this.#exchange)
  }

  #enter(refused: Failure | undefined): void {
    const exchange = this.#exchange
    if (refused !== undefined) {
      this.#fail(refused, exchange.cause)
      return
    }
    if (this.#over) {
      this.#to.backend.leave(exchange)
      return
    }
    this.#entered = true
    const { request, response, received: { bodyLength, expectsContinue }, body } = exchange
    if (body !== undefined && body.length > 0) this.#body = body
    else if (expectsContinue && bodyLength !== 0 && !exchange.continued) {
      exchange.continued = true
      response.writeContinue()
    }
    if (body !== undefined || bodyLength === 'chunked' || bodyLength > gatherMax || bodyLength === 0) {
      this.#try()
      return
    }
    gatherBody(request, bodyLength, (whole) => {
      exchange.bytesIn = whole.length
      this.#body = whole
      if (!this.#over) this.#try()
    })
  }

  #try(): void {
    const { rule, backend, http2, path, headers } = this.#to
    const exchange = this.#exchange
    const upstream = backend.take(exchange, this.#tried)
    if ('code' in upstream) {
      this.#fail(upstream, '')
      return
    }
    const attempt = new Attempt(this, exchange, backend, upstream, rule.timeouts)
    this.#attempt = attempt
    exchange.endpoint = upstream.label
    exchange.upstreamStartedAt = attempt.startedAt
    exchange.upstreamEndedAt = 0
    if (this.#until < Number.POSITIVE_INFINITY) shrinkPatience(headers, this.#until - attempt.startedAt)
    attempt.start({ path, method: exchange.method, headers, body: this.#bodyOfTry() }, this.#grpc || http2)
  }

  #bodyOfTry(): Buffer | RequestBody | null {
    if (this.#body !== undefined) return this.#body
    const exchange = this.#exchange
    if (exchange.received.bodyLength === 0 || exchange.body !== undefined) return null
    // Two at once would each pause the request for the other.
    this.#stream?.destroy()
    this.#stream = new RequestBody(exchange.request, (bytes) => {
      exchange.bytesIn += bytes
      this.#moved = performance.now()
      const { requestMax } = this.#to.rule
      if (exchange.bytesIn > requestMax) this.refuse(requestTooLarge(requestMax), '')
    })
    return this.#stream
  }

  answered(): AnswerHandler | undefined {
    const exchange = this.#exchange
    const { commit } = this.#to.rule
    const answer = new Answer(exchange, this.#to, this)
    this.#answer = answer
    return commit === undefined ? answer : new Recorded(answer, (why) => this.refuse(why, ''), exchange, commit)
  }

  failed(attempt: Attempt, error: Error): void {
    if (this.#over) return
    if (this.#tried === undefined && this.#mayRepeat(attempt, error)) {
      this.#tried = [attempt.upstream]
      this.#try()
      return
    }
    this.#fail(failureOf(error, attempt.phase), error.message)
  }

  /**
   * Without a connection nothing was sent: any other endpoint may have the request, whatever it is.
   *
   * A connection that was kept open may be closed by the backend in the very moment in which it is used again. That is
   * nobody's fault, and where doing it twice is as doing it once (RFC 9110 section 9.2.2) and all of the body is still
   * here, the request is sent again. On a new connection, the request itself may be what the backend fell over.
   */
  #mayRepeat({ phase, upstream }: Attempt, error: Error): boolean {
    if (phase === 'connecting') return this.#to.backend.hasOther([upstream])
    const { received, method } = this.#exchange
    return error instanceof ConnectionLost && error.stale && repeatable.has(method)
      && (this.#body !== undefined || received.bodyLength === 0) && upstream.spendRetry()
  }

  began(stream: boolean): void {
    this.#begun = true
    this.#moved = this.#exchange.firstByteAt
    if (!stream) return
    this.#limit = this.#until
    if (this.#attempt) this.#attempt.due = Number.POSITIVE_INFINITY
  }

  moved(): void {
    this.#moved = performance.now()
  }

  ended(): void {
    this.#stream?.destroy()
  }

  broken(error: Error): void {
    this.#fail(failureOf(error, 'answering'), error.message)
  }

  /** Ends both sides: a limit was passed, or the answer may not go out. */
  refuse(why: Failure, cause: string): void {
    this.#end(why, cause, why.code === 'upstream_protocol' ? { kind: 'failed', why: 'protocol' } : undefined)
  }

  #end(why: Failure, cause: string, verdict?: TryOutcome): void {
    this.#fail(why, cause)
    this.#attempt?.cancel(verdict)
  }

  /** Answers with an error; where an answer has begun, breaks it off, so that it cannot be taken for a whole one. */
  #fail(why: Failure, cause: string): void {
    if (this.#over) return
    this.#over = true
    this.#answer?.drop()
    const exchange = this.#exchange
    const { response, received } = exchange
    exchange.error = why.code
    exchange.cause = cause
    this.#stream?.destroy()
    if (response.headersSent || this.#begun) {
      response.destroy()
      return
    }
    // Without its leave the client sends no body; the connection cannot be used again without knowing.
    if (received.expectsContinue && !exchange.continued) response.shouldKeepAlive = false
    refuseExchange(exchange, why)
  }

  /** One timer a request: it wakes no later than the first limit could pass, looks, and sleeps until the next. */
  tick(): void {
    const { timeouts: { streamIdle }, tick = timerMax } = this.#to.rule
    const now = performance.now()
    const idleAt = this.#begun && streamIdle !== undefined ? this.#moved + streamIdle : Number.POSITIVE_INFINITY
    const due = Math.min(this.#limit, this.#attempt?.due ?? Number.POSITIVE_INFINITY, idleAt)
    if (now < due) {
      this.#timer = setTimeout(onTick, Math.max(1, Math.min(due - now, tick)), this)
      return
    }
    const detail = this.#attempt ? 'The backend did not answer in time.' : 'The request was not complete in time.'
    // A caller who waits for less than the rule lets him, or reads nothing, says nothing about the backend.
    const blameless = this.#until <= now || this.#answer?.waitsForClient === true
    this.#end(failure('timeout', detail), idleAt <= now ? 'stream idle' : '', blameless ? undefined : { kind: 'failed', why: 'timeout' })
  }
}

const repeatable = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

const onTick = (forwarding: Forwarding): void => forwarding.tick()
