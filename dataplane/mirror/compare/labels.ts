import type { Findings } from './findings.ts'

/** How many of the largest numbers of a vector are put in order. */
const top = 5

/**
 * Compares two vectors of scores by what they say and not by how: where the largest score is (the label), and where the
 * five largest are (the top). Equal scores keep the order of their positions.
 */
export function compareLabels(a: ArrayLike<number>, b: ArrayLike<number>, from: number, length: number, findings: Findings): void {
  if (length < 2) return
  const [first, second] = [largest(a, from, length), largest(b, from, length)]
  findings.vectors++
  if (first[0] !== second[0]) findings.labelDiffers++
  if (first.some((position, i) => position !== second[i])) findings.topDiffers++
}

/** The positions of the largest, in order. */
function largest(values: ArrayLike<number>, from: number, length: number): number[] {
  const found: number[] = []
  for (let at = 0; at < length; at++) {
    const value = values[from + at] ?? Number.NaN
    let place = found.length
    while (place > 0 && value > (values[from + (found[place - 1] ?? 0)] ?? Number.NaN)) place--
    if (place >= top) continue
    found.splice(place, 0, at)
    if (found.length > top) found.pop()
  }
  return found
}
