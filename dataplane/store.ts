import { differences } from '../table/changes.ts'
import type { Ack, Refusal, Resync, Update } from '../table/messages.ts'
import { SCHEMA } from '../table/messages.ts'
import { laterOf, type Order } from '../table/order.ts'
import { confidential, perResource, RESOURCES, schemas, type Items, type Resource, type Share } from '../table/resources.ts'
import type { Route } from '../table/route.ts'
import { versionOf } from '../table/version.ts'
import type { Change, Held } from './receive/held.ts'
import { applied, changeOf, fallBack, NOTHING } from './receive/held.ts'
import { createLine, type Line } from './receive/line.ts'
import { atOnce, inSlices, type Sliced } from './sliced.ts'

/** The whole table in force. Replaced, never changed; an item that did not change keeps its identity. */
export type Active = Share & Readonly<{ /** Of the routes. */ version: string }>

/** Puts a table in force, all of it at once, and says which routes could not be built (their last good one stays). */
export type Activate = (next: Active) => readonly Refusal[]

/** Does what can be done before, and changes nothing yet; the same table is put in force next. */
export type Prepare = (next: Active) => Sliced

type Fields = Readonly<Record<string, unknown>>
export type Log = (level: 'info' | 'warn' | 'error', message: string, fields?: Fields) => void

export type Table = { readonly [R in Resource]: Held<Items[R]> }

/** What outlived the last process: nothing that is confidential, nor what that process did not know. */
export type Loaded = Readonly<{
  changes: Readonly<Partial<Record<Resource, Change>>>
  /** How new it was, where that was known. */
  order?: Order | undefined
  /** Milliseconds since the epoch. */
  confirmedAt: number
}>

/** Where the last good table outlives the process. Both calls return at once. */
export interface Disk {
  readonly loaded: Loaded | undefined
  save(table: Table, order: Order | undefined): void
  confirm(): void
}

export interface Store {
  /**
   * Answers with what is in force afterwards, or asks for a snapshot. Never throws, whatever it is given.
   * @param order how new the sender says it is; absent: it is of a release that does not say
   */
  handle(message: Update, order?: Order): Ack | Resync
  /** The same in stretches, so that requests go on meanwhile. Whoever calls any of these calls them in line. */
  handleInSlices(message: Update, order?: Order): Promise<Ack | Resync>
  /** Where whoever changes what is held waits for their turn. */
  readonly line: Line
  /** How new what is held is; undefined where nobody said. */
  readonly order: Order | undefined
  readonly versions: Readonly<Record<Resource, string | null>>
  /** The acknowledgement of each version in force, for a controller that has yet to hear it. */
  readonly acks: readonly Ack[]
  /** A first complete table is in force, from a controller or from disk. */
  readonly ready: boolean
  readonly active: Active | undefined
  /** Builds the routes again that could not be built, where what they lacked may be here now. Undefined: there are none. */
  retry(): Ack | undefined
  /** A controller that has answered is still there: the table is as new as can be. */
  confirm(): void
  /** When the table was last known to be what a controller publishes; undefined while there is none. */
  readonly confirmedAt: number | undefined
}

export type StoreOptions = { activate: Activate; prepare?: Prepare | undefined; disk?: Disk | undefined; log?: Log; now?: () => number }

/** From this many routes on, losing more than half of them in one update is worth a warning (docs/decisions). */
const MANY = 10

type Outcome = { ok: true; active: Active | undefined; table: Table } | { ok: false; why: string }

/** What routes name and is gone from what was sent. */
type Left = Readonly<Partial<Record<Resource, ReadonlyMap<string, unknown>>>>

const NONE: Left = {}

/** The resource changed; the others are what they were. As a string: why it does not fit. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- an item and its schema go together
function* withChange<R extends Resource>(table: Table, resource: R, change: Change): Sliced<Table | string> {
  const kind = { schema: schemas[resource], quiet: confidential(resource) }
  const held = yield* applied<Items[R]>(table[resource], kind, change)
  return typeof held === 'string' ? held : { ...table, [resource]: held }
}

/** Holds the table: checks what arrives, puts it in force whole, and keeps the last good version of what it refuses. */
export function createStore({ activate, prepare, disk, log = () => {}, now = Date.now }: StoreOptions): Store {
  let table = perResource<Table>(() => NOTHING)
  let active: Active | undefined
  let confirmedAt: number | undefined
  let held: Order | undefined
  /**
   * What is gone while the routes in force may name it. All that routes name comes before them, so an update of both
   * would leave the old routes without theirs in between; the next routes end it. Something that routes name and that
   * does not exist is not gone but empty: nobody's key goes on because it lingers.
   */
  let lingering = NONE
  /** What was sent of routes that could not be built, each with its hash. */
  let unbuilt: ReadonlyMap<string, Readonly<{ item: Route; hash: string | undefined }>> = new Map()

  function leave(resource: Resource, next: Held<unknown>): Left {
    if (active === undefined || resource === 'routes') return NONE
    const had = active[resource]
    const gone = [...differences(had, next.items)].flatMap((id) => (had.has(id) && !next.items.has(id) ? [[id, had.get(id)] as const] : []))
    const { [resource]: _, ...others } = lingering
    return gone.length === 0 ? others : { ...others, [resource]: new Map<string, unknown>(gone) }
  }

  function withoutRefused<T>(before: Held<T>, next: Held<T>, refusals: readonly Refusal[]): Held<T> {
    const mine = refusals.filter(({ id }) => next.hashes.has(id))
    if (mine.length === 0) return next
    const items = new Map(next.items)
    const refused = new Map(next.refused)
    for (const { id, message } of mine) fallBack(before, id, message, { items, refused })
    return { ...next, items, refused }
  }

  function shareOf(held: Table, left: Left): Share {
    return perResource<Share>((resource) => {
      const more = left[resource]
      return more === undefined ? held[resource].items : new Map([...more, ...held[resource].items])
    })
  }

  function* putInForce(next: Table, left: Left): Sliced<Outcome> {
    const version = next.routes.version ?? versionOf(next.routes.hashes)
    let refusals: readonly Refusal[]
    try {
      const whole = { version, ...shareOf(next, left) }
      if (prepare !== undefined) yield* prepare(whole)
      refusals = activate(whole)
    } catch (error) {
      log('error', 'a table could not be put in force; the last one stays', { version, error: String(error) })
      return { ok: false, why: `the table could not be put in force: ${String(error)}` }
    }
    unbuilt = stillUnbuilt(next.routes, refusals)
    const settled = { ...next, routes: withoutRefused(table.routes, next.routes, refusals) }
    return { ok: true, table: settled, active: { version, ...shareOf(settled, left) } }
  }

  /** Those refused just now, and those refused before of which nothing new was sent. */
  function stillUnbuilt({ items, hashes, refused }: Held<Route>, refusals: readonly Refusal[]): typeof unbuilt {
    const next = new Map([...unbuilt].filter(([id, { hash }]) => refused.has(id) && hashes.get(id) === hash))
    for (const { id } of refusals) {
      const item = items.get(id)
      if (item !== undefined && hashes.has(id)) next.set(id, { item, hash: hashes.get(id) })
    }
    return next
  }

  function retry(): Ack | undefined {
    const { routes } = table
    if (active === undefined || routes.version === null || unbuilt.size === 0) return undefined
    const items = new Map(routes.items)
    const refused = new Map(routes.refused)
    for (const [id, { item }] of unbuilt) {
      // One that did not change is not built again.
      items.set(id, { ...item })
      refused.delete(id)
    }
    const outcome = atOnce(putInForce({ ...table, routes: { ...routes, items, refused } }, lingering))
    if (!outcome.ok) return undefined
    active = outcome.active
    table = outcome.table
    disk?.save(table, held)
    return ack('routes', routes.version)
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

  function* take(message: Update, order: Order | undefined): Sliced<Ack | string> {
    const { resource, version } = message
    if (message.schema !== SCHEMA) return `schema ${message.schema} is not known here: this proxy reads ${SCHEMA}`
    const same = version === table[resource].version
    const next = yield* withChange(table, resource, yield* changeOf(message))
    if (typeof next === 'string') return next
    if (resource === 'routes') warnOfShrinking(table.routes, next.routes)
    const left = leave(resource, next[resource])
    // The routes come last, so that whatever else they need is there when they are.
    const complete = active !== undefined || (next.routes.version !== null && next.endpoints.version !== null)
    const idle = same && message.type === 'delta' && (resource !== 'routes' || Object.keys(lingering).length === 0)
    if (complete && !idle) {
      const outcome = yield* putInForce(next, left)
      if (!outcome.ok) return outcome.why
      held = order && laterOf(order, held)
      active = outcome.active
      table = outcome.table
      lingering = left
      if (!confidential(resource)) disk?.save(table, held)
    } else {
      held = order && laterOf(order, held)
      if (!idle) table = next
    }
    confirm()
    return ack(resource, version)
  }

  function confirm(): void {
    if (active === undefined) return
    confirmedAt = now()
    disk?.confirm()
  }

  function boot({ changes, order, confirmedAt: at }: Loaded): void {
    let loaded = table
    for (const resource of RESOURCES) {
      const change = changes[resource]
      const next = change === undefined ? loaded : atOnce(withChange(loaded, resource, change))
      if (typeof next === 'string') return
      loaded = next
    }
    const outcome = atOnce(putInForce(loaded, NONE))
    if (!outcome.ok) return
    held = order
    active = outcome.active
    confirmedAt = at
    // What this process refuses of it was good in the last one; a controller must send it again to heal it.
    const claim = (each: Held<unknown>) => (each.refused.size === 0 ? each : { ...each, version: null })
    table = perResource<Table>((resource) => claim(outcome.table[resource]))
    log('info', 'serving the last good table from disk', { version: active?.version, routes: table.routes.items.size })
  }

  if (disk?.loaded !== undefined) boot(disk.loaded)

  function* handling(message: Update, order: Order | undefined): Sliced<Ack | Resync> {
    let answer: Ack | string
    try {
      answer = yield* take(message, order)
    } catch (error) {
      answer = `the update could not be read: ${String(error)}`
    }
    if (typeof answer !== 'string') return answer
    log('warn', 'an update does not fit; asking for a snapshot', { resource: message.resource, why: answer })
    return { type: 'resync', resource: message.resource, why: answer }
  }

  return {
    handle: (message, order) => atOnce(handling(message, order)),
    handleInSlices: (message, order) => inSlices(handling(message, order), () => {}),
    line: createLine(),
    get versions() {
      return perResource<Store['versions']>((resource) => table[resource].version)
    },
    get acks() {
      const told: Ack[] = []
      for (const resource of RESOURCES) {
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
    get order() {
      return held
    },
    retry,
    confirm,
    get confirmedAt() {
      return confirmedAt
    },
  }
}
