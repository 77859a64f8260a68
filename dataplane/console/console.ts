import { hostname } from 'node:os'
import manifest from '../../package.json' with { type: 'json' }
import * as v from 'valibot'
import { ConsoleState, type Look } from '../../table/console.ts'
import { ENDINGS_MAX, mergeStates, whole } from '../../console/merge.ts'
import { Best } from '../../console/best.ts'
import { flowOf } from '../../console/flow.ts'
import type { Caches } from '../cache/caches.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { Built } from '../pipeline/route.ts'
import type { Table } from '../runtime.ts'
import { inSlices, type Sliced } from '../sliced.ts'
import { durationBuckets } from '../telemetry/distribution.ts'
import type { LimitTally } from '../telemetry/limits.ts'
import type { Measurements } from '../telemetry/measurements.ts'
import type { SeriesSet } from '../telemetry/series.ts'
import { cachesOf } from './caches.ts'
import { callerLine, callersOf, limitsOf } from './limits.ts'
import { rolloutsOf } from './rollouts.ts'
import { routesOf } from './routes.ts'
import { createSampler, endingName, type Window } from './sampler.ts'
import { trafficOf } from './traffic.ts'
import { upstreamsOf } from './upstreams.ts'

export type ConsoleDeps = Readonly<{
  series: SeriesSet
  limits: LimitTally
  limiter: Limiter
  measurements: Measurements
  caches: Caches
  table: () => Table | undefined
  /** Seconds since a controller last said that the table in force is what it should be. */
  tableAge: () => number
  ready: () => boolean
  /** Of workers, where they serve in place of this process. */
  others?: ((look: Look) => Promise<readonly unknown[]>) | undefined
}>

/** What a proxy shows of itself to whoever looks, and only while somebody does. */
export type ProxyConsole = Readonly<{
  /** Of this process. */
  own(look: Look): Promise<ConsoleState>
  /** Of the proxy, with all its processes. */
  state(look: Look): Promise<ConsoleState>
  close(): void
}>

const startedAt = Math.round(Date.now() - process.uptime() * 1000)
const bounds = [...durationBuckets]
const slice = <T>(work: Sliced<T>) => inSlices(work, () => {})

export function createProxyConsole(deps: ConsoleDeps): ProxyConsole {
  const { others, table, series } = deps
  const sampler = createSampler(deps)

  function header(window: Window): ConsoleState {
    const current = table()
    const routes = current?.source.routes
    return {
      at: Date.now(),
      server: { kind: 'proxy', name: hostname(), release: manifest.version, startedAt, ready: deps.ready(), processes: 1 },
      table: current && routes ? { version: current.version, age: deps.tableAge(), routes: routes.size, rules: rulesIn(current) } : null,
      window: window.seconds, bounds,
      total: flowOf(window.total, window.seconds, bounds),
      endings: endingsOf(window),
      actions: { enabled: false },
      explain: 'explain',
    }
  }

  async function own(look: Look): Promise<ConsoleState> {
    const window = await sampler.look()
    const routes = () => table()?.routes() ?? []
    const state = header(window)
    switch (look.view) {
      case 'traffic': return { ...state, traffic: await slice(trafficOf(look, { routes: routes(), series, window, bounds })) }
      case 'rollouts': return { ...state, rollouts: await slice(rolloutsOf(look, routes(), deps.measurements)) }
      case 'endpoints': return { ...state, endpoints: await slice(upstreamsOf(look, routes(), String(process.pid))) }
      case 'caches': return { ...state, caches: await slice(cachesOf(look, { caches: deps.caches, series, window })) }
      case 'table': return { ...state, routes: await slice(routesOf(look, routes())) }
      default: return { ...state, limits: await limits(look, window, routes()) }
    }
  }

  async function limits(look: Look, window: Window, routes: Iterable<Built>): Promise<ConsoleState['limits']> {
    const tally = { routes, tally: deps.limits, window }
    const list = await slice(limitsOf(look, tally))
    const callers = await slice(callersOf(look.search, tally))
    return { list, callers: await Promise.all(callers.map((used) => callerLine(used, window, deps.limiter))) }
  }

  return {
    own,
    async state(look) {
      if (others === undefined) return own(look)
      const [mine, told] = await Promise.all([own(look), others(whole(look))])
      const [first, ...rest] = told.filter((one) => v.is(ConsoleState, one))
      if (first === undefined) return { ...mine, server: { ...mine.server, processes: 0 } }
      const { at, server, table: inForce, actions } = mine
      const merged = mergeStates([first, ...rest], look)
      return { ...merged, at, server: { ...server, processes: merged.server.processes }, table: inForce, actions }
    },
    close: sampler.close,
  }
}

/** Of a table in force, which never changes. */
const counted = new WeakMap<Table, number>()
function rulesIn(table: Table): number {
  let rules = counted.get(table)
  if (rules === undefined) {
    rules = 0
    for (const route of table.source.routes.values()) rules += route.rules.length
    counted.set(table, rules)
  }
  return rules
}

function endingsOf({ endings, grown, seconds }: Window): ConsoleState['endings'] {
  const best = new Best<ConsoleState['endings'][number]>({ offset: 0, limit: ENDINGS_MAX })
  for (const [ending, count] of endings) {
    const [status = '', code = ''] = ending.split(' ')
    best.add({ status: Number(status), code, count, perSecond: seconds === null ? null : grown(endingName(ending)) / seconds }, count, ending)
  }
  return best.page({ offset: 0 })
}
