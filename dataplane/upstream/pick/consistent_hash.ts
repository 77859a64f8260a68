import { hash32, mixed } from '../hash.ts'
import { createLeastRequest } from './least_request.ts'
import type { LeastDeps } from './least.ts'
import type { KeyOf } from './key.ts'
import { byCost, type Member, type Picker } from './pick.ts'
import { Ring } from './ring.ts'

/** An endpoint takes so much more than the mean of all at most; what is beyond goes to the next on the ring. */
const bound = 1.25
/** So many at once are never too many: less would part what belongs together without need. */
const alwaysTaken = 4
/** The mean is counted anew after this part of the endpoints was picked, so that counting is a small part of picking. */
const countedEvery = 1 / 32
/** Steps of a walk; with the mean as it was a moment ago, there may for once be nobody below the bound. */
const stepsMax = 400

export type HashDeps = LeastDeps & Readonly<{ keyOf: KeyOf }>

/**
 * The same endpoint for the same key, as long as it is there and not much busier than the others ("Consistent hashing
 * with bounded loads", Mirrokni, Thorup, Zadimoghaddam 2016). What has no key goes to the least busy.
 */
export function createConsistentHash<M extends Member>(deps: HashDeps): Picker<M> {
  const { keyOf, clock, slowStart } = deps
  const keyless = createLeastRequest<M>(deps)
  let members: readonly M[] | undefined
  const ring = new Ring()
  let inFlight = 0
  let uncounted = 0

  function follow(now: readonly M[]): void {
    if (now !== members) {
      members = now
      ring.follow(now.map(({ label }) => label))
      uncounted = 0
    }
    if (uncounted-- > 0) return
    uncounted = Math.floor(now.length * countedEvery)
    inFlight = 0
    for (const member of now) inFlight += member.inFlight
  }

  const capacity = (count: number) => Math.max(alwaysTaken, Math.ceil(bound * (inFlight + 1) / count))

  return {
    pick(now, asker, tried) {
      const key = now.length > 1 ? keyOf(asker) : undefined
      if (key === undefined) return keyless.pick(now, asker, tried)
      follow(now)
      const most = capacity(now.length)
      const time = slowStart === undefined ? 0 : clock()
      const warming = slowStart?.warming(now, time) === true
      const start = ring.find(key)
      for (let i = 0; i < Math.min(ring.length, stepsMax); i++) {
        const index = ring.member(start + i)
        const member = now[index]
        if (member === undefined || member.inFlight >= most || tried?.includes(member) === true) continue
        // A new one has a part of its keys, which grows: each comes to it once.
        if (warming && mixed(key ^ hash32(member.label, 2)) / 2 ** 32 >= (slowStart?.share(member, time) ?? 1)) continue
        return member
      }
      return keyless.pick(now, asker, tried)
    },
    weigh(now, asker) {
      const key = keyOf(asker)
      if (key === undefined) return keyless.weigh(now, asker).map((one) => ({ ...one, why: `no key: ${one.why}` }))
      follow(now)
      const most = capacity(now.length)
      const start = ring.find(key)
      const places = new Map<number, number>()
      for (let i = 0; i < ring.length && places.size < now.length; i++) {
        const index = ring.member(start + i)
        if (!places.has(index)) places.set(index, places.size)
      }
      return now.map(({ label, inFlight: its }, index) => {
        const place = places.get(index) ?? now.length
        return {
          endpoint: label,
          cost: its < most ? place : place + now.length,
          why: `${place === 0 ? 'has the key' : `${place} after it on the ring`}, ${its} of at most ${most} in flight`,
        }
      }).toSorted(byCost)
    },
  }
}
