import { Distribution, durationBuckets } from './distribution.ts'

/** Rows of one call. */
export const sizeBuckets = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096] as const

/** The calls that a variant had its predictions joined in. */
export class BatchCounts {
  /** Requests that have no answer yet, and are waited for together or wait for others. */
  waiting = 0
  readonly sizes = new Distribution(sizeBuckets)
  /** Seconds. */
  readonly waits = new Distribution(durationBuckets)

  /** @param waited milliseconds, of each request in it */
  called(rows: number, waited: readonly number[]): void {
    this.sizes.observe(rows)
    for (const wait of waited) this.waits.observe(wait / 1000)
  }
}
