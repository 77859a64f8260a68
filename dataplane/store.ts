import type { EndpointSet } from '../table/endpoints.ts'
import { EndpointSetSchema } from '../table/endpoints.ts'
import type { Ack, Refusal, Resource, Resync, Update } from '../table/messages.ts'
import { SCHEMA } from '../table/messages.ts'
import type { Route } from '../table/route.ts'
import { RouteSchema } from '../table/route.ts'
import { versionOf } from '../table/version.ts'
import type { Change, Held } from './receive/held.ts'
import { applied, changeOf, fallBack, NOTHING } from './receive/held.ts'

/** The whole table in force. Replaced, never changed; an item that did not change keeps its identity. */
export type Active = Readonly<{
  /** Of the routes. */
  version: string
  routes: ReadonlyMap<string, Route>
  endpoints: ReadonlyMap<string, EndpointSet>
}>

/** Puts a table in force, all of it at once, and says which routes could not be built (their last good one stays). */
export type Activate = (next: Active) => readonly Refusal[]

type Fields = Readonly<Record<string, unknown>>
export type Log = (level: 'info' | 'warn' | 'error', message: string, fields?: Fields) => void

export type Table = Readonly<{ routes: Held<Route>; endpoints: Held<EndpointSet> }>

/** What outlived the last process. */
export type Loaded = Readonly<{
  routes: Change
  endpoints: Change
  /** Milliseconds since the epoch. */
  confirmedAt: number
}>

/** Where the last good table outlives the process. Both calls return at once. */
export interface Disk {
  readonly loaded: Loaded | undefined
  save(table: Table): void
  confirm(): void
}

export interface Store {
  /** Answers with what is in force afterwards, or asks for a snapshot. Never throws, whatever it is given. */
  handle(message: Update): Ack | Resync
  readonly versions: Readonly<Record<Resource, string | null>>
  /** The acknowledgement of each version in force, for a controller that has yet to hear it. */
  readonly acks: readonly Ack[]
  /** A first complete table is in force, from a controller or from disk. */
  readonly ready: boolean
  readonly active: Active | undefined
  /** A controller that has answered is still there: the table is as new as can be. */
  confirm(): void
  /** When the table was last known to be what a controller publishes; undefined while there is none. */
  readonly confirmedAt: number | undefined
}

export type StoreOptions = { activate: Activate; disk?: Disk | undefined; log?: Log; now?: () => number }

/** From this many routes on, losing more than half of them in one update is worth a warning (docs/decisions). */
const MANY = 10

type Outcome = { ok: true; active: Active | undefined; table: Table } | { ok: false; why: string }

function setsNamed(routes: Iterable<Route>): Set<string> {
  const sets = new Set<string>()
  for (const route of routes) {
    for (const rule of route.rules) {
      for (const { target } of rule.variants) if (target.kind === 'endpoints') sets.add(target.set)
    }
  }
  return sets
}

/** Holds the table: checks what arrives, puts it in force whole, and keeps the last good version of what it refuses. */
export function createStore({ activate, disk, log = () => {}, now = Date.now }: StoreOptions): Store {
  let table: Table = { routes: NOTHING, endpoints: NOTHING }
  let active: Active | undefined
  let confirmedAt: number | undefined
  /**
   * Endpoint sets that are gone while a route in force names them. New endpoints come before the routes that need
   * them, so an update of both would leave the old routes without theirs in between; the next routes end it.
   */
  let lingering: ReadonlyMap<string, EndpointSet> = new Map()

  function leave(next: Held<EndpointSet>): ReadonlyMap<string, EndpointSet> {
    const gone = [...(active?.endpoints ?? [])].filter(([id]) => !next.items.has(id))
    if (gone.length === 0) return new Map()
    const named = setsNamed(active?.routes.values() ?? [])
    return new Map(gone.filter(([id]) => named.has(id)))
  }

  function withoutRefused<T>(before: Held<T>, next: Held<T>, refusals: readonly Refusal[]): Held<T> {
    const mine = refusals.filter(({ id }) => next.hashes.has(id))
    if (mine.length === 0) return next
    const items = new Map(next.items)
    const refused = new Map(next.refused)
    for (const { id, message } of mine) fallBack(before, id, message, { items, refused })
    return { ...next, items, refused }
  }

  function putInForce(next: Table, left: ReadonlyMap<string, EndpointSet>): Outcome {
    const version = next.routes.version ?? versionOf(next.routes.hashes)
    const withLeft = (items: Held<EndpointSet>['items']) => (left.size === 0 ? items : new Map([...left, ...items]))
    let refusals: readonly Refusal[]
    try {
      refusals = activate({ version, routes: next.routes.items, endpoints: withLeft(next.endpoints.items) })
    } catch (error) {
      log('error', 'a table could not be put in force; the last one stays', { version, error: String(error) })
      return { ok: false, why: `the table could not be put in force: ${String(error)}` }
    }
    const settled = {
      routes: withoutRefused(table.routes, next.routes, refusals),
      endpoints: withoutRefused(table.endpoints, next.endpoints, refusals),
    }
    const { routes, endpoints } = settled
    return { ok: true, table: settled, active: { version, routes: routes.items, endpoints: withLeft(endpoints.items) } }
  }

  function ack(resource: Resource, version: string): Ack {
    const refused = [...table[resource].refused].map(([id, { message }]) => ({ id, message }))
    return { type: 'ack', resource, version, refused }
  }

  function warnOfShrinking(before: Held<Route>, next: Held<Route>): void {
    const [had, has] = [before.hashes.size, next.hashes.size]
    if (had < MANY || has * 2 >= had) return
    log('warn', 'more than half of the routes are gone', { before: had, after: has, version: next.version })
  }

  function take(message: Update): Ack | string {
    const { resource, version } = message
    if (message.schema !== SCHEMA) return `schema ${message.schema} is not known here: this proxy reads ${SCHEMA}`
    const same = version === table[resource].version
    const change = changeOf(message)
    let next: Table
    if (resource === 'routes') {
      const routes = applied(table.routes, RouteSchema, change)
      if (typeof routes === 'string') return routes
      warnOfShrinking(table.routes, routes)
      next = { ...table, routes }
    } else {
      const endpoints = applied(table.endpoints, EndpointSetSchema, change)
      if (typeof endpoints === 'string') return endpoints
      next = { ...table, endpoints }
    }
    const left = resource === 'routes' ? new Map<string, EndpointSet>() : leave(next.endpoints)
    const complete = active !== undefined || (next.routes.version !== null && next.endpoints.version !== null)
    const idle = same && message.type === 'delta' && left.size === lingering.size
    if (complete && !idle) {
      const outcome = putInForce(next, left)
      if (!outcome.ok) return outcome.why
      active = outcome.active
      table = outcome.table
      lingering = left
      disk?.save(table)
    } else if (!idle) {
      table = next
    }
    confirm()
    return ack(resource, version)
  }

  function confirm(): void {
    if (active === undefined) return
    confirmedAt = now()
    disk?.confirm()
  }

  function boot({ routes, endpoints, confirmedAt: at }: Loaded): void {
    const heldRoutes = applied<Route>(NOTHING, RouteSchema, routes)
    const heldEndpoints = applied<EndpointSet>(NOTHING, EndpointSetSchema, endpoints)
    if (typeof heldRoutes === 'string' || typeof heldEndpoints === 'string') return
    const outcome = putInForce({ routes: heldRoutes, endpoints: heldEndpoints }, new Map())
    if (!outcome.ok) return
    const settled = outcome.table
    active = outcome.active
    confirmedAt = at
    // What this process refuses of it was good in the last one; a controller must send it again to heal it.
    const claim = <T>(each: Held<T>): Held<T> => (each.refused.size === 0 ? each : { ...each, version: null })
    table = { routes: claim(settled.routes), endpoints: claim(settled.endpoints) }
    log('info', 'serving the last good table from disk', { version: active?.version, routes: table.routes.items.size })
  }

  if (disk?.loaded !== undefined) boot(disk.loaded)

  return {
    handle(message) {
      let answer: Ack | string
      try {
        answer = take(message)
      } catch (error) {
        answer = `the update could not be read: ${String(error)}`
      }
      if (typeof answer !== 'string') return answer
      log('warn', 'an update does not fit; asking for a snapshot', { resource: message.resource, why: answer })
      return { type: 'resync', resource: message.resource, why: answer }
    },
    get versions() {
      return { routes: table.routes.version, endpoints: table.endpoints.version }
    },
    get acks() {
      const told: Ack[] = []
      for (const resource of ['endpoints', 'routes'] as const) {
        const { version } = table[resource]
        if (version !== null) told.push(ack(resource, version))
      }
      return told
    },
    get ready() {
      return active !== undefined
    },
    get active() {
      return active
    },
    confirm,
    get confirmedAt() {
      return confirmedAt
    },
  }
}
