import type { Pick } from './pick.ts'

/** One after the other. `turn` outlives the table, so that an edit does not send everybody to the first endpoint. */
export function createRoundRobin(turn: { next: number }): Pick {
  return function roundRobin(members, except) {
    const count = members.length
    for (let i = 0; i < count; i++) {
      const member = members[turn.next++ % count]
      if (member !== undefined && except?.includes(member) !== true) return member
    }
    return undefined
  }
}
