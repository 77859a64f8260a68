import type { LeastDeps } from './least.ts'
import type { Member, Picker } from './pick.ts'

/** One after the other; a new one is passed over in a part of its turns. */
export function createRoundRobin<M extends Member>({ turn, random, clock, slowStart }: LeastDeps): Picker<M> {
  function passedOver(members: readonly M[]): ((member: M) => boolean) | undefined {
    if (slowStart === undefined) return undefined
    const now = clock()
    return slowStart.warming(members, now) ? (member) => random() >= slowStart.share(member, now) : undefined
  }

  return {
    pick(members, _asker, tried) {
      const count = members.length
      const skip = passedOver(members)
      // Twice around: whoever was passed over in the first is taken in the second.
      for (let i = 0; i < 2 * count; i++) {
        const member = members[turn.next++ % count]
        if (member === undefined || tried?.includes(member) === true) continue
        if (i >= count || skip?.(member) !== true) return member
      }
      return undefined
    },
    weigh: (members) => members.map((_, i) => ({
      endpoint: members[(turn.next + i) % members.length]?.label ?? '', cost: i, why: i === 0 ? 'its turn is next' : `its turn is ${i} later`,
    })),
  }
}
