import type { RateLimitPolicy } from '../../crds/types.gen.ts'
import type { Limit } from '../../table/limits.ts'
import type { Problem, Resource } from '../sources/snapshot.ts'
import { compileLimit, type PolicySpec } from './limits.ts'

export type TargetRef = PolicySpec['targetRefs'][number]

/** One policy taken by itself: what it wants, before other policies and the routes have their say. */
export type PolicyDraft = Readonly<{
  id: string
  namespace: string
  resource: Resource<RateLimitPolicy>
  /** Of the version in force, which is the last good one where the manifest does not hold. */
  targets: readonly TargetRef[]
  strategy: 'Defaults' | 'Overrides'
  limits: readonly Limit[]
  /** The manifest does not hold. `kept`: the last good version goes on in its place. */
  refused?: Readonly<{ reason: string; kept: boolean }>
  problems: readonly Problem[]
}>

export type Policies = Readonly<{
  byId: ReadonlyMap<string, PolicyDraft>
  /** The policies that name a route (`namespace/name`), the oldest first. */
  of(route: string): readonly PolicyDraft[]
  /** Routes whose policies changed. */
  touched: ReadonlySet<string>
}>

type Resources = ReadonlyMap<string, Resource<RateLimitPolicy>>

/**
 * Compiles a policy when it changed. Who edits a policy into one that cannot be kept goes on with the last good version:
 * a limit must not end by a slip of the pen.
 */
export function createPolicies(): (resources: Resources) => Policies {
  let before: Resources | undefined
  let drafts: ReadonlyMap<string, PolicyDraft> = new Map()
  let byRoute: ReadonlyMap<string, readonly PolicyDraft[]> = new Map()
  const of = (route: string) => byRoute.get(route) ?? []

  return (resources) => {
    if (before === resources) return { byId: drafts, of, touched: new Set() }
    before = resources
    const next = new Map<string, PolicyDraft>()
    const touched = new Set<string>()
    for (const id of [...resources.keys()].sort()) {
      const resource = resources.get(id)
      const known = drafts.get(id)
      if (resource === undefined) continue
      const draft = known?.resource === resource ? known : compilePolicy(id, resource, known)
      next.set(id, draft)
      if (draft === known) continue
      for (const route of [...routesOf(draft), ...(known ? routesOf(known) : [])]) touched.add(route)
    }
    for (const [id, gone] of drafts) if (!next.has(id)) for (const route of routesOf(gone)) touched.add(route)
    drafts = next
    byRoute = grouped(next.values())
    return { byId: drafts, of, touched }
  }
}

function grouped(drafts: Iterable<PolicyDraft>): ReadonlyMap<string, readonly PolicyDraft[]> {
  const byRoute = new Map<string, PolicyDraft[]>()
  for (const draft of [...drafts].sort(byAge)) {
    for (const route of routesOf(draft)) byRoute.set(route, [...(byRoute.get(route) ?? []), draft])
  }
  return byRoute
}

function byAge(a: PolicyDraft, b: PolicyDraft): number {
  const [older, younger] = [`${a.resource.created} ${a.id}`, `${b.resource.created} ${b.id}`]
  return older < younger ? -1 : 1
}

const routesOf = ({ namespace, targets }: PolicyDraft): ReadonlySet<string> =>
  new Set(targets.map(({ name }) => `${namespace}/${name}`))

function compilePolicy(id: string, resource: Resource<RateLimitPolicy>, known: PolicyDraft | undefined): PolicyDraft {
  const { namespace, uid } = resource
  const spec = resource.object?.spec
  const problems: Problem[] = [...resource.problems]
  const limits = spec?.limits.map((limit, at) => compileLimit(id, limit, `spec.limits[${at}]`, problems)) ?? []
  const fault = problems.find(({ severity }) => severity === 'error')
  const base = { id, namespace, resource, problems }
  if (spec && !fault) return { ...base, targets: spec.targetRefs, strategy: spec.strategy ?? 'Defaults', limits }

  // Deleted and made again is another policy, which was never in force.
  const good = known?.resource.uid === uid && known.limits.length > 0 ? known : undefined
  const reason = spec ? fault?.reason ?? 'Invalid' : 'Invalid'
  return {
    ...base,
    targets: good?.targets ?? spec?.targetRefs ?? [],
    strategy: good?.strategy ?? 'Defaults',
    limits: good?.limits ?? [],
    refused: { reason, kept: good !== undefined },
  }
}
