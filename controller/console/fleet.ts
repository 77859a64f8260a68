import { hostname } from 'node:os'
import * as v from 'valibot'
import { flowOf, noCounts } from '../../console/flow.ts'
import { mergeStates, whole } from '../../console/merge.ts'
import manifest from '../../package.json' with { type: 'json' }
import { ConsoleState, type Look, type ProxyLine } from '../../table/console.ts'
import type { SeenProxy } from '../push/publish.ts'
import { rolloutsOf, type RolloutFacts } from './rollouts.ts'

export type FleetDeps = Readonly<{
  proxies: () => readonly SeenProxy[]
  /** What is published to that fleet now. */
  version: (gateway: string) => string | undefined
  /** What is in force of all fleets together; undefined before the first. */
  table: () => Readonly<{ routes: number; rules: number }> | undefined
  ready: () => boolean
  rollouts: () => RolloutFacts
  actions: ConsoleState['actions']
  now?: () => number
}>

/** What the fleet shows to who looks, by asking its proxies; nothing is asked while nobody does. */
export type Fleet = (look: Look) => Promise<ConsoleState>

/** Two who look at the same within so many milliseconds see the same. */
const freshFor = 900
/** What is looked at at a time, by different people. */
const keptMax = 32
/** Items that all proxies together are asked for, of which there are hundreds, and those that each may always tell. */
const itemsMax = 6000
const leastItems = 5
/** Proxies listed. */
const listedMax = 1000

const startedAt = Math.round(Date.now() - process.uptime() * 1000)

type Told = Readonly<{ proxy: SeenProxy; state: ConsoleState }>

export function createFleet(deps: FleetDeps): Fleet {
  const { now = () => performance.now() } = deps
  const kept = new Map<string, Readonly<{ at: number; state: Promise<ConsoleState> }>>()

  async function see(look: Look): Promise<ConsoleState> {
    const proxies = deps.proxies()
    const told = await ask(proxies, look)
    const [first, ...rest] = told.map(({ state }) => state)
    const state = first === undefined ? nothing(look) : mergeStates([first, ...rest], look)
    const table = deps.table()
    const versions = [...new Set(proxies.map(({ gateway }) => gateway))].flatMap((gateway) => deps.version(gateway) ?? [])
    const { explain: _ofProxies, ...shared } = state
    return {
      ...shared,
      at: Date.now(),
      server: { kind: 'fleet', name: hostname(), release: manifest.version, startedAt, ready: deps.ready(), processes: first === undefined ? 0 : state.server.processes },
      table: table === undefined ? null : { version: [...new Set(versions)].join(' ') || '-', age: 0, ...table },
      ...(look.view === 'rollouts' && { rollouts: rolloutsOf(look, deps.rollouts(), state.rollouts?.items ?? []) }),
      proxies: linesOf(proxies, told, deps.version),
      actions: deps.actions,
    }
  }

  return (look) => {
    const key = JSON.stringify(look)
    const at = now()
    const before = kept.get(key)
    if (before && at - before.at < freshFor) return before.state
    for (const [old, { at: then }] of kept) if (at - then >= freshFor || kept.size >= keptMax) kept.delete(old)
    const state = see(look)
    kept.set(key, { at, state })
    return state
  }
}

/** What is the same for all of a fleet, one tells; of the rest, each so much that all together are not too much. */
async function ask(proxies: readonly SeenProxy[], look: Look): Promise<readonly Told[]> {
  const each = whole(look)
  const limit = Math.min(each.limit, Math.max(leastItems, Math.ceil(itemsMax / Math.max(1, proxies.length))))
  const asked = new Set<string>()
  const told = await Promise.all(proxies.map(async (proxy) => {
    const again = look.view === 'table' && asked.has(proxy.gateway)
    asked.add(proxy.gateway)
    const state = await proxy.look({ ...each, limit: again ? 0 : look.view === 'table' ? each.limit : limit })
    return v.is(ConsoleState, state) ? [{ proxy, state }] : []
  }))
  return told.flat()
}

function linesOf(proxies: readonly SeenProxy[], told: readonly Told[], version: FleetDeps['version']): ProxyLine[] {
  const states = new Map(told.map(({ proxy, state }) => [proxy, state]))
  return proxies.slice(0, listedMax).map((proxy) => ({
    node: proxy.node,
    gateway: proxy.gateway,
    version: proxy.version,
    current: proxy.version === version(proxy.gateway),
    connectedAt: new Date(proxy.since).toISOString(),
    refused: proxy.refused.size,
    requestsPerSecond: states.get(proxy)?.total.perSecond?.requests ?? null,
  }))
}

/** No proxy answers. */
function nothing({ view, offset }: Look): ConsoleState {
  const none = { total: 0, offset, items: [] }
  return {
    at: 0, server: { kind: 'fleet', name: '', release: '', startedAt: 0, ready: false, processes: 0 }, table: null, window: null, bounds: [],
    total: flowOf(noCounts(), null, []), endings: [],
    ...(view === 'traffic' && { traffic: none }),
    ...(view === 'limits' && { limits: { list: none, callers: [] } }),
    ...(view === 'endpoints' && { endpoints: { open: 0, states: [], list: none } }),
    ...(view === 'caches' && { caches: none }),
    ...(view === 'table' && { routes: none }),
    actions: { enabled: false },
  }
}
