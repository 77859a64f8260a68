import type { Match, Route, Rule, Variant } from '../../table/route.ts'
import { createCors, type CorsPolicy } from '../filters/cors/policy.ts'
import { timerMax } from '../clock.ts'
import { proofFor, type Proof } from '../filters/backend_credentials/proof.ts'
import { buildGraph, type Graph } from '../compose/graph.ts'
import { filters } from '../filters/index.ts'
import type { FilterDeps, FilterFunction } from '../filters/filter.ts'
import { buildMirror, type Mirror } from '../mirror/mirror.ts'
import type { Series, SeriesSet } from '../telemetry/series.ts'
import type { Budget } from '../upstream/again.ts'
import { Backend, newBackendState, type BackendState } from '../upstream/backend.ts'
import { createBalancing, type BalancingDeps } from '../upstream/balancing.ts'
import { createNext, type Next, type Tiers } from '../upstream/next.ts'
import type { BuiltTarget } from '../upstream/groups.ts'
import type { AskVariant } from '../translate/translation.ts'
import type { Commit } from '../telemetry/audit.ts'
import type { Shielding } from '../upstream/shielding.ts'
import type { SplitState } from '../upstream/split.ts'
import { createAssign } from './assignment.ts'
import { calleesOf } from './callees.ts'
import type { Exchange } from './exchange.ts'
import type { Authenticate } from './principal.ts'

export type BuiltVariant = Readonly<{
  name: string
  target: BuiltTarget
  /** Undefined where the target does not resolve. */
  backend: Backend | undefined
  model: Variant['model']
  /** What is said otherwise is translated; undefined: nothing is looked at. */
  protocol: Variant['protocol']
  /** What its backend is shown by the gateway; undefined: nothing. */
  prove: ((imagined: boolean) => Proof | Promise<Proof>) | undefined
}>

export type BuiltRule = Readonly<{
  route: string
  name: string
  filters: readonly FilterFunction[]
  /** What each is called. */
  filterNames: readonly string[]
  variants: readonly BuiltVariant[]
  /** Backends that it calls itself, beside those that answer its requests. */
  callees: readonly BuiltVariant[]
  /** In place of variants: it answers what its steps make. */
  compose: Graph | undefined
  timeouts: Rule['timeouts']
  /** Bytes of a body; infinite where nothing limits it. */
  requestMax: number
  responseMax: number
  /** Its answers say how sure they are. */
  confidence: boolean
  /** The shortest of the timeouts, but for connecting, which the connection keeps: how often an exchange looks at its clock. Undefined: never. */
  tick: number | undefined
  /** Without taking a turn, where it is only asked what would be done. */
  choose(exchange: Exchange): BuiltVariant | undefined
  /** Who takes a request that none of these could: others of their priority first. Undefined: nobody ever. */
  next: Next<BuiltVariant> | undefined
  /** Some variant has the model by another name, and may come after another one: a body that names it is read before the first. */
  renames: boolean
  /** Some variant speaks a protocol of its own, and may come after another one: a body that it would need is read before the first. */
  translates: boolean
  /** Asks the backend of a variant what the gateway itself wants to know for a request. */
  ask: AskVariant
  retry: Rule['retry']
  hedge: Rule['hedge']
  /** What retries and second requests may come to; undefined: there are none. */
  budget: Budget | undefined
  fallbackResponse: Rule['fallbackResponse']
  deadlineHeader: Rule['deadlineHeader']
  /** By whose terms its callers are known; undefined: nobody is asked. */
  authenticate: Authenticate | undefined
  /** Headers and query parameters in which callers bring keys. */
  keysIn: ReadonlySet<string>
  /** Who gets copies of its requests. */
  mirror: Mirror | undefined
  /** What is said to web pages. */
  cors: CorsPolicy | undefined
  /** Undefined: nobody is asked who calls, and nothing is said of an audit. */
  audited: Rule['audit']
  /** What must have happened before an answer goes out. */
  commit: Commit | undefined
  /** Where a request that came by this match is counted. */
  series(match: Match['model'], variant: BuiltVariant | undefined): Series
}>

/** What of a rule outlives the table that holds it. `backends`: by variant and where that leads. */
export type RuleState = Readonly<{ split: SplitState; backends: Map<string, BackendState>; tiers: Tiers; budget: Budget }>

export type RuleDeps = Readonly<{
  state: RuleState
  series: SeriesSet
  filterDeps: FilterDeps
  ask: AskVariant
  balancing: BalancingDeps
  shielding: Shielding
  target(variant: Variant): BuiltTarget
  /** The same for copies, whose connections are no caller's. */
  mirrorTarget(variant: Variant): BuiltTarget
}>

export function buildRule(route: Route, rule: Rule, deps: RuleDeps): BuiltRule {
  const variants = rule.variants.map((variant) => buildVariant(variant, route, rule, deps))
  const callees = calleesOf(rule).map((variant) => buildVariant(variant, route, rule, deps))
  const byName = new Map(variants.map((variant) => [variant.name, variant]))
  // Those of a higher priority have no share of what comes first.
  const assign = createAssign(route, { ...rule, variants: rule.variants.map((one) => one.priority > 0 ? { ...one, weight: 0 } : one) }, deps.state.split)
  const timeouts = limitsOf(rule.timeouts)
  const { connect: _, ...clocked } = timeouts
  const limits = Object.values(clocked)
  const seriesOf = seriesByMatch(route.id, rule.name, deps.series)

  const fallsBack = new Set(rule.variants.map(({ priority }) => priority)).size > 1

  const steps = filters.flatMap(({ name, build }) => {
    const run = build({ route, rule }, deps.filterDeps)
    return run === undefined ? [] : [{ name, run }]
  })

  return {
    route: route.id,
    name: rule.name,
    filters: steps.map(({ run }) => run),
    filterNames: steps.map(({ name }) => name),
    variants,
    callees,
    compose: rule.compose && buildGraph(rule.compose, callees),
    timeouts,
    requestMax: rule.sizeLimits?.request ?? Number.POSITIVE_INFINITY,
    responseMax: rule.sizeLimits?.response ?? Number.POSITIVE_INFINITY,
    confidence: rule.transform?.response?.enrich?.confidence !== undefined,
    tick: limits.length > 0 ? Math.min(...limits, timerMax) : undefined,
    choose(exchange) {
      const { headers } = exchange.received
      for (const { header, value, variant } of rule.overrides) {
        for (let i = 0; i < headers.length; i += 2) {
          if (headers[i] !== header || headers[i + 1] !== value) continue
          exchange.explaining?.set('split', `by the header ${header}`)
          if (exchange.told !== undefined) exchange.told.split = { by: `override ${header}`, shares: [] }
          return byName.get(variant)
        }
      }
      const position = assign(exchange)
      return position === undefined ? undefined : variants[position]
    },
    next: createNext(rule.variants, variants, deps.state.tiers),
    renames: variants.some(({ model }) => model?.name !== undefined) && fallsBack,
    ask: deps.ask,
    translates: variants.some(({ protocol }) => protocol !== undefined) && fallsBack,
    retry: rule.retry,
    hedge: rule.hedge,
    budget: rule.retry === undefined && rule.hedge === undefined && rule.compose?.steps.some(({ retry }) => retry !== undefined) !== true ? undefined : deps.state.budget,
    fallbackResponse: rule.fallbackResponse,
    deadlineHeader: rule.deadlineHeader,
    authenticate: rule.auth && deps.filterDeps.authenticators(route.tenant, rule.auth),
    keysIn: new Set((rule.auth?.anyOf ?? []).flatMap((credential) => credential.kind === 'apiKey' ? [credential.name] : [])),
    mirror: buildMirror(route, rule, deps.mirrorTarget, (name) => watchedOf(byName.get(name)?.backend), deps.filterDeps),
    cors: rule.cors && createCors(rule.cors),
    audited: rule.audit ?? (rule.auth && 'Buffered'),
    commit: rule.audit === 'Strict' ? deps.filterDeps.audit.commit : undefined,
    series: seriesOf,
  }
}

const watchedOf = (backend: Backend | undefined) => backend?.watched === true ? backend.usable : undefined

/** A limit of zero is none (Gateway API, HTTPRouteTimeouts). */
function limitsOf(timeouts: Rule['timeouts']): Rule['timeouts'] {
  return Object.fromEntries(Object.entries(timeouts).filter(([, milliseconds]) => milliseconds > 0))
}

function buildVariant(variant: Variant, route: Route, rule: Rule, { state, target: hold, balancing: deps, shielding, filterDeps }: RuleDeps): BuiltVariant {
  const { name, model, protocol, credentials } = variant
  const prove = credentials && ((imagined: boolean) => proofFor(route.tenant, credentials, filterDeps, imagined))
  const target = hold(variant)
  if (target.kind === 'unresolved') return { name, target, backend: undefined, model, protocol, prove }
  const key = `${name} ${JSON.stringify(variant.target)}`
  let ofBackend = state.backends.get(key)
  if (ofBackend === undefined) {
    ofBackend = newBackendState()
    state.backends.set(key, ofBackend)
  }
  const { group, lacks, host } = target
  ofBackend.shield = shielding({ tenant: route.tenant, route: route.id, rule, variant, group, host }, ofBackend.shield)
  const balancing = createBalancing(rule.balance, ofBackend.turns, deps)
  return { name, target, backend: new Backend({ group, lacks, balancing, state: ofBackend }), model, protocol, prove }
}

/** Made at first use: a rule has more matches times variants than are ever seen. */
function seriesByMatch(route: string, rule: string, set: SeriesSet): BuiltRule['series'] {
  const found = new Map<Match['model'], Map<string, Series>>()
  return (match, variant) => {
    let byVariant = found.get(match)
    if (byVariant === undefined) {
      byVariant = new Map()
      found.set(match, byVariant)
    }
    const name = variant?.name ?? ''
    let series = byVariant.get(name)
    if (series === undefined) {
      series = set.get({
        route,
        rule,
        variant: name,
        model: (match?.type === undefined ? match?.name : undefined) ?? variant?.model?.name ?? '',
        model_version: variant?.model?.version ?? match?.version ?? '',
      })
      byVariant.set(name, series)
    }
    return series
  }
}
