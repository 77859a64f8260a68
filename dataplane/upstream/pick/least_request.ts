import type { Member, Pick } from './pick.ts'

/** Up to here every endpoint is looked at. Two drawn out of three would leave a third of the choice to chance. */
const scanMax = 16

/**
 * The endpoint with the fewest requests in flight. Of few, all are compared, and equals take turns, so an idle set
 * is served evenly; of many, the better of two drawn at random (Envoy's "power of two choices").
 */
export function createLeastRequest(turn: { next: number }, random: () => number = Math.random): Pick {
  return function leastRequest(members, except) {
    return members.length <= scanMax ? scan(members, except, turn.next++) : drawTwo(members, except, random)
  }
}

function scan<M extends Member>(members: readonly M[], except: readonly M[] | undefined, start: number): M | undefined {
  const count = members.length
  let best: M | undefined
  for (let i = 0; i < count; i++) {
    const member = members[(start + i) % count]
    if (member === undefined || except?.includes(member) === true) continue
    if (best === undefined || member.inFlight < best.inFlight) best = member
  }
  return best
}

function drawTwo<M extends Member>(members: readonly M[], except: readonly M[] | undefined, random: () => number): M | undefined {
  const count = members.length
  const first = Math.floor(random() * count)
  const second = (first + 1 + Math.floor(random() * (count - 1))) % count
  const a = members[first]
  const b = members[second]
  if (a === undefined || b === undefined) return a ?? b
  if (except !== undefined && (except.includes(a) || except.includes(b))) return scan(members, except, first)
  return b.inFlight < a.inFlight ? b : a
}
