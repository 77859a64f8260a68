import * as v from 'valibot'
import type { RuleStatus } from '../../crds/types.gen.ts'
import { validateModelRoute } from '../../crds/validate.ts'
import type { BackendRef } from '../compile/spec.ts'
import type { RuleState, Undone } from './state.ts'

/** The schema's bound. Characters. */
const MAX_MESSAGE = 4_000

/** A rule's state as its status says it; whoever reads it back has all there is to know. */
export function toStatus(state: RuleState): Omit<RuleStatus, 'name' | 'backends'> {
  const { specHash, phase, step, startedAt, message, paused, approved, undone, command } = state
  return {
    phase,
    ...(step > 0 && { step }),
    ...(startedAt !== undefined && { stepStartedAt: startedAt }),
    specHash,
    ...(undone && { revision: undone.revision }),
    ...(message !== '' && { message: message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE).replace(/[\uD800-\uDBFF]$/, '')}…` : message }),
    ...(paused && { paused }),
    ...(approved && { approved }),
    ...(undone && { undone: { revision: undone.revision, backendRefs: JSON.stringify(undone.backendRefs) } }),
    ...(command !== undefined && { command }),
  }
}

/** As much of a rule's status as its state makes up. */
export function statusOf(name: string, state: RuleState): RuleStatus {
  const backends = state.variants.map(({ variant, share, promoted, reference }) => (
    { variant, effectiveWeight: share, promotedWeight: promoted, reference }
  ))
  return { name, ...toStatus(state), backends }
}

const share = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000))

const Recorded = v.object({
  name: v.string(),
  phase: v.optional(v.picklist(['Stable', 'Progressing', 'Paused', 'AwaitingApproval', 'Aborted']), 'Stable'),
  step: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0),
  stepStartedAt: v.exactOptional(v.pipe(v.string(), v.check((text) => Number.isFinite(Date.parse(text))))),
  specHash: v.optional(v.string(), ''),
  message: v.optional(v.string(), ''),
  paused: v.optional(v.boolean(), false),
  approved: v.optional(v.boolean(), false),
  undone: v.exactOptional(v.object({ revision: v.number(), backendRefs: v.string() })),
  command: v.exactOptional(v.string()),
  backends: v.optional(v.array(v.object({
    variant: v.string(),
    effectiveWeight: v.optional(share, 0),
    promotedWeight: v.optional(share, 0),
    reference: v.optional(v.string(), ''),
  })), []),
})

/**
 * The states of a route's rules, by name, from `status.rules`: of this version, of an earlier one, or of nobody's, since
 * whoever may write statuses could have written it. What makes no sense is as if it were not there.
 */
export function fromStatus(rules: unknown): ReadonlyMap<string, RuleState> {
  const states = new Map<string, RuleState>()
  for (const rule of Array.isArray(rules) ? rules : []) {
    const parsed = v.safeParse(Recorded, rule)
    if (!parsed.success || parsed.output.backends.length === 0) continue
    const { name, stepStartedAt, paused, approved, undone, command, backends, phase, step, specHash, message } = parsed.output
    const earlier = undone && readUndone(undone)
    states.set(name, {
      specHash, phase, step, message,
      ...(stepStartedAt !== undefined && { startedAt: stepStartedAt }),
      ...(paused && { paused }),
      ...(approved && { approved }),
      ...(earlier && { undone: earlier }),
      ...(command !== undefined && { command }),
      variants: backends.map(({ variant, effectiveWeight, promotedWeight, reference }) => (
        { variant, share: effectiveWeight, promoted: promotedWeight, reference }
      )),
    })
  }
  return states
}

function readUndone({ revision, backendRefs }: Readonly<{ revision: number; backendRefs: string }>): Undone | undefined {
  try {
    const refs: unknown = JSON.parse(backendRefs)
    return areBackendRefs(refs) ? { revision, backendRefs: refs } : undefined
  } catch {
    return undefined
  }
}

function areBackendRefs(refs: unknown): refs is readonly BackendRef[] {
  const spec = { rules: [{ name: 'undone', backendRefs: refs }] }
  return validateModelRoute({ apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'undone' }, spec }).length === 0
}
