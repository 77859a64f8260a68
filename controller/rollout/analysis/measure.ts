import type { Counts } from '../../../table/measurements.ts'
import type { Gate } from '../../compile/analysis.ts'
import { mean, speed } from './mean.ts'
import { proportion } from './proportion.ts'
import { quantile } from './quantile.ts'
import type { Sequence } from './sequence.ts'

/** What proxies measured for a gate; undefined where it is others that measure. @param fields pointers, in the order of the counts */
export function sequenceOf({ measure }: Gate, counts: Counts, fields: readonly string[]): Sequence | undefined {
  if (measure.type === 'ErrorRate') return proportion(counts.errors, counts.requests)
  if (measure.type === 'MirrorMismatch') return proportion(counts.mismatched, counts.compared)
  if (measure.type === 'Latency') return quantile(counts.latency, measure.percentile)
  if (measure.type === 'CostPerRequest') return mean(counts.cost)
  if (measure.type === 'TokensPerSecond') return speed(counts.tokens)
  if (measure.type === 'ResponseField') return mean(counts.fields[fields.indexOf(measure.pointer)] ?? { count: 0, sum: 0, squares: 0 })
  return undefined
}
