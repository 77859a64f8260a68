import type { Witness } from './door.ts'
import type { Exchange } from './exchange.ts'

/** Has a request recorded before the last byte of its answer goes out. */
export class Ending implements Witness {
  readonly #exchange: Exchange
  readonly #finish: (exchange: Exchange) => void
  readonly #hold: (go: () => void) => void

  constructor(exchange: Exchange, finish: (exchange: Exchange) => void, hold: (go: () => void) => void) {
    this.#exchange = exchange
    this.#finish = finish
    this.#hold = hold
  }

  beforeEnd(go: () => void): void {
    this.#finish(this.#exchange)
    this.#hold(go)
  }
}
