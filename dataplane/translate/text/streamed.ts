import { failure } from '../../pipeline/errors.ts'
import type { Stage } from '../../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { isPlain } from '../../protocols/encodings.ts'
import type { AnswerHandler, Controller } from '../../upstream/dispatch.ts'
import type { Generated } from '../translation.ts'
import { carried, lowered, type Said } from '../unary.ts'
import type { Part, Piece, PieceReader, PieceWriter } from './ask.ts'

export type Streaming<P> = Readonly<{
  reader(): PieceReader<P>
  writer(): PieceWriter<P>
  /** What an answer says that is an error. */
  error(body: Buffer): string
  generated: Generated
}>

/** Gives each piece of an answer on in the caller's form as soon as it is there. */
export function streamed<P extends Piece | Part>(streaming: Streaming<P>): Stage {
  return (to, refuse) => new Streamed(to, refuse, streaming)
}

/** Of an error, as much as is read. Bytes. */
const errorMax = 65_536

class Streamed<P extends Piece | Part> implements AnswerHandler {
  readonly #to: AnswerHandler
  readonly #refuse: Parameters<Stage>[1]
  readonly #streaming: Streaming<P>
  readonly #reader: PieceReader<P>
  readonly #writer: PieceWriter<P>
  #status = 0
  #headers: FlatHeaders = []
  /** Of an answer that is an error, and no stream. */
  #error: Buffer[] | undefined
  #errorSize = 0
  /** The head has gone out. */
  #begun = false
  /** Whatever comes is not looked at. */
  #over = false

  constructor(to: AnswerHandler, refuse: Parameters<Stage>[1], streaming: Streaming<P>) {
    this.#to = to
    this.#refuse = refuse
    this.#streaming = streaming
    this.#reader = streaming.reader()
    this.#writer = streaming.writer()
  }

  /** The head waits for the first piece: that may be an error, which is better said by a status. */
  onResponseStart(_controller: Controller, status: number, rawHeaders: readonly string[]): void {
    this.#status = status
    this.#headers = lowered(rawHeaders)
    const encoding = valueOf(this.#headers, 'content-encoding')
    if (!isPlain(encoding)) this.#end(packed, `content-encoding: ${encoding}`)
    else if (status >= 300 && status < 400) this.#end(redirected, String(status))
    else if (status >= 400 && valueOf(this.#headers, 'content-type')?.startsWith('text/event-stream') !== true) this.#error = []
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    if (this.#error === undefined) this.#take(controller, this.#reader.push(chunk))
    else if (this.#errorSize < errorMax) {
      this.#error.push(Buffer.from(chunk))
      this.#errorSize += chunk.length
    }
  }

  onResponseFlush(): boolean {
    if (this.#begun) this.#to.onResponseFlush()
    // What goes out is memory of its own.
    return false
  }

  onResponseEnd(controller: Controller, rawTrailers: readonly string[]): void {
    if (this.#over) return
    if (this.#error !== undefined) {
      this.#give(controller, this.#writer.refusal(this.#status, this.#streaming.error(Buffer.concat(this.#error))))
      return
    }
    this.#take(controller, this.#reader.end([...this.#headers, ...lowered(rawTrailers)]))
    if (this.#over) return
    const { body, trailers } = this.#writer.end()
    this.#begin(controller)
    for (const piece of body) if (piece.length > 0) this.#to.onResponseData(controller, piece)
    this.#over = true
    this.#to.onResponseEnd(controller, trailers ?? [])
  }

  onResponseError(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#to.onResponseError(error)
  }

  #take(controller: Controller, pieces: readonly P[] | undefined): void {
    if (pieces === undefined) {
      this.#end(unreadable, 'translation')
      return
    }
    const { generated } = this.#streaming
    for (const piece of pieces) {
      const one: Piece | Part = piece
      if (one.kind === 'usage') generated.usage = one.usage
      else if (one.kind !== 'fault') generated.pieces++
      else if (!this.#begun) {
        this.#give(controller, this.#writer.refusal(one.status ?? (this.#status >= 400 ? this.#status : 500), one.message))
        return
      }
      this.#begin(controller)
      const bytes = this.#writer.write(piece)
      if (bytes.length > 0) this.#to.onResponseData(controller, bytes)
    }
  }

  #begin(controller: Controller): void {
    if (this.#begun) return
    this.#begun = true
    this.#to.onResponseStart(controller, 200, [...carried(this.#headers), ...this.#writer.headers ?? []])
  }

  /** An answer that is whole; whatever else the backend says is not heard. */
  #give(controller: Controller, { status, headers, body, trailers = [] }: Said): void {
    this.#over = true
    this.#to.onResponseStart(controller, status, [...carried(this.#headers), ...headers])
    for (const piece of body) this.#to.onResponseData(controller, piece)
    this.#to.onResponseEnd(controller, trailers)
  }

  #end(why: Parameters<Parameters<Stage>[1]>[0], cause: string): void {
    this.#over = true
    this.#refuse(why, cause)
  }
}

const packed = failure('upstream_protocol', 'The backend packs a stream that has to be read.')
export const redirected = failure('upstream_protocol', 'The backend leads elsewhere, which is not followed.')
export const unreadable = failure('upstream_protocol', 'The answer of the backend cannot be read.')
