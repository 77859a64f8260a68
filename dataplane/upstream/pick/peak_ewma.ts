import { createLeast, type LeastDeps } from './least.ts'
import type { Latency } from './latency.ts'
import type { Member, Picker } from './pick.ts'

/** More than any endpoint costs of which something is known. */
const unknownCost = 1e12
/** Milliseconds that a failure counts for: ten times the usual, within these bounds. */
const [failureFactor, failureMin, failureMax] = [10, 100, 5000]

/**
 * The endpoint whose answer would begin first: how long it takes, times how many it has to answer. One of which nothing
 * is known is asked once, and not again before it has answered.
 */
export function createPeakEwma<M extends Member>(deps: LeastDeps): Picker<M> {
  return createLeast({
    of({ latency, inFlight }, now) {
      const milliseconds = latency?.at(now)
      if (milliseconds === undefined) return inFlight === 0 ? 0 : unknownCost + inFlight
      return milliseconds * (inFlight + 1)
    },
    why({ latency, inFlight }, now) {
      const milliseconds = latency?.at(now)
      return `${milliseconds === undefined ? 'not heard of' : `${milliseconds.toFixed(1)} ms`}, ${inFlight} in flight`
    },
  }, deps)
}

/** One that fails fast must not look fast, and one that fails once is not out for long. */
export function observeFailure(latency: Latency, now: number): void {
  const usual = latency.at(now) ?? failureMin
  latency.observe(Math.max(usual, Math.min(failureMax, Math.max(failureMin, usual * failureFactor))), now)
}
