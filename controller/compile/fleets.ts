import type { EndpointSet } from '../../table/endpoints.ts'
import type { Route } from '../../table/route.ts'
import type { Fleet } from './compiled.ts'
import type { Settled } from './outcomes.ts'
import type { Sets } from './sets.ts'
import type { CompileOptions } from './spec.ts'

type Fleets = ReadonlyMap<string, Fleet>

/** Every gateway's share of the routes, with the endpoint sets that they name. Routes come sorted. */
export function assemble(
  settled: readonly Settled[],
  sets: Sets,
  options: CompileOptions,
  before: Fleets | undefined,
): Fleets {
  const names = new Set(['default', ...(options.gateways ?? []), ...settled.flatMap(({ outcome }) => outcome.gateways)])
  return new Map([...names].sort().map((name) => [name, keep(before?.get(name), fleetOf(name, settled, sets))]))
}

/** The same fleets, where no route came, went or uses other sets: only what is in them changed. */
export function patch(fleets: Fleets, settled: readonly Settled[], sets: Sets): Fleets {
  const items = settled.flatMap(({ item }) => item ?? [])
  return new Map(
    [...fleets].map(([name, fleet]) => {
      const routes = replace(fleet.routes, items)
      const endpoints = replace(
        fleet.endpoints,
        [...sets.changed].flatMap((id) => sets.byId.get(id)?.set ?? []),
      )
      const same = routes === fleet.routes && endpoints === fleet.endpoints
      return [name, same ? fleet : { routes, endpoints }]
    }),
  )
}

/** Replaces what is there already and is another now. */
function replace<T extends { readonly id: string }>(
  map: ReadonlyMap<string, T>,
  items: readonly T[],
): ReadonlyMap<string, T> {
  const news = items.filter((item) => map.has(item.id) && map.get(item.id) !== item)
  if (news.length === 0) return map
  const next = new Map(map)
  for (const item of news) next.set(item.id, item)
  return next
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

/** The order counts: it is that of the routes. */
function same<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  if (a.size !== b.size) return false
  const others = b.entries()
  for (const [id, item] of a) {
    const other = others.next().value
    if (other?.[0] !== id || other[1] !== item) return false
  }
  return true
}
