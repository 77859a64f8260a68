import type { PassiveHealth } from '../../table/resilience.ts'

/** The longest that an endpoint is out, in times of the first. */
const timesMax = 10

/**
 * One endpoint's failures in a row, and how often they put it out. Each time is longer by as much as the first, and the
 * count begins anew once it has been back, and good, for as long as it was out. Times as of `performance.now()`.
 */
export class Ejection {
  #run = 0
  #since = 0
  #times = 0
  #back = 0

  /** A request to it failed. True: it is to be put out. */
  failed({ consecutiveErrors, window }: PassiveHealth, now: number): boolean {
    if (this.#run === 0 || now - this.#since > window) {
      this.#run = 0
      this.#since = now
    }
    this.#run++
    return this.#run >= consecutiveErrors
  }

  succeeded(now: number): void {
    this.#run = 0
    if (this.#times > 0 && now >= this.#back) this.#times = 0
  }

  /** Puts it out. @returns until when */
  eject({ ejectFor }: PassiveHealth, now: number): number {
    this.#run = 0
    this.#times = Math.min(this.#times + 1, timesMax)
    const out = ejectFor * this.#times
    this.#back = now + 2 * out
    return now + out
  }
}

/** Whether one more may be put out, of so many that are fit but for that. */
export function mayEject({ maxEjectedPercent }: PassiveHealth, ejected: number, fit: number): boolean {
  return (ejected + 1) * 100 <= fit * maxEjectedPercent
}
