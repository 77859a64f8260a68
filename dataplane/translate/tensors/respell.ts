import type { BodyEditor } from '../../protocols/edit/editor.ts'

/** A part of a body that passes as it is, and what is written before it. */
export type Stretch = Readonly<{ before: Buffer; bytes: number }>

/** Leaves the beginning of a body out, and puts what stands between its stretches otherwise. @param skip bytes that are left out */
export class Respell implements BodyEditor {
  readonly fault = undefined
  readonly #stretches: readonly Stretch[]
  #skip: number
  #next = 0
  /** Of the stretch in hand. */
  #left = 0

  constructor(skip: number, stretches: readonly Stretch[]) {
    this.#skip = skip
    this.#stretches = stretches
  }

  take(piece: Buffer): readonly Buffer[] {
    if (this.#skip === 0 && piece.length <= this.#left) {
      this.#left -= piece.length
      return [piece]
    }
    const pieces: Buffer[] = []
    const skipped = Math.min(this.#skip, piece.length)
    this.#skip -= skipped
    for (let at = skipped; at < piece.length;) {
      if (this.#left === 0) {
        const stretch = this.#stretches[this.#next++]
        if (stretch === undefined) return pieces
        pieces.push(stretch.before)
        this.#left = stretch.bytes
      }
      const part = piece.subarray(at, at + this.#left)
      if (part.length > 0) pieces.push(part)
      this.#left -= part.length
      at += part.length
    }
    return pieces
  }

  /** Stretches without a byte of their own. */
  end(): readonly Buffer[] {
    return this.#stretches.slice(this.#next).map(({ before }) => before)
  }
}
