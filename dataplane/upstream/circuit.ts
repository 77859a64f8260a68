export type CircuitState = 'closed' | 'open' | 'half-open'

/**
 * Open, it lets nobody through. When its time is over one request at a time may try again, and what comes of that one
 * decides. All times are in the terms of `performance.now()`.
 */
export class Circuit {
  /** Until then nobody is let through; -1: it is closed. */
  #until = -1
  #trying = false

  state(now: number): CircuitState {
    if (this.#until === -1) return 'closed'
    return now < this.#until ? 'open' : 'half-open'
  }

  get closed(): boolean {
    return this.#until === -1
  }

  /** `trial`: the one that tries; whoever takes it says how it went, with `open`, `close` or `giveUp`. */
  enter(now: number): 'pass' | 'trial' | 'refuse' {
    if (this.#until === -1) return 'pass'
    if (now < this.#until || this.#trying) return 'refuse'
    this.#trying = true
    return 'trial'
  }

  /** Milliseconds until somebody may try; 0: at once, or as soon as who tries is back. */
  wait(now: number): number {
    return Math.max(0, this.#until - now)
  }

  get trying(): boolean {
    return this.#trying
  }

  open(until: number): void {
    this.#until = until
    this.#trying = false
  }

  close(): void {
    this.#until = -1
    this.#trying = false
  }

  /** Who tried came to nothing that says anything; the next may try. */
  giveUp(): void {
    this.#trying = false
  }
}
