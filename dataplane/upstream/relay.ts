import type { DoorResponse } from '../pipeline/door.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'

/** What goes out as one string with its head or its chunk's frame: one system call and no second buffer. */
const joinMax = 16_384

/**
 * An answer on its way to the client. Pieces are gathered while a read of the backend's is looked at, and written when
 * it has been, so that events that came together leave together and none is held back.
 */
export class Relay {
  readonly #response: DoorResponse
  readonly #pieces: Buffer[] = []
  #size = 0
  /** The answer goes in chunks, which are framed here, one a write. */
  #framed = false
  #begun = false
  #bodyless = false

  constructor(response: DoorResponse) {
    this.#response = response
  }

  /** Throws where the head could not be sent as it is. */
  begin(status: number, headers: FlatHeaders, length: number | undefined): void {
    const response = this.#response
    const framed = length === undefined && response.chunks
    if (framed) headers.push('transfer-encoding', 'chunked')
    response.writeHead(status, headers)
    this.#bodyless = length === 0
    this.#framed = framed
  }

  push(chunk: Buffer): void {
    this.#pieces.push(chunk)
    this.#size += chunk.length
  }

  /** Writes what was gathered. False: the client takes no more for the moment, and `drain` says when it does. */
  flush(): boolean {
    const response = this.#response
    if (this.#size === 0) {
      // The headers of an answer whose first event lets itself be waited for.
      if (!this.#begun && !this.#bodyless) response.flushHeaders()
      this.#begun = true
      return true
    }
    this.#begun = true
    return this.#write() || (response.plain && !response.pending)
  }

  #write(): boolean {
    const response = this.#response
    const size = this.#size
    const pieces = this.#take()
    if (size <= joinMax && response.plain) {
      const text = textOf(pieces)
      return response.write(this.#framed ? `${size.toString(16)}\r\n${text}\r\n` : text)
    }
    let more = true
    response.cork()
    if (this.#framed) response.write(`${size.toString(16)}\r\n`)
    for (const piece of pieces) more = response.write(piece)
    if (this.#framed) more = response.write('\r\n')
    response.uncork()
    return more
  }

  /** The whole answer is there. */
  end(trailers: readonly [string, string][]): void {
    const response = this.#response
    if (this.#framed) {
      const last = `0\r\n${trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
      const size = this.#size
      if (size > joinMax) this.flush()
      response.end(size > 0 && size <= joinMax ? `${size.toString(16)}\r\n${textOf(this.#take())}\r\n${last}` : last)
      return
    }
    if (trailers.length > 0) response.addTrailers(trailers)
    // Of an answer that told its length, the last of these bytes is the end. What waits must not be lent any more.
    if (this.#size > joinMax && response.plain && response.witness !== undefined) {
      response.end(Buffer.concat(this.#take()))
      return
    }
    if (this.#size > joinMax) this.flush()
    if (this.#size === 0) response.end()
    else if (response.plain) response.end(textOf(this.#take()))
    else response.end(Buffer.concat(this.#take()))
  }

  #take(): Buffer[] {
    this.#size = 0
    return this.#pieces.splice(0)
  }

  /** Bytes of what was given are still to be sent, so that they must not change. */
  get pending(): boolean {
    return this.#response.pending
  }
}

function textOf(pieces: readonly Buffer[]): string {
  const [only] = pieces
  return only !== undefined && pieces.length === 1 ? only.toString('latin1') : pieces.map((piece) => piece.toString('latin1')).join('')
}
