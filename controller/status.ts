import type { Condition, ModelRouteStatus, RateLimitPolicyStatus, RuleStatus } from '../crds/types.gen.ts'
import { differences } from '../table/changes.ts'
import type { Hashes } from '../table/version.ts'
import type { PolicyOutcome, RouteOutcome, Verdict } from './compile/compiled.ts'
import { withoutKept } from './compile/problems.ts'
import { partKey, type ProxyView } from './push/publish.ts'
import { toStatus } from './rollout/recorded.ts'
import type { RuleState } from './rollout/state.ts'

/** What the proxies of a route's gateways have of it. Compares by value: the same reach, the same status. */
export type Reach = Readonly<{
  programmed: number
  total: number
  rejected: number
  /** Hash of the route as it was published; empty when nothing of it is. */
  version: string
  /** Why the first proxy (by name) that refused it did so; empty when none did. */
  refusal: string
}>

/** Bounds of the schema, less room for the ellipsis. Characters. */
const MAX_MESSAGE = 4_000
const MAX_WEIGHTS = 4_000

type Fleet = Readonly<{ published: Hashes; whole: number; rest: readonly ProxyView[] }>

/**
 * Counts a proxy as programmed when it acknowledged the very text that its gateway's table holds now. What the proxies
 * have in common is worked out once, so that asking for each of thousands of routes is cheap.
 */
export function reaches(
  proxies: readonly ProxyView[],
  hashes: (gateway: string) => Hashes,
): (id: string, gateways: readonly string[]) => Reach {
  const fleets = new Map<string, Fleet>()
  const fleetOf = (gateway: string): Fleet => {
    const known = fleets.get(gateway)
    if (known !== undefined) return known
    const published = hashes(gateway)
    const all = proxies.filter(proxy => proxy.gateway === gateway)
    // A proxy that has all of what is published says so with the same map; only the others are looked at by route, and
    // sidecars, which only get the routes of their namespace.
    const rest = all.filter(({ acked, refused, namespace }) => acked !== published || refused.size > 0 || namespace !== undefined)
    const fleet = { published, whole: all.length - rest.length, rest }
    fleets.set(gateway, fleet)
    return fleet
  }
  return (id, gateways) => {
    let programmed = 0
    let total = 0
    let rejected = 0
    let version = ''
    let refusal = ''
    for (const gateway of gateways) {
      const { published, whole, rest: others } = fleetOf(gateway)
      const rest = others.filter((proxy) => isFor(proxy, id))
      const hash = published.get(id)
      if (version === '') version = hash ?? ''
      total += whole + rest.length
      if (hash !== undefined) programmed += whole
      for (const { node, acked, refused } of rest) {
        const why = refused.get(id)
        if (why === undefined) {
          if (hash !== undefined && acked.get(id) === hash) programmed++
        } else {
          rejected++
          if (refusal === '') refusal = `${node}: ${why}`
        }
      }
    }
    return { programmed, total, rejected, version, refusal }
  }
}

/** A sidecar gets the routes of its namespace only. */
const isFor = ({ namespace }: ProxyView, id: string): boolean => namespace === undefined || id.startsWith(`${namespace}/`)

/** By fleet, and of its sidecars by namespace: how many there are, what is published, and the routes of which some do not have that. */
export type Standings = ReadonlyMap<string, Readonly<{ total: number; published: Hashes; open: ReadonlySet<string> }>>

export function standings(proxies: readonly ProxyView[], hashes: (gateway: string) => Hashes): Standings {
  const parts = new Map<string, { total: number; published: Hashes; open: Set<string>; seen: Set<Hashes> }>()
  for (const proxy of proxies) {
    const { gateway, namespace, acked, refused } = proxy
    const key = partKey(gateway, namespace)
    // Those of one part that have the same have the same map; whoever has nothing yet shares it with those of other parts.
    const part = parts.get(key) ?? { total: 0, published: hashes(gateway), open: new Set(), seen: new Set() }
    parts.set(key, part)
    part.total++
    for (const id of refused.keys()) part.open.add(id)
    if (acked === part.published || part.seen.has(acked)) continue
    part.seen.add(acked)
    for (const id of differences(acked, part.published)) if (isFor(proxy, id)) part.open.add(id)
  }
  return parts
}

/** The routes whose reach may have changed from then to now; undefined: any. */
export function restless(before: Standings, after: Standings): ReadonlySet<string> | undefined {
  if (before.size !== after.size) return undefined
  const ids = new Set<string>()
  for (const [key, now] of after) {
    const then = before.get(key)
    if (then?.total !== now.total) return undefined
    for (const id of then.open) ids.add(id)
    for (const id of now.open) ids.add(id)
    for (const id of differences(then.published, now.published)) ids.add(id)
  }
  return ids
}

/** How far the rules of a route are rolled out, and which revision of it is in force. */
export type Progress = Readonly<{ states?: ReadonlyMap<string, RuleState> | undefined; revision?: number | undefined }>

/** The complete status of a ModelRoute. `previous` is what it says now: a condition that stays keeps its time. */
export function routeStatus(
  { outcome, reach, progress = {}, previous, now }:
  { outcome: RouteOutcome; reach: Reach; progress?: Progress; previous?: ModelRouteStatus | undefined; now: Date },
): ModelRouteStatus {
  const condition = conditionWriter(outcome.generation, previous?.conditions, now)
  return {
    observedGeneration: outcome.generation,
    weights: bounded(outcome.weights, MAX_WEIGHTS),
    dataPlane: {
      programmed: reach.programmed,
      total: reach.total,
      rejected: reach.rejected,
      ...(reach.version === '' ? {} : { version: reach.version }),
    },
    rules: outcome.rules.map((rule) => ruleStatus(rule, progress)),
    conditions: [
      condition('Accepted', outcome.accepted),
      condition('ResolvedRefs', outcome.resolvedRefs),
      condition('Programmed', programmed(outcome, reach)),
      condition('Progressing', progressing(outcome, progress)),
      // GEP-713: who looks at the route sees that somebody else has a say in it.
      ...(outcome.affected ? [condition('modelroute.io/RateLimitPolicyAffected', outcome.affected)] : []),
      ...(outcome.partiallyInvalid?.status === 'True' ? [condition('PartiallyInvalid', outcome.partiallyInvalid)] : []),
    ],
  }
}

function ruleStatus({ name, backends }: RouteOutcome['rules'][number], { states, revision }: Progress): RuleStatus {
  const state = states?.get(name)
  return {
    name,
    phase: 'Stable',
    ...(state && revision !== undefined && { revision }),
    ...(state && toStatus(state)),
    backends: backends.map(({ variant, effectiveWeight, endpoints }) => {
      const known = state?.variants.find((each) => each.variant === variant)
      // Without a rollout every edit is promoted the moment it takes effect.
      if (!known) return { variant, effectiveWeight, promotedWeight: effectiveWeight, endpoints }
      return { variant, effectiveWeight: known.share, promotedWeight: known.promoted, endpoints, reference: known.reference }
    }),
  }
}

const byUrgency = ['AwaitingApproval', 'Paused', 'Progressing', 'Aborted'] as const

/** Of several rules the phase that most needs somebody, and what each of them says. */
function progressing({ rules }: RouteOutcome, { states }: Progress): Verdict {
  const moving = rules.flatMap(({ name }) => {
    const state = states?.get(name)
    return state && state.phase !== 'Stable' ? [{ name, ...state }] : []
  })
  const reason = byUrgency.find((phase) => moving.some((state) => state.phase === phase))
  if (reason === undefined) return { status: 'False', reason: 'Stable', message: 'No rollout is in progress.' }
  const message = moving.map(({ name, phase, message }) => `${name}: ${phase}, ${message}`).join('. ')
  return { status: reason === 'Aborted' ? 'False' : 'True', reason, message }
}

function programmed(outcome: RouteOutcome, reach: Reach): Verdict {
  const of = `${reach.programmed} of ${reach.total} proxies`
  if (outcome.inForce === undefined) {
    return { status: 'False', reason: 'Rejected', message: `Nothing of the route is in force: ${outcome.accepted.message}` }
  }
  if (outcome.accepted.status === 'False') {
    const message = `The last good version stays in force on ${of}; this one was not accepted: ${withoutKept(outcome.accepted.message)}`
    return { status: 'False', reason: 'Rejected', message }
  }
  if (reach.rejected > 0) {
    const others = reach.rejected > 1 ? ` (and ${reach.rejected - 1} more)` : ''
    return { status: 'False', reason: 'Rejected', message: `Refused by ${reach.refusal}${others}; in force on ${of}.` }
  }
  if (reach.total === 0) {
    const gateways = outcome.gateways.join(', ')
    return { status: 'Unknown', reason: 'NoDataPlane', message: `No proxy of ${gateways} is connected.` }
  }
  if (reach.programmed < reach.total) return { status: 'False', reason: 'Pending', message: `In force on ${of}.` }
  return { status: 'True', reason: 'Programmed', message: `In force on ${of}.` }
}

/**
 * The complete status of a RateLimitPolicy.
 * @param programmed whether that route is programmed, which is what carries the policy's limits; undefined: no such route
 */
export function policyStatus(
  { outcome, programmed, previous, now }: {
    outcome: PolicyOutcome
    programmed: (route: string) => boolean | undefined
    previous?: RateLimitPolicyStatus | undefined
    now: Date
  },
): RateLimitPolicyStatus {
  const condition = conditionWriter(outcome.generation, previous?.conditions, now)
  return {
    observedGeneration: outcome.generation,
    targets: outcome.targets.map(({ name, sectionName, accepted, reason }) => (
      { name, ...(sectionName === undefined ? {} : { sectionName }), accepted, reason }
    )),
    conditions: [
      condition('Accepted', outcome.accepted),
      condition('Programmed', policyProgrammed(outcome, programmed)),
    ],
  }
}

function policyProgrammed(outcome: PolicyOutcome, programmed: (route: string) => boolean | undefined): Verdict {
  const { accepted, targets, kept, overridden } = outcome
  if (accepted.status !== 'True') {
    const what = kept ? 'The last good version stays in force; this one was not accepted' : 'None of its limits is in force'
    return { status: 'False', reason: 'Rejected', message: `${what}: ${withoutKept(accepted.message)}` }
  }
  const done = targets.filter(target => target.accepted && programmed(target.name)).length
  const message = `In force on ${done} of ${targets.length} targets.${overridden === undefined ? '' : ` ${overridden}.`}`
  if (done === targets.length) return { status: 'True', reason: 'Programmed', message }
  if (done > 0) return { status: 'False', reason: 'PartiallyProgrammed', message }
  const beaten = targets.every(({ reason }) => reason === 'Overridden' || reason === 'Conflicted')
  return { status: 'False', reason: beaten ? 'Overridden' : 'Pending', message }
}

function conditionWriter(observedGeneration: number, previous: readonly Condition[] | undefined, now: Date) {
  // Kubernetes keeps whole seconds; with more, what we want would never equal what the server shows.
  const time = now.toISOString().replace(/\.\d+Z$/, 'Z')
  return (type: string, { status, reason, message }: Verdict): Condition => {
    const before = previous?.find(condition => condition.type === type)
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : time
    return { type, status, observedGeneration, lastTransitionTime, reason, message: bounded(message, MAX_MESSAGE) }
  }
}

/** Messages carry what tenants wrote: cut by characters, never through one. */
function bounded(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max).replace(/[\uD800-\uDBFF]$/, '')}…`
}
