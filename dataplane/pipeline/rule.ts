import type { Match, Route, Rule, Variant } from '../../table/route.ts'
import { createCors, type CorsPolicy } from '../filters/cors/policy.ts'
import { timerMax } from '../clock.ts'
import { proofFor, type Proof } from '../filters/backend_credentials/proof.ts'
import { buildGraph, type Graph } from '../compose/graph.ts'
import { filters } from '../filters/index.ts'
import type { FilterDeps, FilterFunction } from '../filters/filter.ts'
import { buildMirror, type Mirror } from '../mirror/mirror.ts'
import type { Series, SeriesSet } from '../telemetry/series.ts'
import { Budget } from '../upstream/again.ts'
import { Backend } from '../upstream/backend.ts'
import type { BalancingDeps } from '../upstream/balancing.ts'
import { createNext, type Next } from '../upstream/next.ts'
import type { BuiltTarget } from '../upstream/groups.ts'
import type { AskVariant } from '../translate/translation.ts'
import type { Commit } from '../telemetry/audit.ts'
import type { Shielding } from '../upstream/shielding.ts'
import { createAssign } from './assignment.ts'
import { calleesOf } from './callees.ts'
import type { Exchange } from './exchange.ts'
import type { Authenticate } from './principal.ts'
import { backendStateOf, type RuleState } from './rule_state.ts'

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
  const timeouts = limitsOf(rule.timeouts)
  const { connect: _, ...clocked } = timeouts
  const limits = Object.values(clocked)
  const fallsBack = rule.variants.some(({ priority }) => priority !== rule.variants[0]?.priority)
  const repeats = rule.retry !== undefined || rule.hedge !== undefined || rule.compose?.steps.some(({ retry }) => retry !== undefined) === true
  const steps = stepsOf(route, rule, deps.filterDeps)

  return {
    route: route.id,
    name: rule.name,
    filters: steps.filters,
    filterNames: steps.filterNames,
    variants,
    callees,
    compose: rule.compose && buildGraph(rule.compose, callees),
    timeouts,
    requestMax: rule.sizeLimits?.request ?? Number.POSITIVE_INFINITY,
    responseMax: rule.sizeLimits?.response ?? Number.POSITIVE_INFINITY,
    confidence: rule.transform?.response?.enrich?.confidence !== undefined,
    tick: limits.length > 0 ? Math.min(...limits, timerMax) : undefined,
    choose: createChoose(route, rule, variants, deps.state),
    next: createNext(rule.variants, variants, deps.state),
    renames: variants.some(({ model }) => model?.name !== undefined) && fallsBack,
    ask: deps.ask,
    translates: variants.some(({ protocol }) => protocol !== undefined) && fallsBack,
    retry: rule.retry,
    hedge: rule.hedge,
    budget: repeats ? (deps.state.budget ??= new Budget()) : undefined,
    fallbackResponse: rule.fallbackResponse,
    deadlineHeader: rule.deadlineHeader,
    authenticate: rule.auth && deps.filterDeps.authenticators(route.tenant, rule.auth),
    keysIn: rule.auth === undefined ? nowhere : new Set(rule.auth.anyOf.flatMap((credential) => credential.kind === 'apiKey' ? [credential.name] : [])),
    mirror: rule.mirror && buildMirror(route, rule, deps.mirrorTarget, watchedIn(variants), deps.filterDeps),
    cors: rule.cors && createCors(rule.cors),
    audited: rule.audit ?? (rule.auth && 'Buffered'),
    commit: rule.audit === 'Strict' ? deps.filterDeps.audit.commit : undefined,
    series: seriesByMatch(route.id, rule.name, deps.series),
  }
}

const nowhere: ReadonlySet<string> = new Set()

type Steps = Pick<BuiltRule, 'filters' | 'filterNames'>

/** Of the rule that was built last: most have the same filters as others, and then the same lists. */
let lastSteps: Steps = { filters: [], filterNames: [] }

function stepsOf(route: Route, rule: Rule, deps: FilterDeps): Steps {
  const runs: FilterFunction[] = []
  const names: string[] = []
  for (const { name, build } of filters) {
    const run = build({ route, rule }, deps)
    if (run === undefined) continue
    runs.push(run)
    names.push(name)
  }
  const known = lastSteps.filters
  if (runs.length !== known.length || runs.some((run, i) => run !== known[i])) lastSteps = { filters: runs.slice(), filterNames: names.slice() }
  return lastSteps
}

/** The variant of a request: that of the first override that holds, else by weight or key. */
function createChoose(route: Route, rule: Rule, variants: readonly BuiltVariant[], { split }: RuleState): BuiltRule['choose'] {
  const { overrides } = rule
  // Those of a higher priority have no share of what comes first.
  const assign = createAssign(route, { ...rule, variants: rule.variants.map((one) => one.priority > 0 ? { ...one, weight: 0 } : one) }, split)
  return function choose(exchange) {
    const { headers } = exchange.received
    for (const { header, value, variant } of overrides) {
      for (let i = 0; i < headers.length; i += 2) {
        if (headers[i] !== header || headers[i + 1] !== value) continue
        exchange.explaining?.set('split', `by the header ${header}`)
        if (exchange.told !== undefined) exchange.told.split = { by: `override ${header}`, shares: [] }
        return variants.find(({ name }) => name === variant)
      }
    }
    const position = assign(exchange)
    return position === undefined ? undefined : variants[position]
  }
}

/** The endpoints of a variant that callers may be sent to, where that is watched. */
function watchedIn(variants: readonly BuiltVariant[]) {
  return (variant: string) => {
    const backend = variants.find(({ name }) => name === variant)?.backend
    return backend?.watched === true ? backend.usable : undefined
  }
}

/** A limit of zero is none (Gateway API, HTTPRouteTimeouts). */
function limitsOf(timeouts: Rule['timeouts']): Rule['timeouts'] {
  if (Object.values(timeouts).every((milliseconds) => milliseconds > 0)) return timeouts
  return Object.fromEntries(Object.entries(timeouts).filter(([, milliseconds]) => milliseconds > 0))
}

function buildVariant(variant: Variant, route: Route, rule: Rule, { state, target: hold, balancing, shielding, filterDeps }: RuleDeps): BuiltVariant {
  const { name, model, protocol, credentials } = variant
  const prove = credentials && ((imagined: boolean) => proofFor(route.tenant, credentials, filterDeps, imagined))
  const target = hold(variant)
  if (target.kind === 'unresolved') return { name, target, backend: undefined, model, protocol, prove }
  const ofBackend = backendStateOf(state, variant)
  const { group, lacks, host } = target
  ofBackend.shield = shielding({ tenant: route.tenant, route: route.id, rule, variant, group, host }, ofBackend.shield)
  return { name, target, backend: new Backend({ group, lacks, balance: rule.balance, balancing, state: ofBackend }), model, protocol, prove }
}

/** Made at first use: a rule has more matches times variants than are ever seen. */
function seriesByMatch(route: string, rule: string, set: SeriesSet): BuiltRule['series'] {
  let found: Map<Match['model'], Map<string, Series>> | undefined
  return (match, variant) => {
    found ??= new Map()
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
