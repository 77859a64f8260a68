import type { IncomingMessage } from 'node:http'

/** Bodies up to this many bytes are gathered and sent in one piece; of larger ones nothing is held. */
export const gatherMax = 65_536

/** The request ended before its body was whole. */
export class ClientLeft extends Error {}

/** Where a body goes. */
export type BodySink = Readonly<{
  /** False: no more for the moment, until `resume`. */
  data(chunk: Buffer): boolean
  end(): void
  fail(error: Error): void
}>

/**
 * The request's body on its way to one try. The request itself is not given away: a try that fails lets go of it, and
 * the client's connection is still there to be answered on.
 */
export class RequestBody {
  readonly #source: IncomingMessage
  readonly #count: (bytes: number) => void
  #sink: BodySink | undefined
  #over = false

  constructor(source: IncomingMessage, count: (bytes: number) => void) {
    this.#source = source
    this.#count = count
    source.pause()
  }

  /** Begins; once at most. */
  flow(sink: BodySink): void {
    if (this.#over) return
    this.#sink = sink
    this.#source.on('data', this.#onData)
    this.#source.once('end', this.#onEnd)
    this.#source.once('close', this.#onClose)
    this.#source.resume()
  }

  resume(): void {
    if (!this.#over) this.#source.resume()
  }

  /** Lets go of it, wherever it is. */
  destroy(): void {
    this.#over = true
    this.#source.off('data', this.#onData)
    this.#source.off('end', this.#onEnd)
    this.#source.off('close', this.#onClose)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#count(chunk.length)
    if (!this.#over && this.#sink?.data(chunk) === false) this.#source.pause()
  }

  readonly #onEnd = (): void => {
    const sink = this.#sink
    this.destroy()
    sink?.end()
  }

  /** A client that leaves in the middle: half a body must not look like a whole one. */
  readonly #onClose = (): void => {
    const sink = this.#sink
    this.destroy()
    sink?.fail(new ClientLeft('the client left in the middle of the request body'))
  }
}

/** Calls back once the whole of a small body is there; never, when the client leaves first. */
export function gatherBody(source: IncomingMessage, length: number, done: (body: Buffer) => void): void {
  let first: Buffer | undefined
  let all: Buffer[] | undefined
  let size = 0
  source.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (first === undefined) first = chunk
    else (all ??= [first]).push(chunk)
    if (size === length) done(all === undefined ? first : Buffer.concat(all, size))
  })
}
