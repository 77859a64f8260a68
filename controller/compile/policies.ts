import type { ModelRoute, RateLimitPolicy } from '../../crds/types.gen.ts'
import type { Problem, Resource, Snapshot } from '../sources/snapshot.ts'
import type { PolicyOutcome, Verdict } from './compiled.ts'
import { summary } from './problems.ts'
import { unsupportedInPolicy } from './unsupported.ts'

type Target = PolicyOutcome['targets'][number]

/** Whether a policy's targets exist and its limits can be kept. */
export function compilePolicy(policy: Resource<RateLimitPolicy>, routes: Snapshot['modelRoutes']): PolicyOutcome {
  const spec = policy.object?.spec
  if (!spec) return outcomeOf(policy, [...policy.problems], 'Invalid', [])
  const refused = unsupportedInPolicy(spec).problems
  const missing: Problem[] = []
  const targets = spec.targetRefs.map((ref, at): Target => {
    const target = { name: ref.name, ...(ref.sectionName === undefined ? {} : { sectionName: ref.sectionName }) }
    const why = absence(ref, policy.namespace, routes.get(`${policy.namespace}/${ref.name}`))
    if (why === undefined)
      return { ...target, accepted: refused.length === 0, reason: refused[0]?.reason ?? 'Accepted' }
    missing.push({
      field: `spec.targetRefs[${at}]${why.field}`,
      reason: 'TargetNotFound',
      message: why.message,
      severity: 'error',
    })
    return { ...target, accepted: false, reason: 'TargetNotFound' }
  })
  const problems = [...policy.problems, ...refused, ...missing]
  const none = targets.every(({ reason }) => reason === 'TargetNotFound')
  return outcomeOf(policy, problems, refused[0]?.reason ?? (none ? 'TargetNotFound' : null), targets)
}

function absence(
  ref: Readonly<{ name: string; sectionName?: string }>,
  namespace: string,
  route: Resource<ModelRoute> | undefined,
): { field: string; message: string } | undefined {
  if (!route) return { field: '.name', message: `ModelRoute ${namespace}/${ref.name} does not exist` }
  // A route that cannot be read may well have the rule.
  if (ref.sectionName === undefined || !route.object) return undefined
  const names = route.object.spec.rules.map(({ name }) => name)
  if (names.includes(ref.sectionName)) return undefined
  return {
    field: '.sectionName',
    message: `ModelRoute ${namespace}/${ref.name} has no rule ${ref.sectionName} (it has ${names.join(', ')})`,
  }
}

function outcomeOf(
  policy: Resource<RateLimitPolicy>,
  problems: readonly Problem[],
  refusal: string | null,
  targets: readonly Target[],
): PolicyOutcome {
  const errors = problems.filter(({ severity }) => severity === 'error')
  const accepted: Verdict =
    refusal === null
      ? { status: 'True', reason: 'Accepted', message: errors.length > 0 ? summary(errors) : 'Accepted' }
      : { status: 'False', reason: refusal, message: summary(errors) }
  return { generation: policy.generation, problems, accepted, targets }
}
