/** Milliseconds of a window, and how many tries may fail in it: of one address, and of all. */
const WINDOW = 60_000
const EACH = 10
const ALL = 100
/** Tokens that are looked at at the same time: each may be a question to the API server. */
const AT_ONCE = 16

/** Bounds how often somebody may be wrong about a token, so that none is guessed and the API server is not kept busy. */
export class Tries {
  readonly #now: () => number
  #began = 0
  #failed = 0
  readonly #byAddress = new Map<string, number>()
  #busy = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** Seconds to wait; 0: go on, and say how it ended. */
  wait(address: string): number {
    const now = this.#now()
    if (now - this.#began >= WINDOW || now < this.#began) {
      this.#began = now
      this.#failed = 0
      this.#byAddress.clear()
    }
    if (this.#busy >= AT_ONCE) return 1
    const spent = this.#failed >= ALL || (this.#byAddress.get(address) ?? 0) >= EACH
    return spent ? Math.ceil((this.#began + WINDOW - now) / 1000) : 0
  }

  /** @param attempt answers whether the token was right */
  async attempt<T>(address: string, attempt: () => Promise<T>, failed: (outcome: T) => boolean): Promise<T> {
    this.#busy++
    try {
      const outcome = await attempt()
      if (failed(outcome)) {
        this.#failed++
        // As many addresses as failures at most.
        this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1)
      }
      return outcome
    } finally {
      this.#busy--
    }
  }
}
