import { failure, type Failure } from '../pipeline/errors.ts'
import { Line, type Waiter } from './line.ts'

export type BulkheadTerms = Readonly<{
  /** Requests in progress. */
  places: number
  /** Requests that may wait for one of those places. */
  pending: number
}>

/** Bytes of bodies that were read before their requests had to wait. */
const bytesMax = 67_108_864
/** Of the newest time between two ends, in the mean of them. */
const weight = 0.1

/**
 * How many requests a backend has at once, and a bounded line of those that wait. Who could not be served in time by
 * how fast places have been coming free lately is refused at once, since waiting would only make it late.
 */
export class Bulkhead {
  #terms: BulkheadTerms
  readonly #line = new Line(bytesMax)
  readonly #inside = new Set<Waiter>()
  /** Milliseconds from one end to the next while all places were taken; NaN: not known. */
  #pace = Number.NaN
  /** Since when all places have been taken; NaN: they are not. */
  #since = Number.NaN

  readonly #now: () => number

  /** @param now milliseconds, as of `performance.now()` */
  constructor(terms: BulkheadTerms, now: () => number) {
    this.#terms = terms
    this.#now = now
  }

  configure(terms: BulkheadTerms): void {
    this.#terms = terms
    while (this.#line.size > 0 && this.#inside.size < terms.places) this.#line.next()
  }

  get inside(): number {
    return this.#inside.size
  }

  get waiting(): number {
    return this.#line.size
  }

  /** @param until when the answer is of no use any more; infinite: never
   *  @returns undefined: it has a place, until `leave` */
  enter(waiter: Waiter, until: number): Failure | undefined | Promise<Failure | undefined> {
    if (this.#line.size === 0 && this.#inside.size < this.#terms.places) {
      this.#take(waiter)
      return undefined
    }
    const now = this.#now()
    if (now + this.#expected(now) > until) return tooLate
    const waited = this.#line.size >= this.#terms.pending ? undefined : this.#line.wait(waiter, until - now, () => {
      this.#take(waiter)
      // It may end before anybody hears that it has its place.
      waiter.onEnd(() => this.leave(waiter))
    })
    if (waited === undefined) return full
    return waited.then((how) => how === 'go' ? undefined : how === 'left' ? left : late)
  }

  leave(waiter: Waiter): void {
    if (!this.#inside.delete(waiter)) return
    const taken = this.#now() - this.#since
    if (!Number.isNaN(taken)) this.#pace = Number.isNaN(this.#pace) ? taken : this.#pace + weight * (taken - this.#pace)
    this.#since = Number.NaN
    if (this.#inside.size < this.#terms.places) this.#line.next()
  }

  /** Nothing limits them any more. */
  open(): void {
    this.configure({ places: Number.POSITIVE_INFINITY, pending: 0 })
  }

  #take(waiter: Waiter): void {
    this.#inside.add(waiter)
    if (this.#inside.size >= this.#terms.places) this.#since = this.#now()
  }

  /** Milliseconds until who comes now has a place. One that was never seen to come free is hoped for. */
  #expected(now: number): number {
    if (Number.isNaN(this.#pace)) return 0
    const stalled = Number.isNaN(this.#since) ? 0 : now - this.#since
    return (this.#line.size + 1) * Math.max(this.#pace, stalled)
  }
}

const full = failure('overloaded', 'The backend has more requests than it can take.')
const tooLate = failure('overloaded', 'The backend has too much to do to answer in time.')
const late = failure('timeout', 'The backend had no room for the request in time.')
const left = failure('client_closed', 'The client left.')
