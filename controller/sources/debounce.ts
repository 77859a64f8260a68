import type { Clock } from '../kubernetes/clock.ts'

/** Merges bursts: fires after 10 ms without another call, and 100 ms after the first one at the latest. */
export class Debounce {
  readonly #clock: Clock
  readonly #fire: () => void
  #first: number | undefined
  #cancel: (() => void) | undefined

  constructor(clock: Clock, fire: () => void) {
    this.#clock = clock
    this.#fire = fire
  }

  /** @param urgent fires as soon as the events that came in the same packet have been read */
  call(urgent = false): void {
    const now = this.#clock.now()
    this.#first ??= now
    this.#cancel?.()
    const wait = urgent ? 0 : Math.min(10, this.#first + 100 - now)
    // An urgent call must not be put off by the calm ones after it.
    if (urgent) this.#first = now - 100
    this.#cancel = this.#clock.after(Math.max(0, wait), () => {
      this.cancel()
      this.#fire()
    })
  }

  /** It was called, and has yet to fire. */
  get waiting(): boolean {
    return this.#cancel !== undefined
  }

  cancel(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#first = undefined
  }
}
