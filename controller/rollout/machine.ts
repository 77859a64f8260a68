import { aimsOf, sameReference, sharesNow, type Aim, type Delivery, type Plan, type Step } from '../compile/rollout.ts'
import { percent } from '../compile/weights.ts'
import type { BackendRef } from '../compile/spec.ts'
import type { Judgement } from './judge.ts'
import { atTarget, rolloutOf, settled, underWay, type RuleState } from './state.ts'

/** What a rollout depends on besides its state, at one moment. */
export type Facts = Readonly<{
  delivery: Delivery
  /** Ready endpoints of each variant in force. */
  endpoints: ReadonlyMap<string, number>
  /** Milliseconds that the step has had its share. */
  elapsed: number
  /** The last one of this step. */
  judgement?: Judgement | undefined
  /** RFC 3339. */
  now: string
}>

/** What people are told: `Warning` where somebody should look. */
export type News = Readonly<{ type: 'Normal' | 'Warning'; reason: string; message: string }>

/** `news`: only where something happened. The state is the same object where nothing did. */
export type Turn = Readonly<{ state: RuleState; news?: News }>

const normal = (reason: string, message: string): News => ({ type: 'Normal', reason, message })
const warning = (reason: string, message: string): News => ({ type: 'Warning', reason, message })

/**
 * The next state of a rule: pure, and one step at a time. What raises the candidate is only decided here; whoever
 * calls puts it in force once it is written down, so that no share is ever given that a successor does not know of.
 * @param before undefined: the rule is seen for the first time, and goes to its target at once
 */
export function advance(before: RuleState | undefined, facts: Facts): Turn {
  const { delivery } = facts
  const { plan } = delivery
  const edited = before?.specHash !== delivery.specHash
  if (before && !edited && before.phase === 'Aborted') return { state: before }
  const candidate = delivery.aims.find(({ variant }) => variant === plan?.candidate)
  if (!before || !plan || !candidate || delivery.aims.length === 1) return { state: keep(before, settled(delivery)) }

  const share = shareOf(before, candidate)
  if (share >= candidate.target) {
    const state = settled(delivery)
    const news = underWay(before) ? normal('RolloutCompleted', `${candidate.variant} is at ${shown(candidate.target)}, its target`) : undefined
    return { state: keep(before, state), ...(news && { news }) }
  }
  const begun = edited || !underWay(before) ? begin(before, candidate, plan, facts) : before
  const turn = walk(begun, candidate, plan, facts)
  if (begun === before) return turn
  const news = underWay(before)
    ? normal('RolloutChanged', `goes on from ${shown(share)} by the edited steps`)
    : normal('RolloutStarted', `${candidate.variant} goes from ${shown(share)} to ${shown(candidate.target)}`)
  return { state: keep(before, turn.state), news: turn.news?.type === 'Warning' ? turn.news : news }
}

/** What the candidate has, as far as it is the same one. */
export function shareOf(state: RuleState, { variant, reference }: Aim): number {
  const known = state.variants.find((each) => each.variant === variant)
  return known && sameReference(known.reference, reference) ? known.share : 0
}

/** A new rollout, or the one under way with an edited manifest: at the first step that takes nothing back. */
function begin(before: RuleState, candidate: Aim, plan: Plan, { delivery }: Facts): RuleState {
  const share = shareOf(before, candidate)
  const step = stepsOf(plan, candidate).find(({ at }) => at.share >= share)
  const here = step?.at.share === share && before.startedAt !== undefined && underWay(before) ? before.startedAt : undefined
  const { specHash, aims } = delivery
  return {
    specHash, phase: 'Progressing', step: step?.number ?? plan.steps.length, message: '',
    ...(here !== undefined && { startedAt: here }),
    ...(before.paused && underWay(before) && { paused: true as const }),
    ...(before.command !== undefined && { command: before.command }),
    variants: variantsWith(share, aims, candidate, before),
  }
}

type Numbered = Readonly<{ number: number; at: Step }>

/** Those below the target; the others are skipped. */
function stepsOf(plan: Plan, { target }: Aim): readonly Numbered[] {
  return plan.steps.map((at, index) => ({ number: index + 1, at })).filter(({ at }) => at.share < target)
}

/** Every variant as it is when the candidate has that share. */
function variantsWith(share: number, aims: readonly Aim[], candidate: Aim, before: RuleState): RuleState['variants'] {
  const promoted = new Map(before.variants.map((each) => [each.variant, each.promoted]))
  const known = rolloutOf({
    ...before,
    variants: [
      ...before.variants.filter(({ variant }) => variant !== candidate.variant),
      { variant: candidate.variant, share, promoted: promoted.get(candidate.variant) ?? 0, reference: candidate.reference },
    ],
  })
  const now = sharesNow(aims, candidate.variant, known)
  return aims.map(({ variant, reference }, at) => ({ variant, share: now[at] ?? 0, promoted: promoted.get(variant) ?? 0, reference }))
}

/** One turn of a rollout that is under way. */
function walk(state: RuleState, candidate: Aim, plan: Plan, facts: Facts): Turn {
  const ready = (facts.endpoints.get(candidate.variant) ?? 0) > 0
  const paused = plan.paused || state.paused
  if (state.startedAt === undefined) {
    if (!ready) return say(state, paused ? 'Paused' : 'Progressing', `waits for an endpoint of ${candidate.variant} to be ready`)
    if (paused) return say(state, 'Paused', `${pausedBy(plan)} before step ${state.step}`)
    return enter(state, state.step, candidate, plan, facts)
  }
  const verdict = verdictOf(plan, facts.judgement)
  if (verdict === 'abort') return abort(state, candidate, facts, facts.judgement?.why ?? 'a gate failed')
  if (!ready) return withhold(state, candidate, facts)
  const step = plan.steps[state.step - 1]
  if (paused) return say(state, 'Paused', `${pausedBy(plan)} at step ${state.step}${gates(facts)}`)
  if (step && facts.elapsed < step.hold) return say(state, 'Progressing', `holds ${shown(step.share)} for ${duration(step.hold)}${gates(facts)}`)
  if (step?.approval && !state.approved) return say(state, 'AwaitingApproval', `waits for approval at step ${state.step}${gates(facts)}`)
  if (verdict === 'stay') return say(state, 'Progressing', `waits at step ${state.step} for its gates${gates(facts)}`)
  return enter(state, state.step + 1, candidate, plan, facts)
}

const pausedBy = (plan: Plan) => (plan.paused ? 'paused by rollout.paused' : 'paused')

function verdictOf(plan: Plan, judgement: Judgement | undefined): Judgement['action'] {
  return plan.analysis ? (judgement?.action ?? 'stay') : 'advance'
}

const gates = ({ judgement }: Facts) => (judgement && judgement.why !== '' ? `; ${judgement.why}` : '')

/** Gives the step its share; beyond the last, the target. `from` is the least that it may be. */
export function enter(state: RuleState, from: number, candidate: Aim, plan: Plan, { delivery, now }: Facts): Turn {
  const next = stepsOf(plan, candidate).find(({ number, at }) => number >= from && at.share >= shareOf(state, candidate))
  if (!next) {
    const done = settled(delivery)
    return {
      state: state.command === undefined ? done : { ...done, command: state.command },
      news: normal('RolloutCompleted', `${candidate.variant} is at ${shown(candidate.target)}, its target`),
    }
  }
  const { approved: _approved, ...rest } = state
  const message = `step ${next.number}: ${candidate.variant} is at ${shown(next.at.share)}`
  return {
    state: {
      ...rest, phase: 'Progressing', step: next.number, startedAt: now, message,
      variants: variantsWith(next.at.share, delivery.aims, candidate, state),
    },
    news: normal('RolloutStep', message),
  }
}

/** Nobody of its share would be answered; it begins the step again when it is ready. */
function withhold(state: RuleState, candidate: Aim, { delivery }: Facts): Turn {
  const { startedAt: _startedAt, ...rest } = state
  const message = `${candidate.variant} has no ready endpoint, so its share is withheld at step ${state.step}`
  return {
    state: { ...rest, phase: 'Progressing', message, variants: variantsWith(0, delivery.aims, candidate, state) },
    news: warning('RolloutWithheld', message),
  }
}

/** To 0 at once, until the manifest changes; not while nobody else could take the requests. */
export function abort(state: RuleState, candidate: Aim, { delivery, endpoints }: Facts, why: string): Turn {
  const others = delivery.aims.filter(({ variant }) => variant !== candidate.variant)
  if (!others.some(({ variant }) => (endpoints.get(variant) ?? 0) > 0)) {
    const message = `is to be aborted, but nobody else has a ready endpoint: ${why}`
    return { ...say(state, state.phase, message), ...(state.message !== message && { news: warning('RolloutStuck', message) }) }
  }
  const { paused: _paused, approved: _approved, ...rest } = state
  return {
    state: { ...rest, phase: 'Aborted', message: why, variants: variantsWith(0, delivery.aims, candidate, state) },
    news: warning('RolloutAborted', why),
  }
}

/** An earlier version in place of the manifest's, at its weights, until the manifest changes. */
export function undo(state: RuleState, revision: number, backendRefs: readonly BackendRef[]): Turn {
  const { paused: _paused, approved: _approved, startedAt: _startedAt, ...rest } = state
  const message = `revision ${revision} is in force again`
  return {
    state: { ...rest, phase: 'Aborted', step: 0, message, undone: { revision, backendRefs }, variants: aimsOf(backendRefs).map(atTarget) },
    news: warning('RolloutUndone', message),
  }
}

function say(state: RuleState, phase: RuleState['phase'], message: string): Turn {
  const same = state.phase === phase && state.message === message
  return { state: same ? state : { ...state, phase, message } }
}

/** What did not change keeps its identity, so that nobody writes it again. */
function keep(before: RuleState | undefined, after: RuleState): RuleState {
  const command = before?.command
  const next = command === undefined ? after : { ...after, command }
  return before && JSON.stringify(before) === JSON.stringify(next) ? before : next
}

function shown(share: number): string {
  return `${percent(share)} %`
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`
}
