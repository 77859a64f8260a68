import type { Delivery } from '../compile/rollout.ts'
import type { RuleRollout } from '../sources/snapshot.ts'
import type { Analyst, Judgement, WatchedStep } from './judge.ts'
import { advance, shareOf, type Facts, type Turn } from './machine.ts'
import { countedAs, rolloutOf, underWay, type RuleState } from './state.ts'

/** A message with figures that change all the time is written no more often than this. Milliseconds. */
const FIGURES = 30_000
/** What a restarted controller waits at least at a step, whatever its wall clock says. Milliseconds. */
const SETTLE = 10_000

/** One rule, as this process knows it. */
export type Entry = {
  /** What is to be, and is written down. */
  decided: RuleState
  /** What the proxies are told. It differs from `decided` only while more for a candidate is being written down. */
  inForce: RuleState
  /** Of `inForce`, as the compiler takes it. */
  rollout: RuleRollout
  /** When the step in force got its share, on the monotonic clock. */
  began: number
  /** When it was last looked at whether it goes on, on the same clock. */
  looked: number
  /** What the status says of the last judgement, and since when. */
  shown?: Readonly<{ judgement: Judgement; at: number }>
}

export type Around = Readonly<{
  /** `namespace/name`. */
  route: string
  rule: string
  delivery: Delivery
  endpoints: ReadonlyMap<string, number>
}>

/** A rule that has a rollout or is undone. */
export type Rolled = Readonly<{ route: string; rule: string; state: RuleState; delivery: Delivery | undefined }>

export type Moment = Readonly<{ monotonic: number; date: Date }>

export function entryOf(state: RuleState, began: number): Entry {
  return { decided: state, inForce: state, rollout: rolloutOf(state), began, looked: -Infinity }
}

/**
 * An entry for what another process wrote down. Its step goes on by the wall clocks of the two, which may disagree: time
 * that did not pass counts as none, and the last ten seconds of a hold (or the next judgement) are waited for in any case.
 */
export function adopted(state: RuleState, { delivery }: Pick<Around, 'delivery'>, { monotonic, date }: Moment): Entry {
  const hold = delivery.plan?.steps[state.step - 1]?.hold ?? 0
  const passed = state.startedAt === undefined ? 0 : date.getTime() - Date.parse(state.startedAt)
  const most = Math.max(0, hold - (delivery.plan?.analysis?.interval ?? SETTLE))
  return entryOf(state, monotonic - Math.min(Math.max(0, passed), most))
}

/** How an entry goes on now. Undefined: there is nothing to do before the share decided on is in force. */
export function next(entry: Entry | undefined, around: Around, analyst: Analyst, moment: Moment): Turn | undefined {
  if (entry) entry.looked = moment.monotonic
  if (entry && entry.decided !== entry.inForce && !edited(entry, around) && ready(around)) return undefined
  return advance(entry?.decided, factsOf(entry, around, analyst, moment))
}

const edited = ({ decided }: Entry, { delivery }: Around) => decided.specHash !== delivery.specHash

function ready({ delivery, endpoints }: Around): boolean {
  return delivery.plan === undefined || (endpoints.get(delivery.plan.candidate) ?? 0) > 0
}

export function factsOf(entry: Entry | undefined, around: Around, analyst: Analyst, moment: Moment): Facts {
  const { delivery, endpoints } = around
  const now = moment.date.toISOString()
  if (!entry || entry.decided !== entry.inForce) return { delivery, endpoints, elapsed: 0, now }
  const elapsed = Math.max(0, moment.monotonic - entry.began)
  return { delivery, endpoints, elapsed, now, judgement: judged(entry, around, analyst, elapsed) }
}

/** The step as the judge watches it; undefined where there is nothing to judge. */
export function watched({ inForce, decided }: Entry, { route, rule, delivery }: Around): WatchedStep | undefined {
  const { plan } = delivery
  const id = countedAs(inForce)
  if (inForce !== decided || !plan?.analysis || id === undefined || inForce.specHash !== delivery.specHash) return undefined
  const startedAt = Date.parse(inForce.startedAt ?? '')
  const { candidate, analysis, steps } = plan
  const { share = 0, hold = 0 } = steps[inForce.step - 1] ?? {}
  return { route, rule, id, candidate, share, analysis, step: inForce.step, steps: steps.length, startedAt, hold }
}

function judged(entry: Entry, around: Around, analyst: Analyst, elapsed: number): Judgement | undefined {
  const step = watched(entry, around)
  // By our own clock: it does not jump.
  const now = (step?.startedAt ?? 0) + elapsed
  const judgement = step && analyst.judge(step, now)
  if (!judgement) {
    delete entry.shown
    return undefined
  }
  const { shown } = entry
  const same = shown?.judgement.verdict === judgement.verdict && shown.judgement.action === judgement.action
  if (same && elapsed - shown.at < FIGURES) return { ...judgement, why: shown.judgement.why }
  entry.shown = { judgement, at: elapsed }
  return judgement
}

/** Takes a decision. What gives the candidate more is in force once it is written down, anything else at once. */
export function decide(entry: Entry, state: RuleState, { delivery }: Around, monotonic: number): void {
  entry.decided = state
  const candidate = delivery.aims.find(({ variant }) => variant === delivery.plan?.candidate)
  const more = candidate !== undefined && state.undone === undefined && shareOf(state, candidate) > shareOf(entry.inForce, candidate)
  if (!more) putInForce(entry, monotonic)
}

/** Answers whether that changes what the compiler is to know. */
export function putInForce(entry: Entry, monotonic: number): boolean {
  const { decided, inForce } = entry
  if (decided === inForce) return false
  if (decided.startedAt !== inForce.startedAt || decided.step !== inForce.step) entry.began = monotonic
  entry.inForce = decided
  const rollout = rolloutOf(decided)
  if (sameRollout(rollout, entry.rollout)) return false
  entry.rollout = rollout
  return true
}

function sameRollout(a: RuleRollout, b: RuleRollout): boolean {
  return a.measured === b.measured && a.undone === b.undone && JSON.stringify([...a.variants]) === JSON.stringify([...b.variants])
}

/** Whether what was written down is this decision, as far as traffic and time are concerned. */
export function sameMove(a: RuleState, b: RuleState): boolean {
  const move = ({ specHash, phase, step, startedAt, undone, variants, command }: RuleState) =>
    JSON.stringify([specHash, phase, step, startedAt, undone?.revision, command, variants.map((each) => [each.variant, each.share, each.promoted, each.reference])])
  return move(a) === move(b)
}

/** When something could happen by itself: milliseconds from now; undefined: never. */
export function due(entry: Entry, { delivery }: Around, monotonic: number): number | undefined {
  const { decided, inForce, began, looked } = entry
  if (!underWay(decided) || decided !== inForce) return undefined
  const hold = delivery.plan?.steps[decided.step - 1]?.hold ?? 0
  const over = began + hold
  const judgement = watched(entry, { route: '', rule: '', delivery, endpoints: new Map() }) ? 1_000 : Infinity
  // A hold may end between a look and this, and nobody would look again.
  const soonest = Math.min(over > looked ? Math.max(0, over - monotonic) : Infinity, judgement)
  return Number.isFinite(soonest) ? soonest : undefined
}

