import { readLimit } from '../pipeline/body.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Stage } from '../pipeline/exchange.ts'
import { known, removeHeaders, valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import type { BuiltRule } from '../pipeline/rule.ts'
import { isPlain, unpacked } from '../protocols/encodings.ts'
import type { AnswerHandler, Controller } from './dispatch.ts'

/** An answer that has come whole. Names of headers are in lower case; the body is unpacked. */
export type WholeAnswer = Readonly<{ status: number; headers: Readonly<FlatHeaders>; body: Buffer; trailers: readonly string[] }>

/** What goes on in its place. Never rejects. */
export type Change = (answer: WholeAnswer) => WholeAnswer | Failure | Promise<WholeAnswer | Failure>

export type Gathering = Readonly<{
  /** Of the request: an answer to HEAD has no body, whatever it says. */
  method: string
  /** Bytes of the body, also when it is unpacked. */
  max: number
  /** Which answers are held until they are whole; the others pass as they come. */
  wants(status: number, headers: Readonly<FlatHeaders>): boolean
  change: Change
}>

/** Bytes of an answer that must be read whole. */
export const readableMax = ({ responseMax }: Pick<BuiltRule, 'responseMax'>) => readLimit(responseMax)

/** Gathers an answer, and sends on what is made of it. */
export function whole(gathering: Gathering): Stage {
  return (to, refuse) => new Whole(to, refuse, gathering)
}

/** What is said of the bytes of a body, and holds for no others (RFC 9110, RFC 9530). */
const ofBytes = new Set(['content-length', 'transfer-encoding', 'content-encoding', 'content-md5', 'digest', 'content-digest', 'repr-digest', 'etag', 'accept-ranges'])

class Whole implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #refuse: (why: Failure, cause: string) => void
  readonly #gathering: Gathering
  #passing = false
  #over = false
  #given = false
  #status = 0
  #headers: FlatHeaders = []
  #pieces: Buffer[] = []
  #size = 0

  constructor(to: AnswerHandler, refuse: (why: Failure, cause: string) => void, gathering: Gathering) {
    this.#to = to
    this.#refuse = refuse
    this.#gathering = gathering
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    const { method, max, wants } = this.#gathering
    const headers = rawHeaders.map((text, at) => (at % 2 === 0 ? known(text).name : text))
    const bodyless = method === 'HEAD' || status === 204 || status === 304
    if (bodyless || !wants(status, headers)) {
      this.#passing = true
      this.#to.onResponseStart(controller, status, rawHeaders)
      return
    }
    this.#status = status
    this.#headers = headers
    if (Number(valueOf(headers, 'content-length') ?? 0) > max) this.#end(tooLarge, '')
  }

  /** The pieces are kept, as `onResponseFlush` says. */
  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#passing) {
      this.#to.onResponseData(controller, chunk)
      return
    }
    if (this.#over) return
    this.#size += chunk.length
    if (this.#size > this.#gathering.max) this.#end(tooLarge, '')
    else this.#pieces.push(chunk)
  }

  onResponseFlush(): boolean {
    if (this.#passing) return this.#to.onResponseFlush()
    // What is made of it may still look at it.
    return this.#given ? this.#to.onResponseFlush() || this.#size > 0 : this.#size > 0
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    if (this.#passing) {
      this.#to.onResponseEnd(controller, rawTrailers)
      return
    }
    if (this.#over) return
    const [only] = this.#pieces
    const body = this.#pieces.length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces, this.#size)
    this.#pieces = []
    const answer: WholeAnswer = { status: this.#status, headers: this.#headers, body, trailers: rawTrailers }
    const encoding = valueOf(this.#headers, 'content-encoding')
    if (body.length === 0 || encoding === undefined || isPlain(encoding)) {
      this.#settle(controller, answer, this.#gathering.change(answer))
      return
    }
    void unpacked(body, encoding, this.#gathering.max).then((plain) => {
      if (this.#over) return
      if (typeof plain === 'string') this.#end(plain === 'too_large' ? tooLarge : unreadable, `content-encoding: ${encoding.slice(0, 40)}`)
      else {
        const headers = [...this.#headers]
        removeHeaders(headers, (name) => name === 'content-encoding')
        this.#settle(controller, answer, this.#gathering.change({ ...answer, headers, body: plain }))
      }
    })
  }

  onResponseError(error: Error): void {
    this.#pieces = []
    if (!this.#over) this.#to.onResponseError(error)
    this.#over = true
  }

  #settle(controller: Controller, before: WholeAnswer, after: ReturnType<Change>): void {
    if (after instanceof Promise) {
      void after.then((settled) => this.#give(controller, before, settled), (error: unknown) => this.#end(broken, String(error)))
    } else this.#give(controller, before, after)
  }

  #give(controller: Controller, before: WholeAnswer, after: WholeAnswer | Failure): void {
    if (this.#over) return
    if ('code' in after) {
      this.#end(after, after.cause ?? '')
      return
    }
    this.#over = true
    this.#given = true
    const to = this.#to
    const headers = [...after.headers]
    if (after.body !== before.body) {
      removeHeaders(headers, (name) => ofBytes.has(name))
      headers.push('content-length', String(after.body.length))
    }
    to.onResponseStart(controller, after.status, headers)
    if (after.body.length > 0) to.onResponseData(controller, after.body)
    to.onResponseEnd(controller, after.trailers)
  }

  #end(why: Failure, cause: string): void {
    this.#over = true
    this.#pieces = []
    this.#refuse(why, cause)
  }
}

const tooLarge = failure('response_too_large', 'The answer of the backend is larger than what is read here.')
const unreadable = failure('upstream_protocol', 'The answer of the backend is packed in a way that cannot be read here.')
const broken = failure('upstream_protocol', 'The answer of the backend could not be read.')
