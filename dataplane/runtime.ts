import { differences } from '../table/changes.ts'
import type { Refusal } from '../table/messages.ts'
import type { Route } from '../table/route.ts'
import { calleesOf } from './pipeline/callees.ts'
import { buildRoute, sameShape, type Built, type RouteState } from './pipeline/route.ts'
import { createIndex, findMatch, findShared, methodsServed, type Index, type IndexedRoute } from './pipeline/lookup.ts'
import type { Wants } from './pipeline/looks.ts'
import type { Candidate, Matchable } from './pipeline/match.ts'
import { createPatterns } from './pipeline/patterns.ts'
import type { BuiltRule } from './pipeline/rule.ts'
import { refuseAll } from './pipeline/principal.ts'
import { noTokens } from './filters/backend_credentials/tokens.ts'
import type { FilterDeps } from './filters/filter.ts'
import { Caches } from './cache/caches.ts'
import { createLimiter } from './limits/create.ts'
import { Mirrors } from './mirror/mirrors.ts'
import { noPlugins } from './plugins/plugins.ts'
import { Predictions } from './predictions/predictions.ts'
import { atOnce, type Sliced } from './sliced.ts'
import type { Active, Prepare } from './store.ts'
import { unaudited } from './telemetry/audit.ts'
import { LimitTally } from './telemetry/limits.ts'
import { Measurements } from './telemetry/measurements.ts'
import { SeriesSet } from './telemetry/series.ts'
import type { BalancingDeps } from './upstream/balancing.ts'
import { Groups } from './upstream/groups.ts'
import { callVariant } from './upstream/call.ts'
import { askVariant } from './upstream/known.ts'
import type { Names } from './upstream/names.ts'
import { Upstreams } from './upstream/pool.ts'
import { createShielding, type Shielding } from './upstream/shielding.ts'
import { BodyChecks } from './validation/body_checks.ts'
import { Vault } from './vault.ts'

type Found = Readonly<{ rule: BuiltRule; candidate: Candidate; wants: Wants }>

/** One table, ready to run, and never changed. A request asks one from beginning to end. */
export type Table = Readonly<{
  version: string
  /** What it was made from, for the admin port. */
  source: Active
  find(request: Matchable): Found | undefined
  methods(request: Matchable): readonly string[]
  /** For a preflight that asks about this method. */
  shared(request: Matchable, method: string): Found | undefined
  /** Every route in force, for who asks why. */
  routes(): Iterable<Built>
}>

export type Runtime = Readonly<{
  /** Undefined before the first. */
  table(): Table | undefined
  /** Puts a table in force, whole. A route it refuses stays as it last was; the others are not touched by that. */
  activate(next: Active): readonly Refusal[]
  /** Builds what that table has anew, to be put in force next. */
  prepare: Prepare
  series: SeriesSet
  close(): Promise<void>
}>

/** The outcome of building an item, remembered so that one that did not change is not built again. */
type Outcome = Readonly<{ item: Route; built: Built | undefined; refused: string | undefined }>

/** Where every rule is found, and where in `rules` those of each route begin. */
type Layout = Readonly<{ index: Index; first: ReadonlyMap<string, number>; rules: readonly BuiltRule[] }>

export type RuntimeDeps = Readonly<{
  upstreams?: Upstreams
  vault?: Vault
  filterDeps?: Partial<FilterDeps>
  balancing?: BalancingDeps
  shielding?: Shielding
  /** Follows where the names of URLs lead. */
  names?: Names
}>

export function createRuntime({
  vault = new Vault(), upstreams = new Upstreams(undefined, vault), filterDeps: given, balancing = {}, shielding = createShielding(), names,
}: RuntimeDeps = {}): Runtime {
  const filterDeps: FilterDeps = {
    vault,
    backendTokens: noTokens, call: callVariant,
    authenticators: refuseAll, audit: unaudited, limiter: createLimiter(), limitTally: new LimitTally(), measurements: new Measurements(), mirrors: new Mirrors(), predictions: new Predictions(), caches: new Caches(), plugins: noPlugins(), bodyChecks: new BodyChecks(), ...given,
  }
  const patterns = createPatterns()
  const series = new SeriesSet()
  const groups = new Groups(upstreams, names)
  /** By route: what of it must outlive a table. */
  const states = new Map<string, RouteState>()
  const outcomes = new Map<string, Outcome>()
  /** What is built and not in force yet. */
  const prepared = new Map<string, Outcome>()
  /** Where all of that is to be found. */
  let laid: Readonly<{ of: Active['routes']; layout: Layout }> | undefined
  /** Why a route could not be built. */
  const refused = new Map<string, string>()
  /** All that is built, in the order of the table, once somebody has asked. */
  let listed: readonly Built[] | undefined
  let layout: Layout = atOnce(layOut([]))
  let table: Table | undefined

  function build(item: Route, last: Outcome | undefined): Outcome {
    let state = states.get(item.id)
    if (state === undefined) {
      state = new Map()
      states.set(item.id, state)
    }
    const built = buildRoute(item, { patterns, groups, series, state, filterDeps, balancing, shielding, ask: askVariant })
    return typeof built === 'string'
      ? { item, built: last?.built, refused: built }
      : { item, built, refused: undefined }
  }

  /** What that item comes to; undefined: it is in no table any more. */
  function outcomeOf(id: string, item: Route | undefined): Outcome | undefined {
    const last = outcomes.get(id)
    if (item === undefined || last?.item === item) return item && last
    const ready = prepared.get(id)
    if (ready?.item !== item) return build(item, last)
    prepared.delete(id)
    return ready
  }

  /** What was built for a table that did not come. */
  function discard(): void {
    for (const [id, { item, built }] of prepared) {
      const current = outcomes.get(id)
      if (built?.route === item) letGo(built, current?.built)
      if (current === undefined) states.delete(id)
    }
    prepared.clear()
    laid = undefined
  }

  /** Lets go of what a route that was replaced or removed held, after what replaces it holds its own. */
  function letGo(last: Built | undefined, next: Built | undefined): void {
    if (last === next) return
    for (const { variants, callees, mirror } of last?.rules ?? []) {
      for (const { target } of [...variants, ...callees]) groups.release(target)
      if (mirror) groups.release(mirror.target)
    }
    if (last === undefined) return
    const { id } = last.route
    filterDeps.measurements.prune(id, next?.route)
    filterDeps.mirrors.prune(id, next?.route)
    filterDeps.predictions.prune(id, next?.route)
    filterDeps.plugins.prune(id, next?.route)
    filterDeps.caches.prune(id, next?.route)
    filterDeps.bodyChecks.tally.prune(id, next?.route)
    const live = new Map(next?.route.rules.map((rule) => [rule.name, new Set([...rule.variants, ...calleesOf(rule)].map(({ name }) => name))]))
    const state = states.get(id)
    for (const rule of state?.keys() ?? []) if (!live.has(rule)) state?.delete(rule)
    const backends = new Set(next?.rules.flatMap(({ variants, callees }) => [...variants, ...callees].map(({ backend }) => backend?.state)))
    for (const ofRule of state?.values() ?? []) ofRule.backends = ofRule.backends.filter((kept) => backends.has(kept))
    for (const { variants, callees } of last.rules) for (const { backend } of [...variants, ...callees]) if (backend && !backends.has(backend.state)) backend.close()
    series.prune(id, next && (({ rule, variant }) => variant === '' ? live.has(rule) : live.get(rule)?.has(variant) === true))
  }

  const builtOf = ({ routes }: Active): readonly Built[] => [...routes.keys()].flatMap((id) => outcomes.get(id)?.built ?? [])

  return {
    series,
    table: () => table,
    *prepare(next) {
      discard()
      groups.begin(next.endpoints)
      vault.follow(next)
      let same = true
      for (const id of differences(table?.source.routes ?? nothing, next.routes)) {
        const item = next.routes.get(id)
        const last = outcomes.get(id)
        const outcome = item && (last?.item === item ? last : build(item, last))
        if (outcome !== undefined && outcome !== last) prepared.set(id, outcome)
        same &&= sameShape(last?.built, outcome?.built)
        yield
      }
      if (same) return
      const built: Built[] = []
      for (const id of next.routes.keys()) {
        const one = (prepared.get(id) ?? outcomes.get(id))?.built
        if (one !== undefined) built.push(one)
      }
      laid = { of: next.routes, layout: yield* layOut(built) }
    },
    activate(next) {
      groups.begin(next.endpoints)
      vault.follow(next)
      // All is built before anything is put in its place: what throws on the way changes nothing.
      const news: [id: string, last: Outcome | undefined, outcome: Outcome | undefined][] = []
      for (const id of differences(table?.source.routes ?? nothing, next.routes)) {
        const last = outcomes.get(id)
        const outcome = outcomeOf(id, next.routes.get(id))
        if (outcome !== last) news.push([id, last, outcome])
      }
      for (const [id, , outcome] of news) {
        if (outcome) outcomes.set(id, outcome)
        else outcomes.delete(id)
        if (outcome?.refused === undefined) refused.delete(id)
        else refused.set(id, outcome.refused)
      }
      const replaced = news.map(([, last, outcome]) => [last?.built, outcome?.built] as const)
      // Most edits move a weight. Then every request finds the same rule as before, and the index stays.
      layout = replaced.every(([a, b]) => sameShape(a, b))
        ? { ...layout, rules: exchanged(layout, replaced) }
        : laid?.of === next.routes ? laid.layout : atOnce(layOut(builtOf(next)))
      if (replaced.length > 0) listed = undefined
      table = createTable(next, layout, () => (listed ??= builtOf(next)))
      for (const [id, , outcome] of news) if (outcome === undefined) states.delete(id)
      for (const [a, b] of replaced) letGo(a, b)
      discard()
      groups.follow()
      return [...refused].map(([id, message]) => ({ id, message }))
    },
    close: () => upstreams.destroy(),
  }
}

const nothing: Active['routes'] = new Map()

function createTable(source: Active, { index, rules }: Layout, routes: Table['routes']): Table {
  return {
    version: source.version,
    source,
    find(request) {
      const found = findMatch(index, request)
      const rule = found && rules[found.slot]
      return rule && { rule, candidate: found.candidate, wants: found.wants }
    },
    routes,
    shared(request, method) {
      const found = findShared(index, request, method)
      const rule = found && rules[found.slot]
      return rule && { rule, candidate: found.candidate, wants: found.wants }
    },
    methods: (request) => methodsServed(index, request),
  }
}

function* layOut(built: readonly Built[]): Sliced<Layout> {
  const first = new Map<string, number>()
  const rules: BuiltRule[] = []
  const indexed: IndexedRoute[] = []
  for (const { route, candidates, rules: own } of built) {
    const slot = rules.length
    first.set(route.id, slot)
    rules.push(...own)
    indexed.push({ tenant: route.tenant, hostnames: route.hostnames, entries: candidates.map((candidate) => ({ candidate, slot: slot + candidate.rule })) })
    yield
  }
  return { index: yield* createIndex(indexed), first, rules }
}

/** The rules with those of the replaced routes exchanged, each in its place. */
function exchanged({ first, rules }: Layout, replaced: readonly (readonly [Built | undefined, Built | undefined])[]): BuiltRule[] {
  const next = [...rules]
  for (const [, built] of replaced) {
    const slot = first.get(built?.route.id ?? '')
    if (slot !== undefined) for (const [i, rule] of built?.rules.entries() ?? []) next[slot + i] = rule
  }
  return next
}
