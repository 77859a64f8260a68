import type { Route, Variant } from '../../table/route.ts'
import { graphFault } from '../compose/graph.ts'
import type { FilterDeps } from '../filters/filter.ts'
import type { SeriesSet } from '../telemetry/series.ts'
import type { BalancingDeps } from '../upstream/balancing.ts'
import type { Groups } from '../upstream/groups.ts'
import { originOf } from '../upstream/origin.ts'
import type { Shielding } from '../upstream/shielding.ts'
import { calleesOf } from './callees.ts'
import { isPlainValue } from './headers.ts'
import { compileMatches, type Candidate } from './match.ts'
import type { Patterns } from './patterns.ts'
import { buildRule, type BuiltRule, type RuleDeps } from './rule.ts'
import { newRuleState, type RuleState } from './rule_state.ts'

/** A route, ready to run. */
export type Built = Readonly<{
  route: Route
  candidates: readonly Candidate[]
  rules: readonly BuiltRule[]
}>

/** What of a route outlives the table that holds it, by rule. */
export type RouteState = Map<string, RuleState>

export type RouteDeps = Readonly<{
  patterns: Patterns
  groups: Groups
  series: SeriesSet
  state: RouteState
  filterDeps: FilterDeps
  balancing: BalancingDeps
  shielding: Shielding
  ask: RuleDeps['ask']
}>

/** Builds a route, or says why it cannot be. Nothing is held before it is certain that it can. */
export function buildRoute(route: Route, deps: RouteDeps): Built | string {
  const { patterns, groups, state, filterDeps } = deps
  const candidates = compileMatches(route, patterns, filterDeps.authenticators)
  if (typeof candidates === 'string') return candidates
  for (const rule of route.rules) {
    const wrong = cannotServe([...rule.variants, ...calleesOf(rule)]) ?? (rule.compose && graphFault(rule.compose)) ?? firstOf(rule.plugins ?? [], ({ name, config }) => filterDeps.plugins.fault(name, config))
    if (wrong !== undefined) return `rule ${rule.name}: ${wrong}`
  }
  const rules = route.rules.map((rule) => {
    const ofRule = state.get(rule.name) ?? newRuleState()
    state.set(rule.name, ofRule)
    const hold = (owner: string) => (variant: Variant) => groups.hold(owner, variant.target)
    return buildRule(route, rule, { ...deps, state: ofRule, target: hold(route.tenant), mirrorTarget: hold(`${route.tenant} mirror`) })
  })
  return { route, candidates, rules }
}

/** Whether two versions of a route are found by the same requests, in the same order. */
export function sameShape(a: Built | undefined, b: Built | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && shapeOf(a.route) === shapeOf(b.route))
}

function shapeOf({ created, hostnames, rules }: Route): string {
  return JSON.stringify([created, hostnames, rules.map(({ matches, auth, cors }) => [matches, cors !== undefined, matches.some(({ principal, when }) => principal !== undefined || when !== undefined) ? auth : null])])
}

/** What the table can say and this proxy cannot do: refused, so that it shows, and not served in some other way. */
function cannotServe(variants: readonly Variant[]): string | undefined {
  for (const { name, target, model } of variants) {
    if (!isPlainValue(name)) return `variant ${JSON.stringify(name)}: the name cannot stand in a header`
    if (target.kind === 'url') {
      const origin = originOf(target.url)
      if (typeof origin !== 'string') return `variant ${name}: ${origin.wrong}`
    }
    for (const text of [model?.name, model?.version]) {
      if (text === '.' || text === '..') return `variant ${name}: ${text} cannot be the name or version of a model in a path`
    }
  }
  return undefined
}

/** What is wrong with the first with which something is. */
function firstOf<Item>(items: readonly Item[], faultOf: (item: Item) => string | undefined): string | undefined {
  for (const item of items) {
    const fault = faultOf(item)
    if (fault !== undefined) return fault
  }
  return undefined
}
