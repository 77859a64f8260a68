import { hash32, mixed } from '../hash.ts'

/** Points of one member: with a hundred, shares of the keys differ by about a tenth. */
const pointsEach = 100
/** A position and a slot in one double: 32 and 20 of its 53 bits. */
const slotsMax = 2 ** 20
const nobody = -1

/**
 * A ring of hashes, with each member at many points. A key belongs to the first point after it. So when a member comes
 * or goes, the keys that move are those that it gains or loses, and no others. Following such a change is one pass over
 * the points, in which nothing that stays is hashed or sorted again.
 */
export class Ring {
  /** Sorted. */
  #points = new Float64Array(0)
  readonly #slots = new Map<string, number>()
  readonly #free: number[] = []
  /** By slot: where its member stands in the list that was followed last. */
  readonly #at: number[] = []

  follow(labels: readonly string[]): void {
    this.#at.fill(nobody)
    const come: number[] = []
    for (const [index, label] of labels.entries()) {
      let slot = this.#slots.get(label)
      if (slot === undefined) {
        slot = this.#free.pop() ?? this.#at.length
        this.#slots.set(label, slot)
        addPoints(come, label, slot)
      }
      this.#at[slot] = index
    }
    const gone = [...this.#slots].filter(([, slot]) => this.#at[slot] === nobody)
    if (come.length === 0 && gone.length === 0) return
    this.#points = this.#merged(Float64Array.from(come).sort(), gone.length)
    for (const [label, slot] of gone) {
      this.#slots.delete(label)
      this.#free.push(slot)
    }
  }

  #merged(come: Float64Array, gone: number): Float64Array<ArrayBuffer> {
    const all = new Float64Array(this.#points.length + come.length - gone * pointsEach)
    let [next, end] = [0, 0]
    for (const point of this.#points) {
      if (this.#at[point % slotsMax] === nobody) continue
      while (next < come.length && (come[next] ?? 0) < point) all[end++] = come[next++] ?? 0
      all[end++] = point
    }
    while (next < come.length) all[end++] = come[next++] ?? 0
    return all
  }

  /** Where the walk of a key begins. */
  find(key: number): number {
    const wanted = key * slotsMax
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

  /** Where the member at a step of the walk, which goes around, stands in the list. */
  member(step: number): number {
    return this.#at[(this.#points[step % this.#points.length] ?? 0) % slotsMax] ?? nobody
  }
}

function addPoints(to: number[], label: string, slot: number): void {
  const [start, stride] = [hash32(label, 0), hash32(label, 1)]
  for (let i = 0; i < pointsEach; i++) to.push(mixed(start ^ Math.imul(mixed(stride + i), 0x9e3779b1)) * slotsMax + slot)
}
