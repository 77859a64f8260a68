import type { Load } from './load.ts'

/** How much one pair of reports moves what is taken for the rule. */
const step = 1 / 32
/** How much one look at an endpoint moves what is taken for the usual. */
const usualStep = 1 / 16
/** Of a difference, at least so much is still there a report later, where hardly anything was. */
const least = 1e-3

/**
 * For how long it stays true that one endpoint has more to do than another: where requests take seconds, for seconds;
 * where they take milliseconds, only for these. Learnt from how much of a difference from the usual is still there in
 * the next report of the same endpoint (the autocorrelation of the reports, and its decay).
 */
export class Persistence {
  #product = 0
  #square = 0
  #apart = 0
  readonly #last = new WeakMap<Load, Readonly<{ value: number; at: number }>>()
  #usual = 0

  /**
   * One value of the last report of an endpoint, as it is now: the less of its difference from the usual can be left,
   * the more the usual stands in for it. @param trust in the report, 0 to 1
   */
  now(load: Load, value: number, trust: number, now: number): number {
    this.#observe(load, value)
    return this.#usual + (value - this.#usual) * trust * this.after(now - load.at)
  }

  /** What an endpoint says on average. */
  get usual(): number {
    return this.#usual
  }

  #observe(load: Load, value: number): void {
    this.#usual += (value - this.#usual) * usualStep
    const { at } = load
    const last = this.#last.get(load)
    if (last?.at === at) return
    this.#last.set(load, { value, at })
    if (last === undefined) return
    const before = last.value - this.#usual
    this.#product += (before * (value - this.#usual) - this.#product) * step
    this.#square += (before * before - this.#square) * step
    this.#apart += (at - last.at - this.#apart) * (this.#apart === 0 ? 1 : step)
  }

  /** How much of a difference is left after so many milliseconds: 0 to 1. */
  after(age: number): number {
    if (this.#square === 0 || age <= 0) return 1
    const kept = Math.min(1, Math.max(least, this.#product / this.#square))
    return kept ** (age / this.#apart)
  }
}
