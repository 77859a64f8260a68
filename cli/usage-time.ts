import { parseDuration } from './values.ts'

/** `24h`, `30d`: so long ago; else a day of UTC or a time of RFC 3339. Milliseconds since the epoch; undefined: none of these. */
export function instantOf(text: string, now: number): number | undefined {
  const days = /^(\d{1,4})d$/.exec(text)?.[1]
  if (days !== undefined) return now - Number(days) * 86_400_000
  const ago = parseDuration(text)
  if (ago !== undefined) return now - ago
  const time = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(time) ? undefined : time
}
