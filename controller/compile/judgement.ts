import type { ModelRoute } from '../../crds/types.gen.ts'
import type { Problem, Resource, Snapshot } from '../sources/snapshot.ts'
import type { PolicyOutcome, Verdict } from './compiled.ts'
import type { PolicyDraft, TargetRef } from './policies.ts'
import type { Fate } from './precedence.ts'
import { listed, stillInForce, summary } from './problems.ts'

type Target = PolicyOutcome['targets'][number]

/** What is said of a policy: whether its targets exist, and which of its limits gave way to another policy's. */
export function judgePolicy(
  draft: PolicyDraft,
  routes: Snapshot['modelRoutes'],
  fatesOf: (route: string) => readonly Fate[],
): PolicyOutcome {
  const { id, namespace, resource, refused } = draft
  const written = resource.object?.spec.targetRefs ?? []
  const missing: Problem[] = []
  const lost: string[] = []
  const targets = written.map((ref, at): Target => {
    const target = { name: ref.name, ...(ref.sectionName === undefined ? {} : { sectionName: ref.sectionName }) }
    const route = `${namespace}/${ref.name}`
    const why = absence(ref, namespace, routes.get(route))
    if (why !== undefined) {
      missing.push({ field: `spec.targetRefs[${at}]${why.field}`, reason: 'TargetNotFound', message: why.message, severity: 'error' })
      return { ...target, accepted: false, reason: 'TargetNotFound' }
    }
    if (refused) return { ...target, accepted: false, reason: refused.reason }
    const fates = fatesOf(route).filter(({ policy, target }) => policy === id && target === at)
    for (const { rule, limit, lost: by } of fates) {
      if (by) lost.push(`On ${route}, rule ${rule}, ${limit} gives way to ${by.to}${by.conflict ? ', which is older' : ''}`)
    }
    return { ...target, ...reasonOf(fates) }
  })
  const problems = [...draft.problems, ...missing]
  return {
    generation: resource.generation,
    problems,
    accepted: acceptance(draft, targets, problems, lost),
    targets,
    ...(refused?.kept ? { kept: true } : {}),
    ...(lost.length > 0 ? { overridden: listed(lost) } : {}),
  }
}

function reasonOf(fates: readonly Fate[]): Pick<Target, 'accepted' | 'reason'> {
  const losses = fates.flatMap(({ lost }) => lost ?? [])
  if (losses.length === 0) return { accepted: true, reason: 'Accepted' }
  if (losses.length < fates.length) return { accepted: true, reason: 'PartiallyOverridden' }
  return { accepted: false, reason: losses.every(({ conflict }) => conflict) ? 'Conflicted' : 'Overridden' }
}

function acceptance(
  { refused }: PolicyDraft,
  targets: readonly Target[],
  problems: readonly Problem[],
  lost: readonly string[],
): Verdict {
  const errors = problems.filter(({ severity }) => severity === 'error')
  if (refused) {
    return { status: 'False', reason: refused.reason, message: refused.kept ? stillInForce(summary(errors)) : summary(errors) }
  }
  const all = (reason: string) => targets.every((target) => target.reason === reason)
  if (all('TargetNotFound')) return { status: 'False', reason: 'TargetNotFound', message: summary(errors) }
  if (all('Conflicted')) return { status: 'False', reason: 'Conflicted', message: listed(lost) }
  return { status: 'True', reason: 'Accepted', message: errors.length > 0 ? summary(errors) : 'Accepted' }
}

function absence(
  ref: TargetRef,
  namespace: string,
  route: Resource<ModelRoute> | undefined,
): { field: string; message: string } | undefined {
  if (!route) return { field: '.name', message: `ModelRoute ${namespace}/${ref.name} does not exist` }
  // A route that cannot be read may well have the rule.
  if (ref.sectionName === undefined || !route.object) return undefined
  const names = [...route.object.spec.rules, ...(route.broken ?? [])].map(({ name }) => name)
  if (names.includes(ref.sectionName)) return undefined
  return {
    field: '.sectionName',
    message: `ModelRoute ${namespace}/${ref.name} has no rule ${ref.sectionName} (it has ${names.join(', ')})`,
  }
}
