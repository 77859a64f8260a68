import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange, Way } from '../pipeline/exchange.ts'
import { removeHeader } from '../pipeline/headers.ts'
import { refuseExchange } from '../pipeline/reply.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { Answer, type Teller } from './answer.ts'
import { CallFailed } from './call.ts'
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

/** An answer that is on its way, from its head on. A failure is a `CallFailed`, where it has a code. */
export type Live = Readonly<{ status: number; open(to: AnswerHandler): void }>

/** Makes it. `signal`: nobody waits for it any more. Never rejects. */
export type Maker = (signal: AbortSignal) => Made | Live | Failure | Promise<Made | Live | Failure>

/** As much as goes out before the client is asked whether it takes more. Bytes. */
const pieceMax = 65_536

/** Answers with what is stored or made here, by the way of every answer: through the same stages, taps and records. */
export class Served implements Way, Teller, Controller {
  readonly #exchange: Exchange
  readonly #rule: BuiltRule
  readonly #make: Maker | Made
  /** Of one that is still to be made: it costs as much as all the rest of an answer that is there. */
  #left: AbortController | undefined
  #answer: Answer | undefined
  #handler: AnswerHandler | undefined
  #made: Made | undefined
  #sent = 0
  #begun = false
  #paused = false
  #giving = false
  #over = false

  constructor(exchange: Exchange, rule: BuiltRule, make: Maker | Made) {
    this.#exchange = exchange
    this.#rule = rule
    this.#make = make
    this.#left = typeof make === 'function' ? new AbortController() : undefined
  }

  start(): void {
    const make = this.#make
    const made = typeof make === 'function' && this.#left !== undefined ? make(this.#left.signal) : make
    if (typeof made === 'function') return
    if (made instanceof Promise) {
      void made.then((settled) => this.#give(settled), (error: unknown) => this.#fail(unmade, String(error)))
    } else this.#give(made)
  }

  clientClosed(): void {
    this.#over = true
    this.#answer?.drop()
    this.#left?.abort(gone)
  }

  #give(made: Made | Live | Failure): void {
    if (this.#over) return
    if ('code' in made) {
      this.#fail(made, made.cause ?? '')
      return
    }
    const exchange = this.#exchange
    const { commit } = this.#rule
    this.#answer = new Answer(exchange, this.#rule, this)
    const to = commit === undefined ? this.#answer : recorded(this.#answer, (why) => this.refuse(why, ''), exchange, commit)
    this.#handler = exchange.stages === undefined ? to : staged(to, exchange.stages, (why, cause) => this.refuse(why, cause))
    if ('open' in made) {
      made.open(this.#handler)
      return
    }
    this.#made = made
    this.#left = undefined
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
      const piece = made.body.length <= pieceMax ? made.body : made.body.subarray(this.#sent, this.#sent + pieceMax)
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

  ended(): void {
    this.#left = undefined
  }

  broken(error: Error): void {
    if (error instanceof CallFailed) this.#fail(error.why, error.why.cause ?? '')
    else this.#fail(unmade, error.message)
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
    this.#left?.abort(gone)
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
  const length = trailers.length === 0 && !stream ? String(body.length) : undefined
  const at = headers.indexOf('content-length')
  if (at < 0 ? length === undefined : headers[at + 1] === length && headers.lastIndexOf('content-length') === at) return headers
  const rest = [...headers]
  removeHeader(rest, 'content-length')
  if (length !== undefined) rest.push('content-length', length)
  return rest
}

/** What an abortion would make anew each time. */
const gone = new Error('nobody waits for the answer any more')
const unmade = failure('upstream_protocol', 'The answer could not be made.')
