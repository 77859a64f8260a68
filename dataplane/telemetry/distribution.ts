import type { Counted, Exemplar } from '../../exposition/family.ts'

/** Upper bounds in seconds: a local model answers in a millisecond, a long generation in minutes. */
export const durationBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
] as const

/** Counts by bucket: observing is a short scan and two additions, with nothing allocated where there is no trace. */
export class Distribution implements Counted {
  readonly bounds: readonly number[]
  /** Not cumulative; the last one counts what is above every bound. */
  readonly counts: number[]
  sum = 0
  /** The last request with a trace of each bucket. */
  exemplars: (Exemplar | undefined)[] | undefined

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    // Zeros in a row are kept as numbers, in a quarter of what a typed array of this size takes.
    this.counts = bounds.map(() => 0)
    this.counts.push(0)
  }

  /** @param trace the id of a trace that shows it in full */
  observe(value: number, trace?: string): void {
    const { bounds, counts } = this
    let bucket = 0
    while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket++
    counts[bucket] = (counts[bucket] ?? 0) + 1
    this.sum += value
    if (trace === undefined) return
    this.exemplars ??= counts.map(() => undefined)
    this.exemplars[bucket] = { trace, value, at: Date.now() / 1000 }
  }
}
