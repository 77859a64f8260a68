/** So much a second, and at most so much at once. */
export class Allowance {
  readonly #perSecond: number
  readonly #most: number
  readonly #now: () => number
  #left: number
  #at: number

  /** @param now milliseconds */
  constructor(perSecond: number, most: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond
    this.#most = most
    this.#now = now
    this.#left = most
    this.#at = now()
  }

  /** What is left; less than nothing after more was taken than there was. */
  get left(): number {
    const now = this.#now()
    this.#left = Math.min(this.#most, this.#left + ((now - this.#at) * this.#perSecond) / 1000)
    this.#at = now
    return this.#left
  }

  /** False, and nothing is taken: there is not as much. */
  take(amount: number): boolean {
    if (this.left < amount) return false
    this.#left -= amount
    return true
  }

  /** Takes what was used already, whether it was there or not. */
  owe(amount: number): void {
    this.#left = this.left - amount
  }
}
