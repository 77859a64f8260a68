import { changedMap } from '../../table/changes.ts'
import type { Items, Resource, Share } from '../../table/resources.ts'
import type { Route } from '../../table/route.ts'
import type { PepperId } from '../../table/secrets.ts'
import type { Settled } from './outcomes.ts'
import type { CompileOptions } from './spec.ts'

type Fleets = ReadonlyMap<string, Share>

/** What travels beside the routes, for as long as some route names it. */
type Beside = Exclude<Resource, 'routes'>

/** Where each item beside the routes is found, and which of them are other than before, or new. */
export type Supplies = {
  readonly [R in Beside]: Readonly<{ get: (id: string) => Items[R] | undefined; changed: ReadonlySet<string> }>
}

/** No Secret of a namespace is called so. */
export const PEPPER: PepperId = 'pepper'

/** Every gateway's share of the routes, with what they name. Routes come sorted. */
export function assemble(
  settled: readonly Settled[],
  supplies: Supplies,
  options: CompileOptions,
  before: Fleets | undefined,
): Fleets {
  const names = new Set(['default', ...(options.gateways ?? []), ...settled.flatMap(({ outcome }) => outcome.gateways)])
  return new Map([...names].sort().map((name) => [name, keep(before?.get(name), shareOf(name, settled, supplies, options))]))
}

/** The same fleets, where no route came, went or names other things: only what is in them changed. */
export function patch(fleets: Fleets, settled: readonly Settled[], supplies: Supplies): Fleets {
  const items = settled.flatMap(({ item }) => item ?? [])
  return new Map(
    [...fleets].map(([name, before]) => [
      name,
      keep(before, {
        endpoints: refresh(before.endpoints, supplies.endpoints),
        credentials: refresh(before.credentials, supplies.credentials),
        secrets: refresh(before.secrets, supplies.secrets),
        routes: replace(before.routes, items),
      }),
    ]),
  )
}

function refresh<T extends { readonly id: string }>(
  map: ReadonlyMap<string, T>,
  { get, changed }: Readonly<{ get: (id: string) => T | undefined; changed: ReadonlySet<string> }>,
): ReadonlyMap<string, T> {
  return changed.size === 0
    ? map
    : replace(
        map,
        [...changed].flatMap((id) => get(id) ?? []),
      )
}

/** Replaces what is there already and is another now. */
function replace<T extends { readonly id: string }>(
  map: ReadonlyMap<string, T>,
  items: readonly T[],
): ReadonlyMap<string, T> {
  return changedMap(map, items.filter(({ id }) => map.has(id)).map((item) => [item.id, item] as const))
}

function shareOf(name: string, settled: readonly Settled[], supplies: Supplies, options: CompileOptions): Share {
  const routes = new Map<string, Route>()
  const named: Record<Beside, Set<string>> = { endpoints: new Set(), credentials: new Set(), secrets: new Set() }
  for (const { item, outcome, needs } of settled) {
    if (!item || !outcome.gateways.includes(name)) continue
    routes.set(item.id, item)
    for (const { sets, keySets, secrets } of needs) {
      for (const { source } of sets) named.endpoints.add(source.id)
      for (const { id } of keySets) named.credentials.add(id)
      for (const { id } of secrets) named.secrets.add(id)
    }
  }
  for (const item of reservations(name, settled, options)) routes.set(item.id, item)
  if (named.credentials.size > 0) named.secrets.add(PEPPER)
  return {
    endpoints: pick(named.endpoints, supplies.endpoints),
    credentials: pick(named.credentials, supplies.credentials),
    secrets: pick(named.secrets, supplies.secrets),
    routes,
  }
}

function pick<T>(ids: ReadonlySet<string>, { get }: Readonly<{ get: (id: string) => T | undefined }>): ReadonlyMap<string, T> {
  const items = new Map<string, T>()
  for (const id of ids) {
    const item = get(id)
    if (item !== undefined) items.set(id, item)
  }
  return items
}

/**
 * Hosts of a namespace that no route of it serves at present. They stand in the table without rules, so that no route
 * of somebody else for every host gets their requests meanwhile.
 */
function reservations(fleet: string, settled: readonly Settled[], options: CompileOptions): readonly Route[] {
  const idle = new Map<string, Set<string>>()
  const hold = (namespace: string, hosts: readonly string[]) => {
    const held = idle.get(namespace) ?? new Set<string>()
    idle.set(namespace, held)
    for (const host of hosts) held.add(host)
  }
  for (const { host, namespace } of options.hostnameBindings ?? []) if (host !== '*') hold(namespace, [host])
  const mine = settled.filter(({ outcome }) => outcome.gateways.includes(fleet))
  for (const { item, tenant, hostnames } of mine) if (!item) hold(tenant, hostnames)
  for (const { item } of mine) for (const host of item?.hostnames ?? []) idle.get(item?.tenant ?? '')?.delete(host)
  return [...idle].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([tenant, hosts]) =>
    hosts.size > 0 ? [{ id: `${tenant}/`, tenant, generation: 0, created: '', hostnames: [...hosts].sort(), rules: [] }] : [])
}

/** What came out equal keeps its identity, so that nobody takes it for a change. */
function keep(before: Share | undefined, after: Share): Share {
  if (!before) return after
  const kept: Share = {
    endpoints: same(before.endpoints, after.endpoints) ? before.endpoints : after.endpoints,
    credentials: same(before.credentials, after.credentials) ? before.credentials : after.credentials,
    secrets: same(before.secrets, after.secrets) ? before.secrets : after.secrets,
    routes: same(before.routes, after.routes) ? before.routes : after.routes,
  }
  const whole =
    kept.endpoints === before.endpoints && kept.credentials === before.credentials &&
    kept.secrets === before.secrets && kept.routes === before.routes
  return whole ? before : kept
}

/** The order counts: it is that of the routes. */
function same<T>(a: ReadonlyMap<string, T>, b: ReadonlyMap<string, T>): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  const others = b.entries()
  for (const [id, item] of a) {
    const other = others.next().value
    if (other?.[0] !== id || other[1] !== item) return false
  }
  return true
}
