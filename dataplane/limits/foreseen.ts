import { enough, retryFor } from './algorithms.ts'
import type { Take, Verdict } from './limiter.ts'

/** What a limit would say to a request, by what it says to one that asks for nothing. Of a count that could not be asked nothing is known. */
export function foreseen(take: Take, looked: Verdict | undefined): Verdict {
  const { remaining = Number.NaN, resetAfter = 0 } = looked ?? {}
  const allows = Number.isNaN(remaining) || enough(take, remaining)
  return { allows, remaining, resetAfter, retryAfter: allows ? 0 : retryFor(take, remaining, resetAfter) }
}
