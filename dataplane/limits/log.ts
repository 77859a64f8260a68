/** From how many entries on an entry stands for a 10,000th of the window instead of a millisecond. */
const FINE = 10_000

/**
 * What was taken, and when, of one count: the exact algorithm. Entries of the same millisecond are one. However much is
 * taken it has at most `2 × FINE` entries: beyond FINE, times are rounded up, so that what it rounds is counted a little
 * longer, and never less.
 */
export class TakenLog {
  /** Entries of time and units, the oldest at `#first`. */
  #entries: Float64Array = new Float64Array(8)
  #first = 0
  #count = 0
  /** The number of the oldest entry. Beginning with the time, numbers never come again: there is one a millisecond at most. */
  #number: number
  sum = 0

  constructor(now: number) {
    this.#number = now
  }

  get length(): number {
    return this.#count
  }

  get lastTime(): number {
    return this.#count === 0 ? 0 : this.#time(this.#count - 1)
  }

  /** Forgets what was taken at `until` or before. */
  forget(until: number): void {
    while (this.#count > 0 && this.#time(0) <= until) {
      this.sum -= this.#units(0)
      this.#first = (this.#first + 1) % this.#capacity
      this.#count--
      this.#number++
    }
    // What is left of fractions must not add up over the years.
    if (this.#count === 0) this.sum = 0
  }

  /** @returns the number of the entry, for `adjust` */
  add(now: number, units: number, window: number): number {
    const grain = this.#count < FINE ? 1 : Math.ceil(window / FINE)
    // A clock set back does not bring the order of the entries into disorder.
    const time = Math.max(Math.ceil(now / grain) * grain, this.lastTime)
    if (this.#count === 0 || this.lastTime !== time) {
      if (this.#count === this.#capacity) this.#grow()
      this.#entries[this.#place(this.#count)] = time
      this.#entries[this.#place(this.#count) + 1] = 0
      this.#count++
    }
    this.#change(this.#count - 1, units)
    return this.#number + this.#count - 1
  }

  /** Changes an entry, as long as it is not forgotten. */
  adjust(entry: number, difference: number): void {
    const index = entry - this.#number
    if (index >= 0 && index < this.#count) this.#change(index, Math.max(difference, -this.#units(index)))
  }

  /** When so much will have been forgotten that at most `most` is left, with a window of this length; ms since the epoch. */
  whenAtMost(most: number, window: number): number {
    let left = this.sum
    let index = 0
    for (; index < this.#count && left > most; index++) left -= this.#units(index)
    return index === 0 ? 0 : this.#time(index - 1) + window
  }

  get #capacity(): number {
    return this.#entries.length / 2
  }

  #place(index: number): number {
    return ((this.#first + index) % this.#capacity) * 2
  }

  #time(index: number): number {
    return this.#entries[this.#place(index)] ?? 0
  }

  #units(index: number): number {
    return this.#entries[this.#place(index) + 1] ?? 0
  }

  #change(index: number, difference: number): void {
    const place = this.#place(index) + 1
    this.#entries[place] = (this.#entries[place] ?? 0) + difference
    this.sum += difference
  }

  #grow(): void {
    const larger = new Float64Array(this.#entries.length * 2)
    for (let i = 0; i < this.#count; i++) {
      larger[i * 2] = this.#time(i)
      larger[i * 2 + 1] = this.#units(i)
    }
    this.#entries = larger
    this.#first = 0
  }
}
