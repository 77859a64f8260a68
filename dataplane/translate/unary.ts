import { failure, type Failure } from '../pipeline/errors.ts'
import type { Stage } from '../pipeline/exchange.ts'
import { Gather } from '../pipeline/gather.ts'
import { known, Kind, type FlatHeaders } from '../pipeline/headers.ts'
import { decoded } from '../protocols/encodings.ts'
import type { AnswerHandler, Controller } from '../upstream/dispatch.ts'

/** An answer that is all there. Names of headers and trailers are in lower case; `body` is out of its content coding. */
export type Given = Readonly<{ status: number; headers: FlatHeaders; body: Buffer; trailers: FlatHeaders }>

/** The same in the caller's form. `headers`: what is said of the body; the backend's other headers go along. */
export type Said = Readonly<{ status: number; headers: FlatHeaders; body: readonly Buffer[]; trailers?: FlatHeaders }>

/** Never rejects. */
export type Say = (given: Given) => Said | Failure | Promise<Said | Failure>

/** Reads an answer whole, and gives on what is made of it. @param max bytes, also of what it unpacks to */
export function unary(max: number, say: Say): Stage {
  return (to, refuse) => new Unary(to, refuse, max, say)
}

class Unary implements AnswerHandler, Controller {
  readonly #to: AnswerHandler
  readonly #refuse: Parameters<Stage>[1]
  readonly #max: number
  readonly #say: Say
  #status = 0
  #headers: FlatHeaders = []
  #gather = new Gather(0)
  #pieces: readonly Buffer[] = []
  #trailers: FlatHeaders = []
  /** Bytes of the first piece that were given. */
  #given = 0
  #begun = false
  #paused = false
  #giving = false
  #over = false

  constructor(to: AnswerHandler, refuse: Parameters<Stage>[1], max: number, say: Say) {
    this.#to = to
    this.#refuse = refuse
    this.#max = max
    this.#say = say
  }

  onResponseStart(_controller: Controller, status: number, rawHeaders: readonly string[]): void {
    this.#status = status
    this.#headers = lowered(rawHeaders)
    const length = Number(this.#headers[this.#headers.indexOf('content-length') + 1])
    if (length > this.#max) this.#fail(answerTooLarge(this.#max), '')
    else this.#gather = new Gather(Number.isSafeInteger(length) && length > 0 ? length : 0)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    if (this.#gather.size + chunk.length <= this.#max) this.#gather.push(chunk)
    else {
      this.#fail(answerTooLarge(this.#max), '')
      controller.abort(new Error('the answer is too large'))
    }
  }

  onResponseFlush(): boolean {
    return false
  }

  onResponseEnd(_controller: Controller, rawTrailers: readonly string[]): void {
    if (!this.#over) void this.#translate(lowered(rawTrailers))
  }

  async #translate(trailers: FlatHeaders): Promise<void> {
    try {
      const body = await decoded(this.#headers, await this.#gather.whole(), this.#max)
      if (typeof body === 'string') {
        this.#fail(body === 'too_large' ? answerTooLarge(this.#max) : undecodable, '')
        return
      }
      const said = await this.#say({ status: this.#status, headers: this.#headers, body, trailers })
      if ('code' in said) this.#fail(said, 'translation')
      else this.#give(said)
    } catch (error) {
      this.#fail(undecodable, String(error))
    }
  }

  #give({ status, headers, body, trailers = [] }: Said): void {
    if (this.#over) return
    this.#begun = true
    this.#pieces = body
    this.#trailers = trailers
    this.#to.onResponseStart(this, status, [...carried(this.#headers), ...headers])
    this.#pour()
  }

  #pour(): void {
    if (this.#giving) return
    this.#giving = true
    while (!this.#over && !this.#paused && this.#pieces.length > 0) {
      const piece = this.#pieces[0]?.subarray(this.#given, this.#given + pieceMax) ?? none
      this.#given += piece.length
      if (this.#given >= (this.#pieces[0]?.length ?? 0)) {
        this.#pieces = this.#pieces.slice(1)
        this.#given = 0
      }
      if (piece.length > 0) this.#to.onResponseData(this, piece)
      if (this.#pieces.length > 0) this.#to.onResponseFlush()
    }
    this.#giving = false
    if (this.#over || this.#paused) return
    this.#over = true
    this.#to.onResponseEnd(this, this.#trailers)
  }

  onResponseError(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#to.onResponseError(error)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    if (this.#begun) this.#pour()
  }

  abort(reason: Error): void {
    this.onResponseError(reason)
  }

  #fail(why: Failure, cause: string): void {
    if (this.#over) return
    this.#over = true
    this.#refuse(why, cause)
  }
}

/** As much as goes out before the client is asked whether it takes more. Bytes. */
const pieceMax = 65_536
const none = Buffer.alloc(0)

export const answerTooLarge = (max: number) => failure('response_too_large', `The answer of the backend has more than the ${max} bytes that can be translated here.`)
const undecodable = failure('upstream_protocol', 'The answer of the backend cannot be read.')

/** Names of headers in lower case. */
export const lowered = (raw: readonly string[]): FlatHeaders => raw.map((text, i) => (i % 2 === 0 ? known(text).name : text))

/** What is said of the backend's body holds for it alone. */
const ofBody = new Set(['content-type', 'content-encoding', 'content-language', 'content-range', 'inference-header-content-length', 'etag', 'last-modified',
  'accept-ranges', 'trailer'])

/** What a backend says beside its body. */
export function carried(headers: readonly string[]): FlatHeaders {
  const kept: FlatHeaders = []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const { kind } = known(name)
    if (kind !== Kind.contentLength && kind !== Kind.transferEncoding && !ofBody.has(name) && !name.startsWith('grpc-')) kept.push(name, headers[i + 1] ?? '')
  }
  return kept
}
