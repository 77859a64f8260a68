import type { Activate, Active } from '../store.ts'

/** Builds a table here first: what cannot be built is refused here, and workers are given only what can. */
export function publishing(activate: Activate, publish: (active: Active) => void): Activate {
  let last: Active | undefined
  return (next) => {
    const refusals = activate(next)
    const routes = new Map(next.routes)
    for (const { id } of refusals) {
      const good = last?.routes.get(id)
      if (good === undefined) routes.delete(id)
      else routes.set(id, good)
    }
    last = { ...next, routes }
    publish(last)
    return refusals
  }
}
