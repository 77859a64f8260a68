/** After so long a third of what was seen is left of it (as in Finagle and Linkerd). Milliseconds. */
const memory = 10_000
/** After so long a silence nothing is known any more: a twentieth would be left, which is no measure of anything. */
const forgotten = 3 * memory

/**
 * How long an endpoint takes to begin its answers, in milliseconds: an average that is weighted by time, follows a rise
 * at once and forgets it slowly (Finagle's PeakEwma). Unheard of, it falls, so that what was slow is tried again.
 */
export class Latency {
  #average = 0
  /** `performance.now()` of the last observation. */
  #at = Number.NEGATIVE_INFINITY

  observe(milliseconds: number, now: number): void {
    const left = Math.exp((this.#at - now) / memory)
    this.#average = milliseconds > this.#average ? milliseconds : this.#average * left + milliseconds * (1 - left)
    this.#at = now
  }

  /** As of now; undefined: nothing is known. */
  at(now: number): number | undefined {
    const silence = now - this.#at
    return silence > forgotten ? undefined : this.#average * Math.exp(-silence / memory)
  }
}
