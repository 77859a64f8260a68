import { LATENCY_BOUNDS } from '../../../table/delivery.ts'
import { refuting } from './proportion.ts'
import type { Sequence } from './sequence.ts'

/**
 * Bounds for a percentile of latencies, whatever their distribution: of all, a share of 1 - q lies above it. How many
 * may lie above what is at most, or at least, the percentile is a matter of counting (proportion.ts); where in the
 * histogram so many do is then looked up.
 * @param percentile of 100
 */
export function quantile(buckets: Float64Array, percentile: number): Sequence {
  const above = 1 - percentile / 100
  const n = buckets.reduce((sum, count) => sum + count, 0)
  return {
    n,
    value: n === 0 ? 0 : exceededBy(buckets, n * above),
    low(alpha) {
      const events = refuting(above, n, alpha, 1)
      return events === undefined ? 0 : exceededBy(buckets, events)
    },
    high(alpha) {
      const events = refuting(above, n, alpha, -1)
      return events === undefined ? Number.POSITIVE_INFINITY : exceededBy(buckets, events)
    },
  }
}

/** The latency that so many are above. Within a bucket they are taken to lie evenly on a logarithmic scale. Seconds. */
function exceededBy(buckets: Float64Array, events: number): number {
  let beyond = 0
  for (let i = buckets.length - 1; i >= 0; i--) {
    const count = buckets[i] ?? 0
    if (count > 0 && beyond + count >= events) {
      const top = LATENCY_BOUNDS[i]
      if (top === undefined) return Number.POSITIVE_INFINITY
      const bottom = LATENCY_BOUNDS[i - 1] ?? top / 1.05
      return top * (bottom / top) ** ((events - beyond) / count)
    }
    beyond += count
  }
  return 0
}
