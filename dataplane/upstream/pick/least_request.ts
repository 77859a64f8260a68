import { createLeast, type LeastDeps } from './least.ts'
import type { Member, Picker } from './pick.ts'

/** The endpoint with the fewest requests in flight. */
export function createLeastRequest<M extends Member>(deps: LeastDeps): Picker<M> {
  // Without a slow start nothing here depends on the time.
  const clock = deps.slowStart === undefined ? () => 0 : deps.clock
  return createLeast({
    of: ({ inFlight }) => inFlight,
    why: ({ inFlight }) => `${inFlight} in flight`,
  }, { ...deps, clock })
}
