import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import { removeHeader } from '../pipeline/headers.ts'
import { refuseExchange } from '../pipeline/reply.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { Answer, type Teller } from './answer.ts'
import type { AnswerHandler, Controller } from './dispatch.ts'
import { recorded } from './recorded.ts'
import { staged } from './staged.ts'

/** An answer that no backend gives, whole. `headers` and `trailers`: names in lower case and values, one after the other. */
export type Made = Readonly<{
  status: number
  headers: readonly string[]
  body: Buffer
  trailers?: readonly string[]
  /** It is given as a stream, which does not say how long it is. */
  stream?: boolean
}>

/** Makes it. `signal`: nobody waits for it any more. Never rejects. */
export type Maker = (signal: AbortSignal) => Made | Failure | Promise<Made | Failure>

/** As much as goes out before the client is asked whether it takes more. Bytes. */
const pieceMax = 65_536

/** Answers with what is stored or made here, by the way of every answer: through the same stages, taps and records. */
export class Served implements Way, Teller, Controller {
  readonly #exchange: Exchange
  readonly #rule: BuiltRule
  readonly #make: Maker
  readonly #left = new AbortController()
  #answer: Answer | undefined
  #handler: AnswerHandler | undefined
  #made: Made | undefined
  #sent = 0
  #begun = false
  #paused = false
  #giving = false
  #over = false

  constructor(exchange: Exchange, rule: BuiltRule, make: Maker) {
    this.#exchange = exchange
    this.#rule = rule
    this.#make = make
  }

  start(): void {
    const made = this.#make(this.#left.signal)
    if (made instanceof Promise) {
      void made.then((settled) => this.#give(settled), (error: unknown) => this.#fail(unmade, String(error)))
    } else this.#give(made)
  }

  clientClosed(): void {
    this.#over = true
    this.#answer?.drop()
    this.#left.abort()
  }

  #give(made: Made | Failure): void {
    if (this.#over) return
    if ('code' in made) {
      this.#fail(made, '')
      return
    }
    const exchange = this.#exchange
    const { commit } = this.#rule
    this.#made = made
    this.#answer = new Answer(exchange, this.#rule, this)
    const to = commit === undefined ? this.#answer : recorded(this.#answer, (why) => this.refuse(why, ''), exchange, commit)
    this.#handler = exchange.stages === undefined ? to : staged(to, exchange.stages, (why, cause) => this.refuse(why, cause))
    this.#handler.onResponseStart(this, made.status, measured(made, exchange.request.method))
    this.#pour()
  }

  /** Gives the body in pieces, as fast as it is taken. */
  #pour(): void {
    const made = this.#made
    const handler = this.#handler
    if (made === undefined || handler === undefined || this.#giving) return
    this.#giving = true
    while (!this.#over && !this.#paused && this.#sent < made.body.length) {
      const piece = made.body.subarray(this.#sent, this.#sent + pieceMax)
      this.#sent += piece.length
      handler.onResponseData(this, piece)
      if (this.#sent < made.body.length) handler.onResponseFlush()
    }
    this.#giving = false
    if (this.#over || this.#paused || this.#sent < made.body.length) return
    this.#made = undefined
    handler.onResponseEnd(this, made.trailers ?? [])
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#pour()
  }

  abort(): void {
    this.#over = true
  }

  began(): void {
    this.#begun = true
  }

  moved(): void {}

  ended(): void {}

  broken(error: Error): void {
    this.#fail(unmade, error.message)
  }

  refuse(why: Failure, cause: string): void {
    this.#fail(why, cause)
  }

  #fail(why: Failure, cause: string): void {
    if (this.#over) return
    this.#over = true
    const exchange = this.#exchange
    const { response, received } = exchange
    exchange.error = why.code
    if (cause !== '') exchange.cause = cause
    this.#left.abort()
    if (response.headersSent || this.#begun) {
      this.#answer?.breakOff(why)
      return
    }
    this.#answer?.drop()
    // Without its leave the client sends no body; the connection cannot be used again without knowing.
    if (received.expectsContinue && !exchange.continued) response.shouldKeepAlive = false
    refuseExchange(exchange, why)
  }
}

/** Its length is that of its body, whatever was said of it; behind trailers there can be none (RFC 9112 section 7.1.2). */
function measured({ status, headers, body, trailers = [], stream = false }: Made, method: string): readonly string[] {
  if (method === 'HEAD' || status === 204 || status === 304) return headers
  const rest = [...headers]
  removeHeader(rest, 'content-length')
  if (trailers.length === 0 && !stream) rest.push('content-length', String(body.length))
  return rest
}

const unmade = failure('upstream_protocol', 'The answer could not be made.')
