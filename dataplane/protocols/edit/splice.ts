import type { BodyEditor } from './editor.ts'

/** Puts some bytes in the place of others, of which it is known where in the body they stand. */
export class Splice implements BodyEditor {
  readonly fault = undefined
  readonly #from: number
  readonly #to: number
  readonly #bytes: Buffer
  #at = 0
  #put = false

  constructor(place: readonly [from: number, to: number], bytes: Buffer) {
    this.#from = place[0]
    this.#to = place[1]
    this.#bytes = bytes
  }

  take(piece: Buffer): readonly Buffer[] {
    const start = this.#at
    const end = start + piece.length
    this.#at = end
    const out: Buffer[] = []
    if (start < this.#from) out.push(piece.subarray(0, this.#from - start))
    if (!this.#put && end >= this.#from) out.push(...this.end())
    if (end > this.#to) out.push(piece.subarray(Math.max(0, this.#to - start)))
    return out
  }

  end(): readonly Buffer[] {
    if (this.#put) return []
    this.#put = true
    return [this.#bytes]
  }
}
