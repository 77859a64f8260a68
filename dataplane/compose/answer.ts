import { failure, type Failure } from '../pipeline/errors.ts'
import { known, removeHeader, valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { isPlain, unpacked } from '../protocols/encodings.ts'
import { CallFailed } from '../upstream/call.ts'
import type { AnswerHandler, Controller } from '../upstream/dispatch.ts'
import type { Live, Made } from '../upstream/served.ts'

/** What came of a call: an answer whole, or on its way and with a status of success, or why there is none. */
type Outcome = Made | Live | Failure

/** Memory that is taken for answers. */
export type Room = Readonly<{
  /** Bytes that there are left. */
  left(): number
  /** Takes so many, or says that there are not so many. */
  take(bytes: number): boolean
  give(bytes: number): void
}>

/** Gathers the answer to a call, or lets it pass as it comes where `passes` says so when it begins. */
export class StepAnswer implements AnswerHandler {
  readonly #room: Room
  readonly #tap: ((chunk: Buffer) => void) | undefined
  readonly #passes: () => boolean
  readonly #settle: (outcome: Outcome) => void
  #status = 0
  #headers: FlatHeaders = []
  #pieces: Buffer[] = []
  #size = 0
  #passing = false
  /** What came before there was somebody to give it to. */
  #to: AnswerHandler | undefined
  #end: Readonly<{ trailers: readonly string[] } | { error: Error }> | undefined

  /** @param tap sees each piece of it */
  constructor(room: Room, tap: ((chunk: Buffer) => void) | undefined, passes: () => boolean, settle: (outcome: Outcome) => void) {
    this.#room = room
    this.#tap = tap
    this.#passes = passes
    this.#settle = settle
  }

  onResponseStart(controller: Controller, status: number, rawHeaders: readonly string[]): void {
    this.#status = status
    this.#headers = rawHeaders.map((text, at) => (at % 2 === 0 ? known(text).name : text))
    if (status < 200 || status > 299 || !this.#passes()) return
    this.#passing = true
    controller.pause()
    this.#settle({
      status,
      open: (to) => {
        this.#to = to
        to.onResponseStart(controller, status, rawHeaders)
        for (const piece of this.#pieces.splice(0)) to.onResponseData(controller, piece)
        if (this.#end === undefined) {
          to.onResponseFlush()
          controller.resume()
        } else if ('error' in this.#end) to.onResponseError(this.#end.error)
        else to.onResponseEnd(controller, this.#end.trailers)
      },
    })
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#end !== undefined) return
    this.#tap?.(chunk)
    if (this.#to !== undefined) {
      this.#to.onResponseData(controller, chunk)
      return
    }
    if (!this.#passing) {
      if (!this.#room.take(chunk.length)) {
        const error = new CallFailed(tooLarge)
        this.#end = { error }
        controller.abort(error)
        this.#fail(tooLarge)
        return
      }
      this.#size += chunk.length
    }
    this.#pieces.push(chunk)
  }

  onResponseFlush(): boolean {
    return this.#to?.onResponseFlush() ?? true
  }

  onResponseEnd(controller: Controller, trailers: readonly string[]): void {
    this.#end = { trailers }
    if (this.#to !== undefined) this.#to.onResponseEnd(controller, trailers)
    if (this.#passing) return
    const body = this.#pieces.length === 1 && this.#pieces[0] ? this.#pieces[0] : Buffer.concat(this.#pieces, this.#size)
    this.#pieces = []
    const encoding = valueOf(this.#headers, 'content-encoding')
    if (body.length === 0 || encoding === undefined || isPlain(encoding)) this.#settle({ status: this.#status, headers: this.#headers, body, trailers })
    else void this.#unpack(body, encoding, trailers)
  }

  async #unpack(body: Buffer, encoding: string, trailers: readonly string[]): Promise<void> {
    const plain = await unpacked(body, encoding, this.#room.left() + this.#size)
    if (typeof plain === 'string') {
      this.#fail(plain === 'too_large' ? tooLarge : unreadable)
      return
    }
    this.#room.give(this.#size)
    this.#room.take(plain.length)
    removeHeader(this.#headers, 'content-encoding')
    this.#settle({ status: this.#status, headers: this.#headers, body: plain, trailers })
  }

  onResponseError(error: Error): void {
    this.#end ??= { error }
    if (this.#to !== undefined) this.#to.onResponseError(error)
    if (!this.#passing) this.#fail(error instanceof CallFailed ? error.why : failure('upstream_reset', error.message))
  }

  #fail(why: Failure): void {
    this.#pieces = []
    this.#room.give(this.#size)
    this.#size = 0
    this.#settle(why)
  }
}

export const tooLarge = failure('response_too_large', 'The answers of the backends are larger than what is read here.')
const unreadable = failure('upstream_protocol', 'The answer of the backend is packed in a way that cannot be read here.')
