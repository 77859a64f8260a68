/** What came of the requests that a window holds. */
export type Counts = Readonly<{ requests: number; failed: number; slow: number }>

/** Milliseconds of one slice. */
const slice = 1000

/** How requests ended lately, counted in slices of a second. All times are in the terms of `performance.now()`. */
export class Window {
  readonly #slices: number
  /** By slice: which one it is, and what it counted. */
  readonly #at: Float64Array
  readonly #requests: Uint32Array
  readonly #failed: Uint32Array
  readonly #slow: Uint32Array

  /** @param slices how many seconds it remembers */
  constructor(slices: number) {
    this.#slices = slices
    this.#at = new Float64Array(slices).fill(-1)
    this.#requests = new Uint32Array(slices)
    this.#failed = new Uint32Array(slices)
    this.#slow = new Uint32Array(slices)
  }

  record(failed: boolean, slow: boolean, now: number): void {
    const number = Math.floor(now / slice)
    const i = number % this.#slices
    if (this.#at[i] !== number) {
      this.#at[i] = number
      this.#requests[i] = this.#failed[i] = this.#slow[i] = 0
    }
    this.#requests[i] = (this.#requests[i] ?? 0) + 1
    if (failed) this.#failed[i] = (this.#failed[i] ?? 0) + 1
    if (slow) this.#slow[i] = (this.#slow[i] ?? 0) + 1
  }

  /** Of the last one to two seconds, or as far back as it takes for so many requests; undefined: there were not so many. */
  last(least: number, now: number): Counts | undefined {
    const number = Math.floor(now / slice)
    let [requests, failed, slow] = [0, 0, 0]
    for (let back = 0; back < this.#slices; back++) {
      if (back > 1 && requests >= least) break
      const i = (number - back) % this.#slices
      if (i < 0) break
      if (this.#at[i] !== number - back) continue
      requests += this.#requests[i] ?? 0
      failed += this.#failed[i] ?? 0
      slow += this.#slow[i] ?? 0
    }
    return requests >= least ? { requests, failed, slow } : undefined
  }

  clear(): void {
    this.#at.fill(-1)
  }
}
