import { setImmediate as turn } from 'node:timers/promises'

/** As much as is copied before others have their turn: about a millisecond. Bytes. */
const copyMax = 4_194_304

/** Makes one buffer of pieces that are only lent, and never keeps the process busy for long. */
export class Gather {
  size = 0
  /** Where the length was said. */
  readonly #room: Buffer | undefined
  readonly #pieces: Buffer[] = []

  /** @param length bytes that will come; 0: not known */
  constructor(length: number) {
    // The system gives it its memory as it is filled, so that what is announced and does not come costs nothing.
    this.#room = length > 0 ? Buffer.allocUnsafeSlow(length) : undefined
  }

  push(piece: Buffer): void {
    if (this.#room !== undefined && this.size + piece.length <= this.#room.length) piece.copy(this.#room, this.size)
    else this.#pieces.push(Buffer.from(piece))
    this.size += piece.length
  }

  whole(): Buffer | Promise<Buffer> {
    if (this.#room !== undefined && this.size <= this.#room.length) return this.size === this.#room.length ? this.#room : this.#room.subarray(0, this.size)
    const pieces = this.#room === undefined ? this.#pieces : [this.#room, ...this.#pieces]
    const [only] = pieces
    if (only !== undefined && pieces.length === 1) return only
    return this.size <= copyMax ? Buffer.concat(pieces, this.size) : joined(pieces, this.size)
  }
}

async function joined(pieces: readonly Buffer[], size: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafeSlow(size)
  let at = 0
  let since = 0
  for (const piece of pieces) {
    at += piece.copy(whole, at)
    since += piece.length
    if (since < copyMax) continue
    since = 0
    await turn()
  }
  return whole
}
