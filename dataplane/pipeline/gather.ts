import { setImmediate as turn } from 'node:timers/promises'

/** As much as is copied before others have their turn: about a millisecond. Bytes. */
const copyMax = 4_194_304

/** Makes one buffer of pieces that are only lent, and never keeps the process busy for long. */
export class Gather {
  size = 0
  readonly #length: number
  /** Where the length was said, and a part of it has come. */
  #room: Buffer | undefined
  #pieces: Buffer[] = []

  /** @param length bytes that will come; 0: not known */
  constructor(length: number) {
    this.#length = length
  }

  push(piece: Buffer): void {
    // Whoever announces much and sends little gets little.
    if (this.#room === undefined && this.#length > 0 && (this.size + piece.length) * roomShare >= this.#length) this.#makeRoom()
    if (this.#room !== undefined && this.size + piece.length <= this.#length) piece.copy(this.#room, this.size)
    else this.#pieces.push(Buffer.from(piece))
    this.size += piece.length
  }

  #makeRoom(): void {
    this.#room = Buffer.allocUnsafe(this.#length)
    let at = 0
    for (const piece of this.#pieces) at += piece.copy(this.#room, at)
    this.#pieces = []
  }

  whole(): Buffer | Promise<Buffer> {
    if (this.#room !== undefined && this.size <= this.#length) return this.size === this.#length ? this.#room : this.#room.subarray(0, this.size)
    const pieces = this.#room === undefined ? this.#pieces : [this.#room, ...this.#pieces]
    const [only] = pieces
    if (only !== undefined && pieces.length === 1) return only
    return this.size <= copyMax ? Buffer.concat(pieces, this.size) : joined(pieces, this.size)
  }
}

/** Room is made for all of a body when this part of it has come. */
const roomShare = 16

/** A copy that shares its memory with nothing. */
export function copied(bytes: Buffer): Buffer | Promise<Buffer> {
  const pieces = Array.from({ length: Math.ceil(bytes.length / copyMax) }, (_, at) => bytes.subarray(at * copyMax, (at + 1) * copyMax))
  if (pieces.length > 1) return joined(pieces, bytes.length)
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
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
