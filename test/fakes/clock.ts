import type { Clock } from '../../controller/kubernetes/clock.ts'

/** Time that passes when a test says so. */
export class FakeClock implements Clock {
  #now = 1_000
  readonly #timers = new Set<{ at: number; run: () => void }>()

  now = (): number => this.#now

  date = (): Date => new Date(Date.UTC(2026, 0, 1) + this.#now)

  /** By how much timers run before their time, as real ones do by parts of a millisecond. */
  early = 0

  after = (ms: number, run: () => void): (() => void) => {
    const timer = { at: this.#now + Math.max(0, ms - this.early), run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Runs what falls due, in order, letting what it starts settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      await settle()
      const next = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
    }
    this.#now = end
    await settle()
  }

  /** Lets time pass in which nothing runs, as where the process is busy. */
  stall(ms: number): void {
    this.#now += ms
  }

  /**
   * Lets time pass until something has come about; sockets are real, so each step gives them a real moment.
   * @returns how many virtual milliseconds it took, give or take a step
   */
  async until(what: string, holds: () => boolean, { step = 50, limit = 600_000 } = {}): Promise<number> {
    const began = this.#now
    while (!holds()) {
      if (this.#now - began > limit) throw new Error(`${limit} virtual ms went by without ${what}`)
      await this.advance(step)
      await new Promise(resolve => setTimeout(resolve, 2))
    }
    return this.#now - began
  }
}

const settle = () => new Promise(resolve => setImmediate(resolve))
