import type { Clock } from '../kubernetes/clock.ts'

/** One timer for the soonest of many things. It may ring where there is nothing to do any more, and never too late. */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #set: Readonly<{ at: number; cancel: () => void }> | undefined

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** What rings sooner stays. @param ms Infinity: not at all */
  set(ms: number): void {
    const at = this.#clock.now() + ms
    if (!Number.isFinite(ms)) return this.stop()
    if (this.#set && this.#set.at <= at) return
    this.stop()
    const run = () => {
      this.#set = undefined
      this.#ring()
    }
    this.#set = { at, cancel: this.#clock.after(ms, run) }
  }

  stop(): void {
    this.#set?.cancel()
    this.#set = undefined
  }
}
