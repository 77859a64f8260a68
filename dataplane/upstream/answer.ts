import type { DoorResponse } from '../pipeline/door.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { errorEvent, EventTail } from './events.ts'
import type { AnswerHandler, Controller } from './dispatch.ts'
import { Call } from './http2-call.ts'
import { Relay } from './relay.ts'
import { responseHead, trailersOf } from './response.ts'

/** Who is told what becomes of an answer. */
export type Teller = Readonly<{
  /** Its head has gone out. `stream`: it is open-ended. */
  began(stream: boolean): void
  /** Something of it moved, to us or to the client. */
  moved(): void
  ended(): void
  /** The backend broke it off. */
  broken(error: Error): void
  /** It may not go out, or not any further. `cause` is for the log. */
  refuse(why: Failure, cause: string): void
}>

/** The backend's answer on its way to the client. */
export class Answer implements AnswerHandler {
  readonly #exchange: Exchange
  readonly #rule: BuiltRule
  readonly #teller: Teller
  readonly #relay: Relay
  #controller: Controller | undefined
  /** Nothing more is to be sent to the client; whatever the backend still says is dropped. */
  #over = false
  /** Bytes of the body, where they were announced. */
  #length: number | undefined
  /** Of a stream of events. */
  #events: EventTail | undefined
  #paused = false
  /** Something came that who watches for silence has not been told of. */
  #moved = false
  #waitsForDrain = false

  constructor(exchange: Exchange, rule: BuiltRule, teller: Teller) {
    this.#exchange = exchange
    this.#rule = rule
    this.#teller = teller
    this.#relay = new Relay(exchange.response)
  }

  /** The client is gone, or the answer is not to go on. */
  drop(): void {
    this.#over = true
  }

  /** It has more than the client takes. */
  get waitsForClient(): boolean {
    return this.#paused
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    if (this.#over) return
    this.#controller = controller
    const exchange = this.#exchange
    const { method } = exchange.request
    const bodyless = method === 'HEAD' || status === 204 || status === 304
    const { headers, length, stream } = responseHead(rawHeaders, status, {
      requestId: exchange.requestId,
      variant: exchange.variant?.name ?? '',
      modelVersion: exchange.modelVersion,
      confidence: this.#rule.confidence,
    })
    if (!bodyless && length !== undefined && length > this.#rule.responseMax) {
      this.#teller.refuse(tooLarge, '')
      return
    }
    if (exchange.fallback !== undefined) headers.push('x-modelroute-fallback', exchange.fallback)
    if (exchange.headTaps !== undefined) exchange.stampHead(status, headers)
    // What stood in between may have kept it.
    if (exchange.firstByteAt === 0) exchange.firstByteAt = performance.now()
    this.#length = bodyless || (controller instanceof Call && controller.headOnly) ? 0 : exchange.rewrite === undefined ? length : undefined
    try {
      this.#relay.begin(status, headers, this.#length)
    } catch {
      // A door refuses what it could not send safely: a control character in a value.
      this.#teller.refuse(failure('upstream_protocol', 'The backend answered with something that is not valid HTTP.'), 'header')
      return
    }
    if (stream && this.#length === undefined && exchange.onFailure === undefined) this.#events = EventTail.of(headers)
    this.#teller.began(stream)
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    const exchange = this.#exchange
    if (exchange.bytesOut + chunk.length > this.#rule.responseMax) {
      this.#teller.refuse(tooLarge, '')
      return
    }
    exchange.bytesOut += chunk.length
    if (exchange.dataTaps !== undefined) for (const tap of exchange.dataTaps) tap(chunk)
    if (exchange.glances !== undefined) for (const glance of exchange.glances) glance(chunk)
    this.#moved = true
    const piece = exchange.rewrite?.data(chunk) ?? chunk
    this.#events?.push(piece)
    this.#relay.push(piece)
  }

  onResponseFlush(): boolean {
    const { response, dataTaps, rewrite, bytesOut } = this.#exchange
    // The last byte goes with the end, which its connection has still to tell.
    if (this.#length !== undefined && bytesOut >= this.#length && response.witness !== undefined && !response.writableEnded) return true
    if (!this.#over && !response.writableEnded) {
      if (this.#moved) this.#teller.moved()
      this.#moved = false
      if (!this.#relay.flush()) this.#wait(response)
    }
    return dataTaps !== undefined || rewrite !== undefined || this.#relay.pending
  }

  /** The client takes no more for the moment. */
  #wait(response: DoorResponse): void {
    if (this.#paused) return
    this.#paused = true
    this.#controller?.pause()
    if (this.#waitsForDrain) return
    this.#waitsForDrain = true
    response.on('drain', () => {
      this.#teller.moved()
      if (!this.#paused) return
      this.#paused = false
      this.#controller?.resume()
    })
  }

  onResponseEnd(_controller: Controller, rawTrailers: readonly string[]): void {
    this.#teller.ended()
    if (this.#over) return
    const rest = this.#exchange.rewrite?.end()
    if (rest !== undefined) this.#relay.push(rest)
    this.#relay.end(this.#length === undefined ? trailersOf(rawTrailers) : [])
  }

  /**
   * It failed after it had begun. A reader of events is told so by one more; then the connection is broken, so that no
   * part can be taken for the whole.
   */
  breakOff(why: Failure): void {
    this.#over = true
    const { response, protocol, requestId } = this.#exchange
    if (this.#events?.atBoundary !== true || this.#paused) {
      response.destroy()
      return
    }
    this.#relay.push(errorEvent(protocol, why, requestId))
    this.#relay.flush()
    // What was written goes out before the end.
    response.destroySoon()
  }

  onResponseError(error: Error): void {
    if (!this.#over) this.#teller.broken(error)
  }
}

const tooLarge = failure('response_too_large', 'The answer of the backend is larger than what is let through here.')
