import { hostname } from 'node:os'
import { flowOf, noCounts } from '../../console/flow.ts'
import { whole } from '../../console/merge.ts'
import { Sum } from '../../console/sum.ts'
import manifest from '../../package.json' with { type: 'json' }
import { checkOf } from '../../table/check.ts'
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

/** Proxies of other releases, and whoever speaks for one, are not believed. */
const isState = checkOf(ConsoleState)

const startedAt = Math.round(Date.now() - process.uptime() * 1000)

/** What those who answered tell, as if they were one, and of each how many requests it has a second. */
type Told = Readonly<{ state: ConsoleState | undefined; requests: ReadonlyMap<SeenProxy, number | null> }>

export function createFleet(deps: FleetDeps): Fleet {
  const { now = () => performance.now() } = deps
  const kept = new Map<string, Readonly<{ at: number; state: Promise<ConsoleState> }>>()

  async function see(look: Look): Promise<ConsoleState> {
    const proxies = deps.proxies()
    const { state = nothing(look), requests } = await ask(proxies, look)
    const table = deps.table()
    const versions = [...new Set(proxies.map(({ gateway }) => gateway))].flatMap((gateway) => deps.version(gateway) ?? [])
    const { explain: _ofProxies, ...shared } = state
    return {
      ...shared,
      at: Date.now(),
      server: { kind: 'fleet', name: hostname(), release: manifest.version, startedAt, ready: deps.ready(), processes: state.server.processes },
      table: table === undefined ? null : { version: [...new Set(versions)].join(' ') || '-', age: 0, ...table },
      ...(look.view === 'rollouts' && { rollouts: rolloutsOf(look, deps.rollouts(), state.rollouts?.items ?? []) }),
      proxies: linesOf(proxies, requests, deps.version),
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
async function ask(proxies: readonly SeenProxy[], look: Look): Promise<Told> {
  const each = whole(look)
  const limit = Math.min(each.limit, Math.max(leastItems, Math.ceil(itemsMax / Math.max(1, proxies.length))))
  const asked = new Set<string>()
  const sum = new Sum(look)
  const requests = new Map<SeenProxy, number | null>()
  await Promise.all(proxies.map(async (proxy) => {
    const again = look.view === 'table' && asked.has(proxy.gateway)
    asked.add(proxy.gateway)
    const state = await proxy.look({ ...each, limit: again ? 0 : look.view === 'table' ? each.limit : limit })
    if (!isState(state)) return
    sum.add(state)
    requests.set(proxy, state.total.perSecond?.requests ?? null)
  }))
  return { state: sum.state(), requests }
}

function linesOf(proxies: readonly SeenProxy[], requests: Told['requests'], version: FleetDeps['version']): ProxyLine[] {
  return proxies.slice(0, listedMax).map((proxy) => ({
    node: proxy.node,
    gateway: proxy.gateway,
    version: proxy.version,
    current: proxy.version === version(proxy.gateway),
    connectedAt: new Date(proxy.since).toISOString(),
    refused: proxy.refused.size,
    requestsPerSecond: requests.get(proxy) ?? null,
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
