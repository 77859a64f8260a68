import type { Sliced } from '../sliced.ts'

/** As much as is copied in one go. Fresh memory takes far longer than the copy. Bytes. */
const stretch = 262_144

/** One text of many pieces, put together in stretches. */
export function* joined(pieces: readonly Buffer[]): Sliced<Buffer> {
  const whole = Buffer.allocUnsafe(pieces.reduce((size, { length }) => size + length, 0))
  let at = 0
  let since = 0
  for (const piece of pieces) {
    for (let from = 0; from < piece.length;) {
      const to = Math.min(piece.length, from + stretch - since)
      at += piece.copy(whole, at, from, to)
      since += to - from
      from = to
      if (since < stretch) continue
      since = 0
      yield
    }
  }
  return whole
}
