import { failure, requestTooLarge, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import { valueOf } from '../pipeline/headers.ts'
import { discardRest, refuseExchange } from '../pipeline/reply.ts'
import { timerMax } from '../pipeline/rule.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { gatherBody, gatherMax, RequestBody } from './body.ts'
import { patienceOf, shrinkPatience, type Destination } from './destination.ts'
import { ConnectionLost, type Controller, type Handler } from './dispatch.ts'
import { Call } from './http2-call.ts'
import { failureOf, type Phase } from './outcome.ts'
import { Recorded } from './recorded.ts'
import type { Upstream } from './pool.ts'
import { Relay } from './relay.ts'
import { responseHead, trailersOf } from './response.ts'

/**
 * Sends one request on and its answer back, streaming both ways. It is the connection's handler itself: the callbacks
 * below come in the order start, response start, data…, end or error; an error can come at any point, also first.
 *
 * Times (Gateway API, HTTPRouteTimeouts): `request` counts from the arrival, `backendRequest` from the first byte sent
 * to the backend, both to the last byte of the answer. An open-ended answer (events, gRPC) meets both with its
 * headers; from then on, as for every answer, `streamIdle` bounds the time in which nothing moves.
 */
export class Forwarding implements Handler, Way {
  readonly #exchange: Exchange
  readonly #to: Destination
  #upstream: Upstream | undefined
  #controller: Controller | undefined
  #phase: Phase = 'connecting'
  /** The whole of a small body. */
  #body: Buffer | undefined
  /** The way of a larger one to the try in hand. */
  #stream: RequestBody | undefined
  /** Nothing more is to be sent to the client; whatever the backend still says is dropped. */
  #over = false
  #retried = false

  #timer: NodeJS.Timeout | undefined
  /** `performance.now()` by which the answer must have begun, or been completed. */
  #deadline = Number.POSITIVE_INFINITY
  #moved = 0
  readonly #grpc: boolean
  /** `performance.now()` until which the caller of a gRPC method waits, also for a stream. */
  #until = Number.POSITIVE_INFINITY

  /** Bytes of the answer's body still to come; undefined where the length is not known. */
  #left: number | undefined
  readonly #relay: Relay
  #paused = false
  #waitsForDrain = false

  constructor(exchange: Exchange, to: Destination) {
    this.#exchange = exchange
    this.#to = to
    this.#relay = new Relay(exchange.response)
    this.#grpc = isGrpc(valueOf(to.headers, 'content-type'))
  }

  start(): void {
    const { request, response, received, startedAt, body } = this.#exchange
    const { tick, timeouts } = this.#to.rule
    if (timeouts.request !== undefined) this.#deadline = startedAt + timeouts.request
    const patience = this.#grpc ? patienceOf(this.#to.headers) : Number.POSITIVE_INFINITY
    this.#due(this.#until = startedAt + patience)
    const first = Math.min(tick ?? patience, patience)
    if (first < Number.POSITIVE_INFINITY) this.#timer = setTimeout(onTick, Math.min(first, timerMax), this)
    const { bodyLength } = received
    if (body !== undefined && body.length > 0) this.#body = body
    else if (received.expectsContinue && bodyLength !== 0) response.writeContinue()
    if (body !== undefined || bodyLength === 'chunked' || bodyLength > gatherMax || bodyLength === 0) {
      this.#dispatch(undefined)
      return
    }
    gatherBody(request, bodyLength, (body) => {
      this.#exchange.bytesIn = body.length
      this.#body = body
      if (!this.#over) this.#dispatch(undefined)
    })
  }

  /** The client is gone, or has been answered: called exactly once, when the response closes. */
  clientClosed(): void {
    this.#over = true
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#phase !== 'connecting' && this.#exchange.upstreamEndedAt === 0) this.#abort()
  }

  #dispatch(except: Upstream | undefined): void {
    const { rule, variant, group, http2, path, headers } = this.#to
    const upstream = variant.pick(group.members, except)
    if (upstream === undefined) {
      this.#fail(failure('no_endpoints', 'The backend has no ready endpoint.'), '')
      return
    }
    if (upstream.full) {
      this.#fail(failure('overloaded', 'The backend has more requests waiting than it can take.'), '')
      return
    }
    const exchange = this.#exchange
    this.#upstream = upstream
    this.#controller = undefined
    exchange.upstreamEndedAt = 0
    exchange.endpoint = upstream.label
    exchange.upstreamStartedAt = performance.now()
    upstream.begin()
    if (this.#until < Number.POSITIVE_INFINITY) shrinkPatience(headers, this.#until - performance.now())
    const { connect } = rule.timeouts
    const handler = rule.commit === undefined ? this : new Recorded(this, exchange, rule.commit)
    const pool = this.#grpc || http2 ? upstream.http2(connect) : upstream.pool(connect)
    pool.dispatch({ path, method: exchange.method, headers, body: this.#bodyOfTry() }, handler)
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
      if (exchange.bytesIn > requestMax) this.refuse(requestTooLarge(requestMax))
    })
    return this.#stream
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    this.#phase = 'sent'
    if (this.#over) {
      this.#abort()
      return
    }
    const { backendRequest } = this.#to.rule.timeouts
    if (backendRequest !== undefined) this.#due(this.#exchange.upstreamStartedAt + backendRequest)
  }

  onRequestSent(): void {
    const { firstByte } = this.#to.rule.timeouts
    if (firstByte !== undefined && this.#phase === 'sent') this.#due(performance.now() + firstByte)
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    if (this.#over) return
    const exchange = this.#exchange
    const { method } = exchange.request
    const bodyless = method === 'HEAD' || status === 204 || status === 304
    const { headers, length, stream } = responseHead(rawHeaders, status, {
      requestId: exchange.requestId,
      variant: this.#to.variant.name,
      modelVersion: exchange.modelVersion,
    })
    if (!bodyless && length !== undefined && length > this.#to.rule.responseMax) {
      this.refuse(tooLarge)
      return
    }
    if (exchange.headTaps !== undefined) exchange.stampHead(status, headers)
    this.#phase = 'answering'
    exchange.firstByteAt = this.#moved = performance.now()
    this.#restartClock(stream)
    this.#left = bodyless || (controller instanceof Call && controller.headOnly) ? 0 : exchange.rewrite === undefined ? length : undefined
    try {
      this.#relay.begin(status, headers, this.#left)
    } catch {
      // Node refuses what it could not send safely: a control character in a value.
      this.#phase = 'sent'
      this.#abort()
      this.#fail(failure('upstream_protocol', 'The backend answered with something that is not valid HTTP.'), 'header')
    }
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    const exchange = this.#exchange
    if (exchange.bytesOut + chunk.length > this.#to.rule.responseMax) {
      this.refuse(tooLarge)
      return
    }
    exchange.bytesOut += chunk.length
    if (exchange.dataTaps !== undefined) for (const tap of exchange.dataTaps) tap(chunk)
    this.#moved = performance.now()
    this.#relay.push(exchange.rewrite?.data(chunk) ?? chunk)
  }

  onResponseFlush(): boolean {
    if (this.#phase !== 'answering') return false
    const { response, dataTaps, rewrite } = this.#exchange
    if (!this.#over && !response.writableEnded && !this.#relay.flush() && !this.#paused) {
      this.#paused = true
      this.#controller?.pause()
      if (!this.#waitsForDrain) {
        this.#waitsForDrain = true
        response.on('drain', () => {
          this.#moved = performance.now()
          if (!this.#paused) return
          this.#paused = false
          this.#controller?.resume()
        })
      }
    }
    return dataTaps !== undefined || rewrite !== undefined || this.#relay.pending
  }

  onResponseEnd(_controller: Controller, rawTrailers: readonly string[]): void {
    this.#endTry()
    this.#stream?.destroy()
    if (this.#over) return
    const { response, request } = this.#exchange
    const rest = this.#exchange.rewrite?.end()
    if (rest !== undefined) this.#relay.push(rest)
    this.#relay.end(this.#left === undefined ? trailersOf(rawTrailers) : [])
    // The backend did not wait for the whole request.
    discardRest(request, response)
  }

  onResponseError(error: Error): void {
    const failed = this.#upstream
    this.#endTry()
    if (this.#over) return
    if (this.#phase === 'connecting' && !this.#retried) {
      // No connection, so nothing was sent: any other endpoint may have the request, whatever it is.
      this.#retried = true
      if (this.#to.group.members.some((member) => member !== failed)) {
        this.#dispatch(failed)
        return
      }
    }
    if (this.#mayRepeat(error) && failed?.spendRetry()) {
      this.#retried = true
      this.#phase = 'connecting'
      const { request } = this.#to.rule.timeouts
      this.#deadline = this.#exchange.startedAt + (request ?? Number.POSITIVE_INFINITY)
      this.#dispatch(this.#to.group.members.some((member) => member !== failed) ? failed : undefined)
      return
    }
    this.#fail(failureOf(error, this.#phase), error.message)
  }

  /**
   * A connection that was kept open may be closed by the backend in the very moment in which it is used again. That is
   * nobody's fault, and where doing it twice is as doing it once (RFC 9110 section 9.2.2) and all of the body is still
   * here, the request is sent again. On a new connection, the request itself may be what the backend fell over.
   */
  #mayRepeat(error: Error): boolean {
    const { received, method } = this.#exchange
    return this.#phase === 'sent' && !this.#retried && repeatable.has(method)
      && (this.#body !== undefined || received.bodyLength === 0) 
      && error instanceof ConnectionLost && error.stale
  }

  #endTry(): void {
    this.#exchange.upstreamEndedAt = performance.now()
    this.#upstream?.end()
    this.#upstream = undefined
  }

  /** Answers with an error; where an answer has begun, breaks it off, so that it cannot be taken for a whole one. */
  #fail(why: Failure, cause: string): void {
    if (this.#over) return
    this.#over = true
    const exchange = this.#exchange
    const { response } = exchange
    exchange.error = why.code
    exchange.cause = cause
    this.#stream?.destroy()
    if (response.headersSent || this.#phase === 'answering') {
      response.destroy()
      return
    }
    refuseExchange(exchange, why)
  }

  /** Ends both sides: a limit was passed, or the answer may not go out. */
  refuse(why: Failure): void {
    this.#fail(why, '')
    this.#abort()
  }

  #abort(): void {
    this.#controller?.abort(new Error('aborted by the gateway'))
  }

  #due(at: number): void {
    if (at < this.#deadline) this.#deadline = at
  }

  #restartClock(stream: boolean): void {
    const { request, backendRequest } = this.#to.rule.timeouts
    const { startedAt, upstreamStartedAt } = this.#exchange
    this.#deadline = stream
      ? this.#until
      : Math.min(this.#until, startedAt + (request ?? Number.POSITIVE_INFINITY), upstreamStartedAt + (backendRequest ?? Number.POSITIVE_INFINITY))
  }

  /** One timer a request: it wakes no later than the first limit could pass, looks, and sleeps until the next. */
  tick(): void {
    const { streamIdle } = this.#to.rule.timeouts
    const now = performance.now()
    const idleAt = this.#phase === 'answering' && streamIdle !== undefined ? this.#moved + streamIdle : Number.POSITIVE_INFINITY
    const due = Math.min(this.#deadline, idleAt)
    if (now < due) {
      const { tick = timerMax } = this.#to.rule
      this.#timer = setTimeout(onTick, Math.max(1, Math.min(due - now, tick)), this)
      return
    }
    const detail = this.#upstream ? 'The backend did not answer in time.' : 'The request was not complete in time.'
    this.#fail(failure('timeout', detail), idleAt <= now ? 'stream idle' : '')
    this.#abort()
  }
}

const repeatable = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

const tooLarge = failure('response_too_large', 'The answer of the backend is larger than what is let through here.')

const onTick = (forwarding: Forwarding): void => forwarding.tick()
