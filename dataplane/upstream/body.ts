import { Readable } from 'node:stream'
import type { IncomingMessage } from 'node:http'

/** Bodies up to this many bytes are gathered and sent in one piece; of larger ones nothing is held. */
export const gatherMax = 65_536

/**
 * The request's body on its way to one try. The request itself must not be given away: undici destroys the body of a
 * request that fails, and with it the client's connection would go, before the client has its answer.
 */
export class RequestBody extends Readable {
  readonly #source: IncomingMessage
  readonly #count: (bytes: number) => void

  constructor(source: IncomingMessage, count: (bytes: number) => void) {
    super({ highWaterMark: gatherMax })
    this.#source = source
    this.#count = count
    source.pause()
    source.on('data', this.#onData)
    source.once('end', this.#onEnd)
    source.once('close', this.#onClose)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#count(chunk.length)
    if (!this.push(chunk)) this.#source.pause()
  }

  readonly #onEnd = (): void => {
    this.push(null)
  }

  /** A client that leaves in the middle: half a body must not look like a whole one. */
  readonly #onClose = (): void => {
    if (!this.#source.readableEnded) this.destroy(new Error('the client left in the middle of the request body'))
  }

  override _read(): void {
    this.#source.resume()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#source.off('data', this.#onData)
    this.#source.off('end', this.#onEnd)
    this.#source.off('close', this.#onClose)
    callback(error)
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
