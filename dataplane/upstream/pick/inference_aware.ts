import { createLeast, type LeastDeps } from './least.ts'
import type { Member, Picker } from './pick.ts'

/** A request that waits counts for so much more than one that is worked on: those go on together, and it goes before ours. */
const waitingWeight = 1
/** A cache is never as full as that no other is fuller; at this, an endpoint costs ten times what it would. */
const usedMax = 0.9
/** How much one endpoint moves what is taken for the usual. */
const usualStep = 1 / 16

/**
 * The endpoint with the least to do: our own requests as of now, those of others as it last told, what waits in its
 * queue, and how full its cache is. A report that gets old fades into what is usual among the endpoints, which all share;
 * so without reports this is least requests.
 */
export function createInferenceAware<M extends Member>(deps: LeastDeps): Picker<M> {
  const usual = { work: 0, used: 0 }
  function look({ load }: Member, now: number): Readonly<{ work: number; used: number; trust: number }> {
    const trust = load?.trust(now) ?? 0
    if (load === undefined || trust === 0) return { ...usual, trust }
    const work = load.others + waitingWeight * load.waiting
    if (trust === 1) {
      usual.work += (work - usual.work) * usualStep
      usual.used += (load.used - usual.used) * usualStep
      return { work, used: load.used, trust }
    }
    return { work: work * trust + usual.work * (1 - trust), used: load.used * trust + usual.used * (1 - trust), trust }
  }
  return createLeast({
    of(member, now) {
      const { work, used } = look(member, now)
      return (member.inFlight + work + 1) / (1 - Math.min(used, usedMax))
    },
    why({ load, inFlight }, now) {
      const trust = load?.trust(now) ?? 0
      const ours = `${inFlight} in flight`
      if (load === undefined || trust === 0) return `${ours}, no report`
      const told = `${load.others} of others, ${load.waiting} waiting, cache ${Math.round(load.used * 100)} % full`
      return `${ours}, ${told}${trust < 1 ? `, which counts ${Math.round(trust * 100)} %` : ''}`
    },
  }, deps)
}
