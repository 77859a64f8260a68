import { createHash } from 'node:crypto'
import type { RuleStatus } from '../../crds/types.gen.ts'
import type { Aim, Delivery } from '../compile/rollout.ts'
import type { BackendRef } from '../compile/spec.ts'
import type { RuleRollout } from '../sources/snapshot.ts'

export type Phase = NonNullable<RuleStatus['phase']>

/** Shares are millionths of the rule. `promoted`: in the split that was last completed. */
export type VariantState = Readonly<{ variant: string; share: number; promoted: number; reference: string }>

/** What is in force in place of the manifest's backendRefs since an undo. */
export type Undone = Readonly<{ revision: number; backendRefs: readonly BackendRef[] }>

/**
 * All that is known of one rule's rollout: what its status says, and nothing besides, so that whoever reads the status
 * can go on from there.
 */
export type RuleState = Readonly<{
  specHash: string
  phase: Phase
  /** From 1, as in the manifest; 0 outside of a rollout. */
  step: number
  /** RFC 3339. Absent while the step's share is not given: the candidate is not ready for it. */
  startedAt?: string
  message: string
  variants: readonly VariantState[]
  /** By commands. */
  paused?: true
  approved?: true
  undone?: Undone
  /** The last command of an annotation that was obeyed and may still be there. */
  command?: string
}>

export const underWay = ({ phase }: Pick<RuleState, 'phase'>): boolean =>
  phase === 'Progressing' || phase === 'Paused' || phase === 'AwaitingApproval'

/** Nothing is being rolled out: every variant has what the manifest gives it. */
export function settled({ specHash, aims }: Pick<Delivery, 'specHash' | 'aims'>, message = ''): RuleState {
  return { specHash, phase: 'Stable', step: 0, message, variants: aims.map(atTarget) }
}

export function atTarget({ variant, target, reference }: Aim): VariantState {
  return { variant, share: target, promoted: target, reference }
}

/**
 * Under which name proxies count for this step, absent where nothing is to be counted. Another one for each try of a
 * step, and the same for every controller that reads the status.
 */
export function countedAs({ specHash, step, startedAt, phase }: RuleState): string | undefined {
  if (startedAt === undefined || !underWay({ phase })) return undefined
  return createHash('sha256').update(`${specHash}/${step}/${startedAt}`).digest('hex').slice(0, 16)
}

/** As the compiler takes it. */
export function rolloutOf(state: RuleState): RuleRollout {
  const measured = countedAs(state)
  return {
    variants: new Map(state.variants.map(({ variant, ...rest }) => [variant, rest])),
    ...(measured !== undefined && { measured }),
    ...(state.undone && { undone: state.undone.backendRefs }),
  }
}
