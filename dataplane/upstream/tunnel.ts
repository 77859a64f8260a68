import type { ClientRequest, IncomingMessage } from 'node:http'
import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { refuseExchange } from '../pipeline/reply.ts'
import type { TryOutcome } from './backend.ts'
import type { Destination } from './destination.ts'
import type { TrySpan } from '../telemetry/tracing/try_span.ts'
import { Gate } from './gate.ts'
import { mayReach } from '../../outgoing/guard.ts'
import { failureOf } from './outcome.ts'
import type { Upstream } from './pool.ts'
import { Relay } from './relay.ts'
import { responseHead } from './response.ts'
import { Patience, unreadable } from './patience.ts'
import { askForTunnel } from './tunnel-proxy.ts'
import { failedBy, opens, placeOf } from './tunnel-request.ts'

/** The client's connection once its door has let go of it, and the bytes that came with the request. */
export type Opened = Readonly<{ socket: Duplex; head: Buffer }>

/** An end that stays open after the other has closed its half is given this long without a byte. */
const halfOpenMax = 1000

/**
 * Carries one WebSocket over http-proxy, which makes the request and joins the two ends. It is given a request made of
 * the screened headers and a gate in place of the client's connection, and of the backend's answer only what has been
 * checked: it would pass on any 101 with whatever headers, and otherwise write an answer of its own.
 */
export class Tunnel {
  readonly #exchange: Exchange
  readonly #to: Destination
  readonly #opened: Opened
  #upstream: Upstream | undefined
  #span: TrySpan | undefined
  #request: ClientRequest | undefined
  #backend: Socket | undefined
  #gate: Gate | undefined
  #timer: NodeJS.Timeout | undefined
  #connected = false
  /** The backend took the request in. */
  #entered = false
  #tried: Upstream[] | undefined
  /** A tunnel that was not accepted goes to another endpoint so often; one that was connected is never tried again. */
  readonly #movesMax: number
  readonly #patience: Patience
  #over = false
  #moved = 0
  #idle: number

  constructor(exchange: Exchange, to: Destination, opened: Opened) {
    this.#exchange = exchange
    this.#to = to
    this.#opened = opened
    const { retry } = to.rule
    this.#patience = new Patience(to.rule, exchange.received.headers, false, exchange.startedAt)
    this.#movesMax = 1 + (retry?.reasons.includes('connect-failure') === true ? retry.attempts : 0)
    this.#idle = to.rule.timeouts.streamIdle ?? Number.POSITIVE_INFINITY
  }

  start(): void {
    if (this.#patience.unreadable) {
      this.#fail(unreadable, '')
      return
    }
    const admitted = this.#to.backend.admit(this.#exchange, this.#patience.limit)
    if (admitted instanceof Promise) void admitted.then((refused) => this.#enter(refused))
    else this.#enter(admitted)
  }

  #enter(refused: Failure | undefined): void {
    if (refused !== undefined) {
      this.#fail(refused, this.#exchange.cause)
      return
    }
    if (this.#over) {
      this.#to.backend.leave(this.#exchange)
      return
    }
    this.#entered = true
    const { commit } = this.#to.rule
    if (commit === undefined) {
      this.#try()
      return
    }
    // Recorded before it is tried: what opens it comes from the backend, and the client has it at once.
    void commit(this.#exchange, 101).then((unrecorded) => {
      if (this.#over) return
      if (unrecorded) this.#fail(unrecorded, '')
      else this.#try()
    })
  }

  /** The client's connection is gone: called exactly once. */
  clientClosed(): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.#endTry(this.#exchange.upgraded ? this.#answered(101) : { kind: 'cancelled' })
    this.#gate?.destroy()
    this.#request?.destroy()
    this.#backend?.destroy()
    if (this.#entered) this.#to.backend.leave(this.#exchange)
  }

  #try(): void {
    const { backend, rule, path } = this.#to
    const exchange = this.#exchange
    const upstream = backend.take(exchange, this.#tried)
    if ('code' in upstream) return this.#fail(upstream, '')
    this.#upstream = upstream
    const { origin, guard } = upstream.address
    const place = placeOf(origin)
    if (guard && isIP(place.host) !== 0 && !mayReach(place.host, guard)) {
      return this.#fail(failure('upstream_connect_failed', 'The backend could not be reached.'), 'address refused')
    }
    exchange.endpoint = upstream.label
    exchange.tries++
    exchange.upstreamStartedAt = performance.now()
    exchange.upstreamEndedAt = 0
    this.#span = exchange.spans?.try({ upstream, method: 'GET', path, variant: this.#to.variant.name, at: exchange.upstreamStartedAt, ...(this.#tried && { reason: 'connect-failure' }) }, exchange)
    this.#span?.accept()
    this.#connected = false
    const gate = new Gate(this.#opened.socket, (bytesIn, bytesOut) => {
      exchange.bytesIn += bytesIn
      exchange.bytesOut += bytesOut
      this.#moved = performance.now()
    })
    gate.on('error', ignore)
    this.#gate = gate
    const { connect = Number.POSITIVE_INFINITY, firstByte = Number.POSITIVE_INFINITY } = rule.timeouts
    const request = this.#patience.limit - exchange.startedAt
    this.#patience.tell(this.#to.headers)
    this.#schedule(Math.min(connect, request))
    this.#deadlines = { answer: Math.min(request, firstByte + connect) }
    askForTunnel({
      upstream, place, path, gate, head: this.#opened.head, headers: this.#span?.mark(this.#to.headers) ?? this.#to.headers,
      onRequest: (request) => { this.#request = request },
      onConnect: () => { this.#connected = true },
      onUpgrade: (answer, socket, head) => this.#accept(gate, answer, socket, head),
      onAnswer: (answer) => this.#relay(answer),
      onError: (error) => this.#failed(upstream, error),
    })
  }

  #deadlines = { answer: Number.POSITIVE_INFINITY }

  #accept(gate: Gate, answer: IncomingMessage, backend: Socket, head: Buffer): void {
    if (this.#over || gate.destroyed) {
      backend.destroy()
      return
    }
    if (!opens(answer.headers, this.#to.headers)) {
      this.#fail(failure('upstream_protocol', 'The backend answered with something that is no WebSocket.'), 'bad 101')
      backend.destroy()
      return
    }
    this.#backend = backend
    const exchange = this.#exchange
    exchange.firstByteAt = this.#moved = performance.now()
    exchange.bytesOut += head.length
    exchange.upgraded = true
    exchange.response.statusCode = 101
    answer.headers = { connection: 'Upgrade', upgrade: 'websocket' }
    const rebuilt = responseHead(answer.rawHeaders, 101, this.#stamp()).headers
    for (let i = 0; i < rebuilt.length; i += 2) {
      const [name = '', value = ''] = rebuilt.slice(i, i + 2)
      if (name === 'set-cookie') (answer.headers['set-cookie'] ??= []).push(value)
      else if (name !== 'content-length' && name !== 'trailer') answer.headers[name] = value
    }
    gate.open()
    backend.on('error', ignore)
    backend.once('close', () => this.#close())
    backend.once('end', () => this.#half())
    this.#opened.socket.once('end', () => this.#half())
    this.#schedule(this.#idle)
  }

  #stamp() {
    return { requestId: this.#exchange.requestId, variant: this.#to.variant.name, modelVersion: this.#exchange.modelVersion, confidence: false }
  }

  /** Any other answer is one like that to any other request. */
  #relay(answer: IncomingMessage): void {
    const exchange = this.#exchange
    const { response } = exchange
    const status = answer.statusCode ?? 502
    if (this.#over) return
    exchange.firstByteAt = performance.now()
    clearTimeout(this.#timer)
    const { headers, length } = responseHead(answer.rawHeaders, status, this.#stamp())
    const relay = new Relay(response)
    answer.on('error', () => response.destroy())
    answer.once('close', () => {
      this.#endTry(answer.complete ? this.#answered(status) : { kind: 'failed', why: 'reset' })
      if (!answer.complete) response.destroy()
    })
    try {
      relay.begin(status, exchange.stampHead(status, headers), length)
    } catch {
      this.#fail(failure('upstream_protocol', 'The backend answered with something that is not valid HTTP.'), 'header')
      return
    }
    response.on('drain', () => answer.resume())
    answer.on('data', (chunk: Buffer) => {
      exchange.bytesOut += chunk.length
      relay.push(chunk)
      if (!relay.flush()) answer.pause()
    })
    answer.once('end', () => relay.end([]))
  }

  #failed(upstream: Upstream, error: Error): void {
    if (this.#over || this.#exchange.upgraded || this.#upstream !== upstream) return
    this.#endTry({ kind: 'failed', why: this.#connected ? 'reset' : 'connect' })
    const tried = [...this.#tried ?? [], upstream]
    if (!this.#connected && tried.length <= this.#movesMax && this.#to.backend.hasOther(tried)) {
      this.#tried = tried
      this.#exchange.series?.retried('connect-failure')
      this.#gate?.destroy()
      this.#try()
      return
    }
    this.#fail(failureOf(error, this.#connected ? 'sent' : 'connecting'), error.message)
  }

  /** One end has closed its half. What is still on its way to it is delivered; an end that is dead says nothing more. */
  #half(): void {
    this.#idle = Math.min(this.#idle, halfOpenMax)
    this.#moved = performance.now()
    this.#schedule(this.#idle)
  }

  #close(): void {
    this.#endTry(this.#answered(101))
    this.#opened.socket.end()
    this.#half()
  }

  #schedule(milliseconds: number): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (milliseconds < timerMax) this.#timer = setTimeout(() => this.#tick(), milliseconds)
  }

  #tick(): void {
    const exchange = this.#exchange
    if (exchange.upgraded) {
      const left = this.#moved + this.#idle - performance.now()
      if (left > 0) return this.#schedule(left)
      if (this.#idle > halfOpenMax) {
        exchange.error = 'timeout'
        exchange.cause = 'stream idle'
      }
      this.#opened.socket.destroy()
      return
    }
    const left = exchange.startedAt + this.#deadlines.answer - performance.now()
    if (this.#connected && left > 0) return this.#schedule(left)
    this.#fail(failure('timeout', 'The backend did not answer in time.'), '')
  }

  #answered(status: number): TryOutcome {
    const { firstByteAt, upstreamStartedAt } = this.#exchange
    return { kind: 'answered', status, headers: [], trailers: [], firstByteMs: firstByteAt - upstreamStartedAt, totalMs: performance.now() - upstreamStartedAt }
  }

  #endTry(outcome: TryOutcome): void {
    if (this.#upstream === undefined) return
    this.#exchange.upstreamEndedAt = performance.now()
    this.#to.backend.settle(this.#upstream, outcome, this.#exchange)
    this.#span?.settle(outcome, outcome.kind === 'answered' ? this.#exchange.firstByteAt : 0, this.#exchange.upstreamEndedAt)
    this.#upstream = undefined
  }

  #fail(why: Failure, cause: string): void {
    if (this.#over) return
    this.#over = true
    const exchange = this.#exchange
    exchange.error = why.code
    exchange.cause = cause
    clearTimeout(this.#timer)
    this.#endTry({ kind: 'failed', why: failedBy(why) })
    this.#gate?.destroy()
    this.#request?.destroy()
    if (exchange.response.headersSent) exchange.response.destroy()
    else refuseExchange(exchange, why)
  }
}

const timerMax = 2_147_483_647

/** What follows is the closing of the connection, and that is listened to. */
function ignore(): void {}
