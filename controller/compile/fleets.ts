import type { EndpointSet } from '../../table/endpoints.ts'
import type { Route } from '../../table/route.ts'
import type { Fleet } from './compiled.ts'
import type { Settled } from './outcomes.ts'
import type { Sets } from './sets.ts'
import type { CompileOptions } from './spec.ts'

/** Every gateway's share of the routes, with the endpoint sets that they name. Routes come sorted. */
export function assemble(
  settled: readonly Settled[],
  sets: Sets,
  options: CompileOptions,
  before: ReadonlyMap<string, Fleet> | undefined,
): ReadonlyMap<string, Fleet> {
  const names = new Set(['default', ...(options.gateways ?? []), ...settled.flatMap(({ outcome }) => outcome.gateways)])
  return new Map([...names].sort().map((name) => [name, keep(before?.get(name), fleetOf(name, settled, sets))]))
}

/** The same fleets, where only endpoints changed. */
export function withSets(fleets: ReadonlyMap<string, Fleet>, { byId, changed }: Sets): ReadonlyMap<string, Fleet> {
  if (changed.size === 0) return fleets
  return new Map(
    [...fleets].map(([name, fleet]) => {
      const mine = [...changed].filter((id) => fleet.endpoints.has(id))
      const news = mine.flatMap((id): [string, EndpointSet][] => {
        const set = byId.get(id)?.set
        return set && set !== fleet.endpoints.get(id) ? [[id, set]] : []
      })
      return [name, news.length > 0 ? { ...fleet, endpoints: new Map([...fleet.endpoints, ...news]) } : fleet]
    }),
  )
}

function fleetOf(name: string, settled: readonly Settled[], sets: Sets): Fleet {
  const routes = new Map<string, Route>()
  const endpoints = new Map<string, EndpointSet>()
  for (const { item, outcome, sets: named } of settled) {
    if (!item || !outcome.gateways.includes(name)) continue
    routes.set(item.id, item)
    for (const { source } of named) {
      const set = sets.byId.get(source.id)?.set
      if (set) endpoints.set(source.id, set)
    }
  }
  return { routes, endpoints }
}

function keep(before: Fleet | undefined, after: Fleet): Fleet {
  if (!before) return after
  const routes = same(before.routes, after.routes) ? before.routes : after.routes
  const endpoints = same(before.endpoints, after.endpoints) ? before.endpoints : after.endpoints
  return routes === before.routes && endpoints === before.endpoints ? before : { routes, endpoints }
}

function same<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  if (a.size !== b.size) return false
  for (const [id, item] of a) if (b.get(id) !== item) return false
  return true
}
