import { Persistence } from '../load/persistence.ts'
import { createLeast, type LeastDeps } from './least.ts'
import type { Member, Picker } from './pick.ts'

/** From here on a cache is nearly full: what comes now waits, or has another's part of it thrown out. */
const nearlyFull = 0.8
/** What an endpoint costs more where its cache is full. */
const fullFactor = 5
/**
 * The endpoint with the least to do: our own requests as of now, and those of others, waiting or worked on, as it last
 * told; one whose cache is nearly full costs more. What was told counts for less the less of it can be left by now; in
 * its place comes what is usual among the endpoints, which they share. So without reports this is least requests.
 */
export function createInferenceAware<M extends Member>(deps: LeastDeps): Picker<M> {
  const others = new Persistence()
  const used = new Persistence()
  return createLeast({
    of({ load, inFlight }, now) {
      const trust = load?.trust(now) ?? 0
      const theirs = load === undefined || trust === 0 ? others.usual : others.now(load, load.others, trust, now)
      const full = load === undefined || trust === 0 ? used.usual : used.now(load, load.used, trust, now)
      return (inFlight + theirs + 1) * (1 + (fullFactor - 1) * Math.max(0, full - nearlyFull) / (1 - nearlyFull))
    },
    why({ load, inFlight }, now) {
      const ours = `${inFlight} in flight`
      if (load === undefined || load.trust(now) === 0) return `${ours}, no report`
      const trust = load.trust(now) * others.after(now - load.at)
      const told = `${load.others} of others, ${load.waiting} waiting, cache ${Math.round(load.used * 100)} % full`
      return `${ours}, ${told}${trust < 0.995 ? `, which counts ${Math.round(trust * 100)} %` : ''}`
    },
  }, deps)
}
