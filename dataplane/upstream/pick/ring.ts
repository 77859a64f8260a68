import { hash32, mixed } from '../hash.ts'

/** Points of one endpoint: with a hundred, shares of the keys differ by about a tenth. */
const points = 100
/** A position and a number of a member in one double: 32 and 20 bits of its 53. */
const indexes = 2 ** 20

/**
 * A ring of hashes, with each member at many points. A key belongs to the first point after it. So when a member comes
 * or goes, the keys that move are those that it gains or loses, and no others.
 */
export class Ring {
  /** Sorted. */
  readonly #points: Float64Array

  constructor(labels: readonly string[]) {
    const all = new Float64Array(labels.length * points)
    for (const [index, label] of labels.entries()) {
      const [start, step] = [hash32(label, 0), hash32(label, 1)]
      for (let i = 0; i < points; i++) all[index * points + i] = mixed(start ^ Math.imul(mixed(step + i), 0x9e3779b1)) * indexes + index
    }
    this.#points = all.sort()
  }

  /** Where the walk of a key begins. */
  find(key: number): number {
    const wanted = key * indexes
    let low = 0
    let high = this.#points.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#points[middle] ?? 0) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }

  get length(): number {
    return this.#points.length
  }

  /** The member at a step of the walk, which goes around. */
  member(at: number): number {
    return (this.#points[at % this.#points.length] ?? 0) % indexes
  }
}
