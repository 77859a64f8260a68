import { isBefore, laterOf, type Order } from '../../table/order.ts'

/** Between two looks at whether this controller has caught up with a proxy, in milliseconds. */
const AGAIN = 500

/**
 * One proxy may have seen newer tables than there are here: it turns to another controller, or this one catches up. Knows
 * since when that is so, and how new the proxy was told that its table is.
 */
export class Behind {
  /** The last order that it was told. */
  #told: Order | undefined
  #held: { since: number; timer: NodeJS.Timeout } | undefined
  readonly #look: (ms: number) => void

  /** @param look called again and again while it is held, with for how long in milliseconds */
  constructor(look: (ms: number) => void) {
    this.#look = look
  }

  /** Whether that is before what the proxy has seen. */
  isBefore(order: Order, theirs: Order | null | undefined): boolean {
    const newest = theirs ? laterOf(theirs, this.#told) : this.#told
    return newest !== undefined && isBefore(order, newest)
  }

  /** It is being told that; false: it was already. */
  tell(order: Order): boolean {
    if (this.#told?.epoch === order.epoch && this.#told.sequence === order.sequence) return false
    this.#told = order
    return true
  }

  /** It is sent nothing for now; false: that was so already. */
  hold(): boolean {
    const first = this.#held === undefined
    const since = this.#held?.since ?? performance.now()
    clearTimeout(this.#held?.timer)
    this.#held = { since, timer: setTimeout(() => this.#look(performance.now() - since), AGAIN).unref() }
    return first
  }

  /** It asks another controller. Where that has nothing for it either, it comes back, and was held all the while. */
  turned(): void {
    clearTimeout(this.#held?.timer)
  }

  caughtUp(): void {
    clearTimeout(this.#held?.timer)
    this.#held = undefined
  }
}
