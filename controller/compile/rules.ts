import type { Rule, Variant } from '../../table/route.ts'
import type { Problem, RuleRollout } from '../sources/snapshot.ts'
import { compileAuth } from './auth.ts'
import { measuredFor } from './analysis.ts'
import { asksWho, compileAuthorization, readsPrincipal } from './authorization.ts'
import type { BackendFound } from './backends.ts'
import { compileBalance } from './balance.ts'
import { compileBatching } from './batching.ts'
import { compileCache } from './cache.ts'
import { compileCors } from './cors.ts'
import { compileCallee } from './callee.ts'
import { compileCompose } from './compose.ts'
import { compileMatches, type PlacedMatch } from './matches.ts'
import { compileMirror, compileSplit } from './delivery.ts'
import { compileBreaker, compileHealth, compileWakeUp } from './health.ts'
import { type Needs, noNeeds } from './needs.ts'
import { compilePredictions } from './predictions.ts'
import { invalid, quote } from './problems.ts'
import type { CheckRegex } from './regexes.ts'
import type { BackendRef, RouteSpec, RuleSpec } from './spec.ts'
import type { BackendContext } from './targets.ts'
import { compileResilience } from './resilience.ts'
import { type Aim, aimsOf, compileDelivery, type Delivery, sharesNow, withUndone } from './rollout.ts'
import { servedModel } from './served.ts'
import { compileSizeLimits } from './sizes.ts'
import { compileTimeouts } from './timeouts.ts'
import { compileTransform } from './transform.ts'
import { compileValidation } from './validation.ts'
import { shares } from './weights.ts'

/** A rule that holds, before other routes had their say about its matches. */
export type RuleDraft = Readonly<{
  matches: readonly PlacedMatch[]
  rest: Omit<Rule, 'matches'>
  needs: Needs
  /** Absent where nobody is split. */
  delivery?: Delivery
}>

export type RuleResult = Readonly<{
  /** Absent: the rule is invalid. */
  draft?: RuleDraft
  problems: readonly Problem[]
}>

/** `route`: of the spec that the rule is in; what it says of protection holds for a rule that says nothing itself. */
export type RuleContext = BackendContext & Readonly<{ id: string; checkRegex: CheckRegex; route: Pick<RouteSpec, 'auth' | 'authorization' | 'cors'> }>

export function compileRule(written: RuleSpec, place: string, context: RuleContext): RuleResult {
  const problems: Problem[] = []
  const undone = written.backendRefs && context.world.undone(context.id, written.name)
  const spec = undone ? withUndone(written, undone) : written
  if (!spec.compose && !spec.backendRefs?.length) problems.push(invalid(`${place}.backendRefs`, 'a rule needs a backendRef'))
  if (spec.compose && spec.backendRefs) problems.push(invalid(`${place}.compose`, 'stands in place of backendRefs; remove one of the two'))

  const matches = compileMatches(spec.matches, place, context.checkRegex, problems)
  const needs = noNeeds()
  const delivery = written.backendRefs && compileDelivery(written, place, context.options, problems)
  const known = delivery?.plan && context.world.rollout(context.id, written.name)
  const variants = compileVariants(spec, `${place}.backendRefs`, { ...context, needs, problems }, sharesOf(undone || !delivery ? aimsOf(spec.backendRefs ?? []) : delivery.aims, spec.rollout?.candidate, known))
  const names = new Set(variants.map((variant) => variant.name))
  const overrides = (spec.overrides ?? []).map(({ header, value, variant }, at) => {
    if (!names.has(variant)) {
      problems.push(invalid(`${place}.overrides[${at}].variant`, `${quote(variant)} is no variant of this rule`))
    }
    return { header: header.toLowerCase(), value, variant }
  })
  const split = compileSplit(spec.split)
  const mirror = compileMirror(spec, `${place}.mirror`, problems)
  const timeouts = compileTimeouts(spec.timeouts, `${place}.timeouts`, problems)
  const resilience = compileResilience(spec, place, timeouts, problems)
  const compose = spec.compose && compileCompose(spec, spec.compose, `${place}.compose`, context, { needs, problems })
  const deadlineHeader = spec.timeouts?.deadlineHeader?.toLowerCase()
  const sizeLimits = compileSizeLimits(spec.sizeLimits, `${place}.sizeLimits`, problems)
  const protection = compileProtection(spec, place, context, needs, problems)
  const cors = context.route.cors && compileCors(context.route.cors, problems)
  const balance = compileBalance(spec.loadBalancing, `${place}.loadBalancing`, problems)
  const health = compileHealth(spec.health, `${place}.health`, problems)
  const breaker = compileBreaker(spec.circuitBreaker, `${place}.circuitBreaker`, problems)
  const wakeUp = compileWakeUp(spec.wakeUp, `${place}.wakeUp`, timeouts, problems)
  const cache = compileCache(spec.cache, (spec.auth ?? context.route.auth) !== undefined, `${place}.cache`, context, { needs, problems })
  const batching = compileBatching(spec.batching, timeouts, `${place}.batching`, problems)
  const transform = compileTransform(spec.transform, `${place}.transform`, protection.auth !== undefined, problems)
  const validation = compileValidation(spec, place, context, problems)
  const audit = spec.logging?.audit
  const predictions = compilePredictions(spec, context.namespace, `${place}.logging.predictions`, problems)
  const plugins = spec.plugins?.map(({ name, config = {} }) => ({ name, config }))
  const measured = known?.measured

  if (validation === 'missing' || problems.some(breaksRule)) return { problems }
  const rest = {
    name: spec.name, ...protection, ...(cors && { cors }), variants, ...(compose && { compose }), overrides, ...(split && { split }), ...(mirror && { mirror }), balance,
    ...(health && { health }), ...(breaker && { breaker }), ...(wakeUp && { wakeUp }),
    timeouts, ...(deadlineHeader !== undefined && { deadlineHeader }), ...resilience, ...(sizeLimits && { sizeLimits }), ...(validation && { validation }), ...(transform && { transform }), ...(cache && { cache }), ...(batching && { batching }), ...(audit && { audit }), ...(predictions && { predictions }), ...(plugins && plugins.length > 0 && { plugins }),
    ...(measured !== undefined && delivery?.plan?.analysis && { measured: measuredFor(delivery.plan.analysis, measured) }),
  } as const
  return { draft: { matches, rest, needs, ...(delivery && { delivery }) }, problems }
}

/** A rule's own replaces the route's as a whole. */
function compileProtection(
  spec: RuleSpec,
  place: string,
  context: RuleContext,
  needs: Needs,
  problems: Problem[],
): Pick<Rule, 'auth' | 'authorization'> {
  const { route } = context
  const auth = spec.auth
    ? compileAuth(spec.auth, `${place}.auth`, context, { needs, problems })
    : route.auth && compileAuth(route.auth, 'spec.auth', context, { needs, problems })
  const permitted = spec.authorization
    ? { place: `${place}.authorization`, spec: spec.authorization }
    : route.authorization && { place: 'spec.authorization', spec: route.authorization }
  const authorization = permitted && compileAuthorization(permitted.spec, permitted.place, problems)
  if (!auth) {
    const without = 'asks who calls, and without auth nobody knows; add auth to the rule or the route'
    spec.matches?.forEach(({ principal, when }, at) => {
      if (principal) problems.push(invalid(`${place}.matches[${at}].principal`, without))
      if (when !== undefined && readsPrincipal(when)) problems.push(invalid(`${place}.matches[${at}].when`, without))
    })
    if (permitted && asksWho(authorization ?? [])) problems.push(invalid(permitted.place, without))
  }
  return { ...(auth && { auth }), ...(authorization && { authorization: [...authorization] }) }
}

/**
 * Keeps the requests of a rule that asks who calls and does not hold: it answers them 503, since another rule, less
 * specific, might be open. Undefined where it cannot be told which requests those are.
 */
export function closeRule(spec: RuleSpec, place: string, { checkRegex }: RuleContext): RuleDraft | undefined {
  const problems: Problem[] = []
  const matches = compileMatches(spec.matches, place, checkRegex, problems)
  if (problems.some(breaksRule)) return undefined
  const closed = { anyOf: [], anonymous: false }
  return { matches, rest: { name: spec.name, auth: closed, variants: [], overrides: [], balance: { policy: 'LeastRequest' }, timeouts: {} }, needs: noNeeds() }
}

/** A reference that leads nowhere costs its own share only; a wrong or unknown value costs the rule. */
function breaksRule(problem: Problem): boolean {
  return problem.severity === 'error' && (problem.reason === 'Invalid' || problem.reason === 'UnsupportedValue')
}

/** What each variant of the first priority has now. */
function sharesOf(aims: readonly Aim[], candidate: string | undefined, known: RuleRollout | undefined): ReadonlyMap<string, number> {
  const now = sharesNow(aims, candidate, known)
  return new Map(aims.map(({ variant }, at) => [variant, now[at] ?? 0]))
}

function compileVariants(
  { backendRefs: refs = [], matches = [], health }: RuleSpec,
  place: string,
  { needs, problems, ...context }: BackendContext & BackendFound,
  weights: ReadonlyMap<string, number>,
): readonly Variant[] {
  const byPriority = sharesByPriority(refs)
  if (refs.length > 0 && !refs.some(({ priority = 0, weight = 1 }) => priority === 0 && weight > 0)) {
    problems.push(invalid(place, 'every weight is 0, so nobody would take the requests; give one variant of priority 0 a weight'))
  }
  return refs.map((ref, at) => {
    const here = `${place}[${at}]`
    const served = health?.active?.type === 'Model' ? servedModel(ref, matches, here, problems) : undefined
    const share = { name: ref.variant, weight: weights.get(ref.variant) ?? byPriority[at] ?? 0, priority: ref.priority ?? 0 }
    return { ...share, ...compileCallee(ref, here, context, { needs, problems }), ...(served && { served }) }
  })
}

/** Each priority is shared out by itself. */
function sharesByPriority(refs: readonly BackendRef[]): readonly number[] {
  const found = refs.map(() => 0)
  for (const level of new Set(refs.map(({ priority = 0 }) => priority))) {
    const members = [...refs.entries()].filter(([, { priority = 0 }]) => priority === level)
    const split = shares(members.map(([, { weight = 1 }]) => weight))
    for (const [i, [at]] of members.entries()) found[at] = split?.[i] ?? 0
  }
  return found
}
