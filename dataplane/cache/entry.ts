import type { FlatHeaders } from '../pipeline/headers.ts'
import type { Generated } from '../translate/translation.ts'
import type { Terms } from './freshness.ts'

/** An answer that is kept. */
export type Entry = Terms & Readonly<{
  status: number
  /** Names in lower case and values: end-to-end ones, without those that the gateway writes itself. */
  headers: Readonly<FlatHeaders>
  body: Buffer
  trailers: readonly string[]
  /** Milliseconds since the epoch. */
  storedAt: number
  /** What the backend took for it. */
  backendSeconds: number
  /** What a translation made of it: the answer itself may not say how many tokens it took. */
  generated?: Readonly<Generated>
  /** Purges with a greater number than this have purged it. */
  mark: number
}>

/** Milliseconds. */
export function ageAt(entry: Entry, now: number): number {
  return entry.age + Math.max(0, now - entry.storedAt)
}

/** What an answer takes in memory beside its body and the texts of its headers, in bytes: measured, test/load/cache.e2e.ts holds it to that. */
const overhead = 640
const perText = 24

export function sizeOf({ headers, trailers, body }: Entry): number {
  let size = overhead + body.length
  for (const texts of [headers, trailers]) for (let i = 1; i < texts.length; i += 2) size += (texts[i]?.length ?? 0) + perText
  return size
}
