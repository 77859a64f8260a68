import type { Clock } from '../kubernetes/clock.ts'

/** One timer, set anew at every change. */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #set: Readonly<{ at: number; cancel: () => void }> | undefined

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** @param ms Infinity: not at all. One that is due stays: nobody has looked at what it is for. */
  set(ms: number): void {
    const now = this.#clock.now()
    if (this.#set && this.#set.at <= now) return
    this.stop()
    if (!Number.isFinite(ms)) return
    const run = () => {
      this.#set = undefined
      this.#ring()
    }
    this.#set = { at: now + ms, cancel: this.#clock.after(ms, run) }
  }

  stop(): void {
    this.#set?.cancel()
    this.#set = undefined
  }
}
