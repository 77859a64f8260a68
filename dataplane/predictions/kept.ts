import type { Room } from './room.ts'

/** Keeps the beginning of one body, in bounded space. */
export class Kept {
  /** Bytes of the whole, kept or not. */
  size = 0
  /** There was no room for it. */
  lost = false
  readonly #room: Room
  readonly #max: number
  #pieces: Buffer[] = []
  #held = 0

  /** @param max bytes that are kept */
  constructor(room: Room, max: number) {
    this.#room = room
    this.#max = max
  }

  /** @param lent its memory is used again */
  push(piece: Buffer, lent: boolean): void {
    this.size += piece.length
    const wanted = Math.min(piece.length, this.#max - this.#held)
    if (this.lost || wanted <= 0) return
    if (!this.#room.take(wanted)) {
      this.release()
      this.lost = true
      return
    }
    this.#held += wanted
    // Of a large body the rest must not stay in memory for the sake of its beginning.
    this.#pieces.push(lent || wanted < piece.length ? Buffer.from(piece.subarray(0, wanted)) : piece)
  }

  bytes(): Buffer {
    const [only] = this.#pieces
    return only !== undefined && this.#pieces.length === 1 ? only : Buffer.concat(this.#pieces, this.#held)
  }

  release(): void {
    this.#room.release(this.#held)
    this.#held = 0
    this.#pieces = []
  }
}
