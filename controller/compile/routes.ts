import type { ModelRoute } from '../../crds/types.gen.ts'
import type { BrokenRule, Problem, Resource } from '../sources/snapshot.ts'
import { compileHostnames } from './hostnames.ts'
import { type Needs, noNeeds } from './needs.ts'
import { invalid, warning } from './problems.ts'
import { asksOf, isOpen, mayStandIn, takeAlong } from './protection.ts'
import { createRegexCheck } from './regexes.ts'
import { closeRule, compileRule, type RuleContext, type RuleDraft, type RuleResult } from './rules.ts'
import { useSecret } from './secrets.ts'
import type { CompileOptions, RouteSpec, RuleSpec } from './spec.ts'
import type { BackendContext } from './targets.ts'
import { withSchemas } from './validation.ts'
import type { World } from './world.ts'

/** One route taken by itself: everything but the conflicts with others and the endpoints behind it. */
export type RouteDraft = Readonly<{
  id: string
  resource: Resource<ModelRoute>
  gateways: readonly string[]
  hostnames: readonly string[]
  /** Those of the manifest that belong to other namespaces; `*` for any. */
  lostHosts?: readonly string[]
  /** Ids of the Secrets with the certificates of its hostnames, and what is needed for that. */
  certificates: readonly string[]
  needs: Needs
  rules: readonly RuleDraft[]
  /** Rules of the manifest that do not hold. `kept`: the last good version is among `rules`; `closed`: its requests are refused. */
  failed: readonly Readonly<{ name: string; kept: boolean; closed: boolean; problems: readonly Problem[] }>[]
  /** The whole manifest does not hold; `rules` are those of the last good one. */
  refused?: Readonly<{ reason: string; problems: readonly Problem[] }>
  problems: readonly Problem[]
  /** The manifest, less its invalid rules, plus their last good versions. */
  inForce?: RouteSpec
}>

export type RouteContext = Readonly<{
  world: World
  options: CompileOptions
  /** The spec that this compiler last had in force; what was recorded before it started counts where there is none. */
  good: RouteSpec | undefined
}>

export function compileRoute(id: string, resource: Resource<ModelRoute>, context: RouteContext): RouteDraft {
  const spec = resource.object?.spec
  if (!spec) return fromLastGood(id, resource, resource.problems, resource.asks, context)
  try {
    return fromManifest(id, resource, spec, context)
  } catch (error) {
    // A fault of ours, found by one tenant's resource, is not to cost the edits of all others.
    const problem = invalid('', `cannot be compiled, by a fault of ModelRoute; please report it: ${error instanceof Error ? error.message : String(error)}`)
    const asks = { ...spec, rules: new Map(spec.rules.map((rule) => [rule.name, rule])) }
    return fromLastGood(id, resource, [...resource.problems, problem], asks, context)
  }
}

/** What is in force while the manifest as a whole does not hold. */
function fromLastGood(id: string, resource: Resource<ModelRoute>, found: readonly Problem[], asks: Resource<ModelRoute>['asks'], context: RouteContext): RouteDraft {
  const problems = [...found]
  const base = { id, resource, refused: { reason: 'Invalid', problems: errorsOf(problems) }, failed: [] }
  const good = lastGood(id, context)
  const wanted = (name: string) => asksOf(asks?.rules.get(name), asks ?? {})
  const standing = good?.rules.filter((rule) => mayStandIn(asksOf(rule, good), wanted(rule.name))) ?? []
  if (!good || standing.length === 0) return { ...base, ...nowhere, rules: [], problems }
  const inner = rulesContext(resource, good, context)
  const kept = standing.map((rule) => compileRule(rule, '', inner))
  problems.push(...kept.flatMap((result) => result.problems).map((problem) => ofLastGood(problem, '')))
  const rules = kept.flatMap((result) => result.draft ?? [])
  return { ...base, ...reach(good, inner, problems), rules, problems, inForce: standing.length === good.rules.length ? good : { ...good, rules: standing } }
}

function fromManifest(id: string, resource: Resource<ModelRoute>, spec: RouteSpec, context: RouteContext): RouteDraft {
  const inner = rulesContext(resource, spec, context)
  const good = lastGood(id, context)
  const olderRules = rulesContext(resource, spec, context)
  const problems: Problem[] = [...resource.problems]
  const rules: RuleDraft[] = []
  const holding: RuleSpec[] = []
  const failed: RouteDraft['failed'][number][] = []
  for (const { place, name, rule, broken } of written(spec, resource)) {
    // The problems of a rule that breaks the schema are among those of its resource.
    const result: RuleResult = rule ? compileRule(rule, place, inner) : { problems: [] }
    problems.push(...result.problems)
    if (rule && result.draft) {
      rules.push(result.draft)
      holding.push(withSchemas(rule, result.draft.rest.validation))
      continue
    }
    const wanted = asksOf(rule ?? broken?.asks, spec)
    const stored = good?.rules.find((each) => each.name === name && mayStandIn(asksOf(each, good), wanted))
    const older = good && stored && takeAlong(stored, good)
    const fallback = older && compileRule(older, place, olderRules)
    if (older && fallback?.draft) {
      rules.push({ ...fallback.draft, matches: fallback.draft.matches.map((match) => ({ ...match, place })) })
      holding.push(older)
      problems.push(...fallback.problems.map((problem) => ofLastGood(problem, place)))
    }
    const closed = rule && !fallback?.draft && !isOpen(wanted) ? closeRule(rule, place, inner) : undefined
    if (closed) rules.push(closed)
    failed.push({ name, kept: fallback?.draft !== undefined, closed: closed !== undefined, problems: errorsOf(broken?.problems ?? result.problems) })
  }
  problems.push(...shadowed(rules))
  // Of rules that are only closed nothing is in force, and what was before stays the last good version.
  const asWritten = failed.length === 0 && holding.every((rule, at) => rule === spec.rules[at])
  const inForce = asWritten ? spec : holding.length > 0 ? { ...spec, rules: holding } : undefined
  const where = reach(spec, inner, problems)
  return { id, resource, ...where, rules, failed, problems: once(problems), ...(inForce && { inForce }) }
}

type Written = Readonly<{ place: string; name: string; rule?: RuleSpec; broken?: BrokenRule }>

/** The rules in the order and with the places in which they were written, those that break the schema among them. */
function written(spec: RouteSpec, { broken = [] }: Resource<ModelRoute>): readonly Written[] {
  const sound = [...spec.rules]
  const byPlace = new Map(broken.map((rule) => [rule.at, rule]))
  return Array.from({ length: sound.length + broken.length }, (_, at) => {
    const place = `spec.rules[${at}]`
    const gone = byPlace.get(at)
    if (gone) return { place, name: gone.name, broken: gone }
    const rule = sound.shift()
    return { place, name: rule?.name ?? '', ...(rule && { rule }) }
  })
}

/** For the rules of one spec, which share an allowance of regular expressions. */
function rulesContext(resource: Resource<ModelRoute>, spec: RouteSpec | undefined, { world, options }: RouteContext): RuleContext {
  return { id: `${resource.namespace}/${resource.name}`, namespace: resource.namespace, world, options, checkRegex: createRegexCheck(), route: spec ?? {} }
}

function lastGood(id: string, { good, world }: RouteContext): RouteSpec | undefined {
  return good ?? world.revision(id)?.spec
}

const nowhere = { gateways: [], hostnames: [], certificates: [], needs: noNeeds() } as const

/** Which fleets and hosts a route is for, and the certificates of those hosts. */
function reach(
  spec: RouteSpec,
  context: BackendContext,
  problems: Problem[],
): Pick<RouteDraft, 'gateways' | 'hostnames' | 'certificates' | 'needs'> {
  const { options } = context
  const named = [...new Set(spec.gatewayNames?.length ? spec.gatewayNames : ['default'])].sort()
  const gateways = named.filter((name) => options.gateways?.includes(name) ?? true)
  const severity = gateways.length > 0 ? 'warning' : 'error'
  for (const name of named.filter((name) => !gateways.includes(name))) {
    const message = `there is no gateway ${name}; there are ${options.gateways?.join(', ') || 'none'}`
    problems.push({ field: 'spec.gatewayNames', reason: 'NoMatchingGateway', message, severity })
  }
  const needs = noNeeds()
  const certificates = (spec.tls?.certificateRefs ?? []).flatMap((ref, at) => {
    const place = `spec.tls.certificateRefs[${at}]`
    const { id, why } = useSecret(ref, ['tls.crt', 'tls.key'], place, context, { needs, problems })
    return why === undefined ? [id] : []
  })
  return { gateways, hostnames: compileHostnames(spec.hostnames), certificates, needs }
}

/** What is wrong with the protection of a route is found once for each rule that has it. */
function once(problems: readonly Problem[]): readonly Problem[] {
  const known = new Map(problems.map((problem) => [`${problem.field} ${problem.message}`, problem]))
  return known.size === problems.length ? problems : [...known.values()]
}

function errorsOf(problems: readonly Problem[]): readonly Problem[] {
  return problems.filter(({ severity }) => severity === 'error')
}

/** A problem of the version that stays in force: its places are not those of the manifest. */
function ofLastGood(problem: Problem, field: string): Problem {
  return { ...problem, field, message: `in the last good version, which stays in force: ${problem.message}` }
}

/** Of equal matches in one route the earlier rule takes every request. */
function shadowed(rules: readonly RuleDraft[]): readonly Problem[] {
  const taken = new Map<string, string>()
  const problems: Problem[] = []
  for (const { matches, rest } of rules) {
    for (const { place, key } of matches) {
      const owner = taken.get(key)
      if (owner === undefined) taken.set(key, rest.name)
      else problems.push(warning(place, 'Conflicted', `rule ${owner} above has the same match and takes its requests`))
    }
  }
  return problems
}
