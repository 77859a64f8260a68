/** The frames of gRPC (PROTOCOL-HTTP2.md, Length-Prefixed-Message): a flag, four bytes of length, the message. */

export const frameHead = 5

/** The one message of a body; undefined where there is none, another, or it is compressed. Shares memory. */
export function onlyMessage(body: Buffer): Buffer | undefined {
  if (body.length < frameHead || body[0] !== 0 || body.readUInt32BE(1) !== body.length - frameHead) return undefined
  return body.subarray(frameHead)
}

/** A message in a frame of its own. */
export function framed(...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const head = Buffer.alloc(frameHead)
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, ...parts], frameHead + length)
}

/** Takes frames out of a body as it comes, in any chunking. What is kept between two pieces is at most one. */
export class FrameReader {
  readonly #max: number
  #pieces: Buffer[] = []
  #size = 0
  /** Bytes until there is more to be read: of a head, or of a whole frame. */
  #needed = frameHead

  /** @param max bytes of a message */
  constructor(max: number) {
    this.#max = max
  }

  /** The frames that end in this piece, each with its head and in memory of its own; undefined: one is too large. */
  push(chunk: Buffer): Buffer[] | undefined {
    this.#pieces.push(Buffer.from(chunk))
    this.#size += chunk.length
    const frames: Buffer[] = []
    while (this.#size >= this.#needed) {
      const [only] = this.#pieces
      const bytes = this.#pieces.length === 1 && only ? only : Buffer.concat(this.#pieces, this.#size)
      this.#pieces = [bytes]
      const length = bytes.readUInt32BE(1)
      if (length > this.#max) return undefined
      this.#needed = frameHead + length
      if (bytes.length < this.#needed) break
      frames.push(bytes.subarray(0, this.#needed))
      this.#pieces = [bytes.subarray(this.#needed)]
      this.#size -= this.#needed
      this.#needed = frameHead
    }
    return frames
  }

  /** A frame has begun, and not ended. */
  get broken(): boolean {
    return this.#size > 0
  }
}
