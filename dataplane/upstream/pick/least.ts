import { byCost, type Member, type Picker, type Turn } from './pick.ts'
import type { SlowStart } from './slow_start.ts'

/** Up to here every endpoint is looked at. Two drawn out of three would leave a third of the choice to chance. */
const scanMax = 16
/** Draws until one is taken whatever its share is. */
const drawsMax = 16

export type LeastDeps = Readonly<{
  turn: Turn
  random: () => number
  /** `performance.now()`; a policy that has no use for the time gives it none to look at. */
  clock: () => number
  slowStart: SlowStart | undefined
}>

export type Cost = Readonly<{
  of(member: Member, now: number): number
  /** What it is made of, for who asks. */
  why(member: Member, now: number): string
}>

/**
 * The endpoint that costs least. Of few, all are compared, and equals take turns, so an idle set is served evenly; of
 * many, the better of two drawn at random: what is known of them is always a little old, and looking for the best of
 * all would send everybody to the same one (Mitzenmacher, "How useful is old information?").
 */
export function createLeast<M extends Member>(cost: Cost, { turn, random, clock, slowStart }: LeastDeps): Picker<M> {
  function draw(members: readonly M[], now: number, warming: boolean, other?: M): M | undefined {
    const count = members.length
    let member: M | undefined
    for (let i = 0; i < drawsMax; i++) {
      member = members[Math.floor(random() * count)]
      if (member === other || member === undefined) continue
      if (!warming || random() < (slowStart?.share(member, now) ?? 1)) break
    }
    return member
  }

  return {
    pick(members, _asker, tried) {
      const now = clock()
      const count = members.length
      const warming = slowStart !== undefined && count > 1 && slowStart.warming(members, now)
      if (tried === undefined && (count > scanMax || warming)) {
        const a = draw(members, now, warming)
        const b = draw(members, now, warming, a)
        if (a === undefined || b === undefined) return a ?? b
        return cost.of(b, now) < cost.of(a, now) ? b : a
      }
      const start = turn.next++
      let best: M | undefined
      let least = Number.POSITIVE_INFINITY
      for (let i = 0; i < count; i++) {
        const member = members[(start + i) % count]
        if (member === undefined || tried?.includes(member) === true) continue
        const its = cost.of(member, now)
        if (its < least) {
          best = member
          least = its
        }
      }
      return best
    },
    weigh(members) {
      const now = clock()
      return members.map((member) => ({ endpoint: member.label, cost: cost.of(member, now), why: cost.why(member, now) })).toSorted(byCost)
    },
  }
}
