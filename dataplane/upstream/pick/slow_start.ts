import type { Member } from './pick.ts'

/** What an endpoint is given from the start, so that it gets to warm up at all (as in Envoy). */
const shareMin = 0.1

/** How much of its full share an endpoint has by now: less while it is new. */
export type SlowStart = Readonly<{
  /** Whether any is new; else there is nothing to ask about. */
  warming(members: readonly Member[], now: number): boolean
  /** 0 to 1, of one of those that were asked about last. */
  share(member: Member, now: number): number
}>

/**
 * Endpoints grow together: a share is relative to that of the endpoint that has been there longest. So where all are
 * new, as after the start of a proxy, none has less than the others.
 * @param duration milliseconds
 */
export function createSlowStart(duration: number): SlowStart {
  let asked: readonly Member[] | undefined
  let oldest = 0
  let newest = 0
  const grown = (since: number, now: number) => Math.min(1, Math.max(shareMin, (now - since) / duration))
  return {
    warming(members, now) {
      if (members !== asked) {
        asked = members
        oldest = Number.POSITIVE_INFINITY
        newest = Number.NEGATIVE_INFINITY
        for (const { since } of members) {
          if (since < oldest) oldest = since
          if (since > newest) newest = since
        }
      }
      return newest > oldest && now - newest < duration
    },
    share: ({ since }, now) => grown(since, now) / grown(oldest, now),
  }
}
