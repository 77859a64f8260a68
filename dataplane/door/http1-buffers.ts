import { madeBuffers } from '../garbage.ts'

/** What reads of an upload go into. Bytes. */
const min = 65_536
const max = 262_144

/** Two buffers by turns, which grow with what comes: what was read into one is still on its way to the backend while the other is filled. */
export class UploadBuffers {
  #own = made(min)
  /** What was read into before, and whether all of that has gone. */
  #other: Buffer | undefined
  #otherGone = false

  /** The first. */
  get own(): Buffer {
    return this.#own
  }

  /** All that was read has gone. */
  gone(): void {
    if (this.#other !== undefined) this.#otherGone = true
  }

  /** For the next read. @param last what the last one was offered @param length what came @param pending some of it has yet to go */
  next(last: Buffer, length: number, pending: boolean): Buffer {
    const own = this.#own
    // A larger one is for a backend that keeps up, and stays in use: what is made anew, and is soon over, should be small.
    const size = pending ? min : length === last.length ? Math.min(last.length * 4, max) : last.length
    if (!pending && size <= own.length) return own
    const other = this.#other
    this.#own = other !== undefined && this.#otherGone && other.length >= size ? other : made(size)
    this.#other = own
    this.#otherGone = !pending
    return this.#own
  }
}

function made(size: number): Buffer {
  madeBuffers(size)
  return Buffer.allocUnsafeSlow(size)
}
