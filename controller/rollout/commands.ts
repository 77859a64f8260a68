import { aimsOf, type Aim, type Plan } from '../compile/rollout.ts'
import type { RouteSpec } from '../compile/spec.ts'
import { abort, advance, enter, shareOf, undo, type Facts, type Turn } from './machine.ts'
import { underWay, type RuleState } from './state.ts'

export const ACTIONS = ['promote', 'promote-full', 'pause', 'resume', 'abort', 'undo', 'retry'] as const

/** `revision`: of `undo`; without it, to the last one that was different. */
export type Command = Readonly<{ action: (typeof ACTIONS)[number]; revision?: number; specHash: string }>

/** An earlier version of a rule, and of which revision of its route. */
export type Earlier = Readonly<{ revision: number; spec: RouteSpec }>

/**
 * A command in an annotation is marked before it is obeyed (`promote@0123456789abcdef#5f3a09c1`): the same command given
 * again is another one, and nobody could tell them apart by what they say.
 */
const MARK = /#[0-9a-f]{8}$/
export const isMarked = (text: string): boolean => MARK.test(text)
export const markedAs = (text: string, mark: string): string => `${text}#${mark}`
export const unmarked = (text: string): string => text.replace(MARK, '')

/** `promote@0123456789abcdef`, `undo:3@0123456789abcdef`. A string says what is wrong with it. */
export function parseCommand(text: string): Command | string {
  const parts = /^([a-z-]{1,20})(?::([0-9]{1,15}))?@([0-9a-f]{1,64})$/.exec(text)
  const action = ACTIONS.find((each) => each === parts?.[1])
  const revision = parts?.[2]
  if (!parts || !action || (revision !== undefined && action !== 'undo')) {
    return `a command is ACTION@SPECHASH, with one of ${ACTIONS.join(', ')}; undo:REVISION@SPECHASH goes back to that one`
  }
  return { action, specHash: parts[3] ?? '', ...(revision !== undefined && { revision: Number(revision) }) }
}

/** What becomes of a command; a string says why nothing does. */
export function obey(known: RuleState, command: Command, facts: Facts, rule: string, history: readonly Earlier[]): Turn | string {
  const { delivery } = facts
  if (command.specHash !== delivery.specHash) {
    return `it is for ${command.specHash}, and the rule is at ${delivery.specHash} now: it was edited since`
  }
  const state = known.specHash === delivery.specHash ? known : advance(known, facts).state
  if (command.action === 'undo') return goBack(state, command.revision, rule, { history, aims: delivery.aims })
  if (command.action === 'retry') return retry(state, facts)
  const { plan } = delivery
  const candidate = delivery.aims.find(({ variant }) => variant === plan?.candidate)
  if (!plan || !candidate) return 'the rule has no rollout'
  if (command.action === 'abort') return stop(state, candidate, facts)
  if (state.phase === 'Aborted') return 'the rollout is aborted; retry it, or edit backendRefs or rollout'
  if (!underWay(state)) return `no rollout is in progress: ${candidate.variant} is at its target`
  if (command.action === 'pause') return { state: { ...state, paused: true } }
  if (command.action === 'resume') {
    const { paused: _paused, ...rest } = state
    return plan.paused ? 'rollout.paused is true in the manifest; set it to false there' : { state: rest }
  }
  return forward(state, command.action === 'promote-full', { candidate, plan, facts })
}

/** What waits for approval gets it; what waits for anything else waits no longer. */
function forward(
  state: RuleState,
  full: boolean,
  { candidate, plan, facts }: Readonly<{ candidate: Aim; plan: Plan; facts: Facts }>,
): Turn | string {
  const step = plan.steps[state.step - 1]
  // In a pause nothing goes on by itself, so a promotion is the step.
  const waits = state.startedAt !== undefined && step?.approval && !state.approved && !state.paused && !plan.paused
  if (!full && waits) return { state: { ...state, approved: true } }
  if ((facts.endpoints.get(candidate.variant) ?? 0) === 0) return `${candidate.variant} has no ready endpoint, and its requests would all fail`
  if (full) return enter(state, plan.steps.length + 1, candidate, plan, facts)
  return enter(state, state.startedAt === undefined ? state.step : state.step + 1, candidate, plan, facts)
}

function stop(state: RuleState, candidate: Aim, facts: Facts): Turn | string {
  if (state.phase === 'Aborted') return { state }
  if (!underWay(state) && shareOf(state, candidate) === 0) return `no rollout is in progress, and ${candidate.variant} has no share`
  if (facts.delivery.aims.length === 1) return 'there is no other variant to go back to'
  const turn = abort(state, candidate, facts, 'aborted by command')
  return turn.state.phase === 'Aborted' ? turn : turn.state.message
}

function retry(state: RuleState, facts: Facts): Turn | string {
  if (state.phase !== 'Aborted') return 'it is not aborted'
  const { undone: _undone, ...rest } = state
  return advance({ ...rest, phase: 'Stable', step: 0, specHash: '' }, facts)
}

/** Without a revision: to the newest that is neither what the manifest wants nor what is in force. */
function goBack(state: RuleState, revision: number | undefined, rule: string, { history, aims }: Past): Turn | string {
  const versions = history.toSorted((a, b) => b.revision - a.revision).flatMap(({ revision, spec }) => {
    const backendRefs = spec.rules.find(({ name }) => name === rule)?.backendRefs
    return backendRefs ? [{ revision, backendRefs, as: essence(aimsOf(backendRefs)) }] : []
  })
  const limit = state.undone?.revision ?? Infinity
  const other = new Set([essence(aims), ...(state.undone ? [essence(aimsOf(state.undone.backendRefs))] : [])])
  const found = revision === undefined
    ? versions.find((each) => each.revision < limit && !other.has(each.as))
    : versions.find((each) => each.revision === revision)
  if (found) return undo(state, found.revision, found.backendRefs)
  const there = versions.map((each) => each.revision).join(', ') || 'none'
  return revision === undefined ? `no earlier revision of the rule is different (there are ${there})` : `there is no revision ${revision} of the rule (there are ${there})`
}

type Past = Readonly<{ history: readonly Earlier[]; aims: readonly Aim[] }>

const essence = (aims: readonly Aim[]) => JSON.stringify(aims.map(({ variant, reference, target }) => [variant, reference, target]))
