import type { EndpointSet } from '../../table/endpoints.ts'
import type { Limit } from '../../table/limits.ts'
import type { Route, Target } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import type { RouteOutcome, Verdict } from './compiled.ts'
import type { Loss } from './conflicts.ts'
import type { Needs } from './needs.ts'
import { listed, stillInForce, summary, warning } from './problems.ts'
import type { PolicyDraft } from './policies.ts'
import { govern, type Fate } from './precedence.ts'
import type { RouteDraft } from './routes.ts'
import { percent } from './weights.ts'

/** A route after the conflicts: what goes into the table, and what is said about it. */
export type Settled = Readonly<{
  /** Absent: nothing of the route is served. */
  item?: Route
  needs: readonly Needs[]
  /** What became of the limits that policies have for it. */
  fates: readonly Fate[]
  tenant: string
  /** Its own, also where nothing of it is served. */
  hostnames: readonly string[]
  outcome: Omit<RouteOutcome, 'rules'>
}>

/** @param policies those that name the route, the oldest first */
export function settle(draft: RouteDraft, losses: readonly Loss[], policies: readonly PolicyDraft[]): Settled {
  const lost = new Set(losses.filter(({ whole }) => whole).map(({ rule, match }) => `${rule} ${match}`))
  const served = draft.gateways.length > 0
  const rules = draft.rules.flatMap((rule, at) => {
    if (!served) return []
    if (lost.size === 0) return [rule]
    const matches = rule.matches.filter((_, index) => !lost.has(`${at} ${index}`))
    return matches.length > 0 ? [{ ...rule, matches }] : []
  })
  const { resource } = draft
  const governed = govern(policies, draft.id, rules.map(({ rest }) => rest.name))
  const item: Route = {
    id: draft.id,
    tenant: resource.namespace,
    generation: resource.generation,
    created: resource.created,
    hostnames: draft.hostnames,
    ...(draft.certificates.length > 0 && { certificates: [...new Set(draft.certificates)] }),
    rules: rules.map(({ matches, rest: { name, ...rest } }) => ({
      name,
      matches: matches.map(({ match }) => match),
      ...rest,
      ...limitsOf(governed.limits.get(name)),
    })),
  }
  const conflicts = losses.map((loss) => conflictOf(draft, loss))
  const strangers = (draft.lostHosts ?? []).map((host) => hostLost(host, draft.resource))
  const problems = [...draft.problems, ...strangers, ...conflicts]
  const alive = new Set(rules.map(({ rest }) => rest.name))
  const accepted = acceptance(draft, alive, [...strangers, ...conflicts], problems)
  const partiallyInvalid = accepted.status === 'True' ? partial(draft, alive, losses, { strangers, conflicts }) : undefined
  return {
    ...(rules.length > 0 ? { item } : {}),
    needs: [draft.needs, ...rules.map(({ needs }) => needs)],
    fates: governed.fates,
    tenant: resource.namespace,
    hostnames: draft.hostnames,
    outcome: {
      generation: resource.generation,
      gateways: draft.gateways,
      problems,
      accepted,
      resolvedRefs: resolution(draft, problems),
      ...(partiallyInvalid ? { partiallyInvalid } : {}),
      ...(governed.affected ? { affected: governed.affected } : {}),
      weights: rules.length > 0 ? weightsOf(item) : '',
      deliveries: rules.flatMap(({ rest, delivery }) => (delivery ? [{ name: rest.name, ...delivery }] : [])),
      ...(rules.length > 0 && draft.inForce ? { inForce: draft.inForce } : {}),
    },
  }
}

const limitsOf = (limits: readonly Limit[] | undefined) => (limits === undefined ? {} : { limits })

/** Adds what depends on the endpoints, which change far more often than everything else. */
export function withEndpoints(
  settled: Settled,
  made: ReadonlyMap<string, Readonly<{ set: EndpointSet; note?: string }>>,
): RouteOutcome {
  const { outcome, item } = settled
  const count = (target: Target): number => {
    if (target.kind === 'endpoints') return made.get(target.set)?.set.endpoints.length ?? 0
    return target.kind === 'url' ? 1 : 0
  }
  const notes = settled.needs.flatMap(({ sets }) => sets).flatMap(({ source, place }) => {
    const compiled = made.get(source.id)
    if (compiled?.note === undefined) return []
    const reason = compiled.set.endpoints.length > 0 ? 'EndpointsIgnored' : 'NoEndpoints'
    return [warning(place, reason, compiled.note)]
  })
  return {
    ...outcome,
    ...(notes.length > 0 ? noted(outcome, notes) : {}),
    rules: (item?.rules ?? []).map(({ name, variants }) => ({
      name,
      backends: variants.map((variant) => ({
        variant: variant.name,
        effectiveWeight: variant.weight,
        endpoints: count(variant.target),
      })),
    })),
  }
}

function noted({ problems, resolvedRefs }: Settled['outcome'], notes: readonly Problem[]) {
  const message = listed([resolvedRefs.message, ...new Set(notes.map((note) => note.message))])
  return { problems: [...problems, ...notes], resolvedRefs: { ...resolvedRefs, message } }
}

function hostLost(host: string, { object }: RouteDraft['resource']): Problem {
  const at = (object?.spec.hostnames ?? []).findIndex((name) => name.toLowerCase() === host)
  const field = at === -1 ? 'spec.hostnames' : `spec.hostnames[${at}]`
  const what = host === '*' ? 'routes for every host belong' : `the hostname ${host} belongs`
  const message = `${what} to another namespace; use one of your own, or ask the administrator for a hostname binding`
  return { field, reason: 'Conflicted', message, severity: 'error' }
}

function conflictOf(draft: RouteDraft, { rule, match, winner, whole, hosts }: Loss): Problem {
  const field = draft.rules[rule]?.matches[match]?.place ?? ''
  const where = hosts.length === 1 && hosts[0] === '*' ? '' : ` on ${hosts.join(', ')}`
  const effect = whole ? 'this one is dropped' : 'this one counts elsewhere only'
  const message = `the older ${winner} has the same match${where}, so ${effect}; change one of the two`
  return { field, reason: 'Conflicted', message, severity: 'error' }
}

function acceptance(
  draft: RouteDraft,
  alive: ReadonlySet<string>,
  conflicts: readonly Problem[],
  problems: readonly Problem[],
): Verdict {
  const refuse = (reason: string, why: readonly Problem[]): Verdict => {
    return { status: 'False', reason, message: alive.size > 0 ? stillInForce(summary(why)) : summary(why) }
  }
  if (draft.refused) return refuse(draft.refused.reason, draft.refused.problems)
  const nowhere = problems.filter(({ reason, severity }) => reason === 'NoMatchingGateway' && severity === 'error')
  if (nowhere.length > 0) return refuse('NoMatchingGateway', nowhere)
  const failed = new Set(draft.failed.map(({ name }) => name))
  if ([...alive].some((name) => !failed.has(name))) return { status: 'True', reason: 'Accepted', message: 'Accepted' }
  const why = [...draft.failed.flatMap(({ problems }) => costly(problems)), ...conflicts]
  return refuse(why[0]?.reason ?? 'Invalid', why)
}

const referenceReasons = new Set(['BackendNotFound', 'RefNotPermitted', 'InvalidKind'])

function costsRule({ reason }: Problem): boolean {
  return !referenceReasons.has(reason)
}

/** What a rule is lost for: a reference only where there is nothing else, such as a schema that is not there. */
const costly = (problems: readonly Problem[]) => (problems.some(costsRule) ? problems.filter(costsRule) : problems)

/** The prefixes are those that Gateway API prescribes for this condition. */
function partial(
  draft: RouteDraft,
  alive: ReadonlySet<string>,
  losses: readonly Loss[],
  { strangers, conflicts }: Readonly<{ strangers: readonly Problem[]; conflicts: readonly Problem[] }>,
): Verdict | undefined {
  const failures = draft.failed.map(({ name, kept, closed, problems }) => {
    const why = summary(costly(problems))
    return kept ? `Fall Back to the last good version of rule ${name}: ${why}` : `Dropped Rule ${name}${closed ? ', and its requests are answered 503' : ''}: ${why}`
  })
  const drops = losses.flatMap(({ rule }, at) => {
    const name = draft.rules[rule]?.rest.name ?? ''
    const conflict = conflicts[at]
    const what = alive.has(name) ? `Dropped Rule ${name} in part` : `Dropped Rule ${name}`
    return conflict ? [`${what}: ${summary([conflict])}`] : []
  })
  const all = [...failures, ...strangers.map((problem) => `Dropped Hostname: ${summary([problem])}`), ...drops]
  if (all.length === 0) return undefined
  const reason = costly(draft.failed[0]?.problems ?? [])[0]?.reason ?? 'Conflicted'
  return { status: 'True', reason, message: listed(all) }
}

function resolution(draft: RouteDraft, problems: readonly Problem[]): Verdict {
  const open = problems.filter(({ reason }) => referenceReasons.has(reason))
  if (open[0]) return { status: 'False', reason: open[0].reason, message: summary(open) }
  if (draft.refused && draft.rules.length === 0) {
    const message = 'The route is not accepted, so its references were not looked at'
    return { status: 'Unknown', reason: draft.refused.reason, message }
  }
  return { status: 'True', reason: 'ResolvedRefs', message: 'Every reference is resolved' }
}

/** As much as the status field holds. */
function weightsOf(item: Route): string {
  const rules = item.rules.filter(({ variants }) => variants.length > 0).map(({ name, variants }) => {
    const levels = [...new Set(variants.map(({ priority }) => priority))].toSorted((a, b) => a - b)
    const shown = levels.map((level) => variants.filter(({ priority }) => priority === level)
      .map((variant) => `${variant.name}=${percent(variant.weight)}`).join(' '))
    return `${name}: ${shown.join(', then ')}`
  })
  const text = rules.join('; ')
  return text.length > 4096 ? `${text.slice(0, 4095)}…` : text
}
