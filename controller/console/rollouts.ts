import { Best, finder } from '../../console/best.ts'
import { quantile } from '../../console/flow.ts'
import { LATENCY_BOUNDS } from '../../table/delivery.ts'
import type { Look, RolloutLine } from '../../table/console.ts'
import type { Delivery } from '../compile/rollout.ts'
import type { Rolled } from '../rollout/entry.ts'
import type { Estimate, GateJudgement, Judgement } from '../rollout/judge.ts'
import type { ByVariant } from '../rollout/measurements.ts'
import { shareOf } from '../rollout/machine.ts'
import { countedAs, underWay, type RuleState } from '../rollout/state.ts'
import type { Past } from './history.ts'

const WHOLE = 1_000_000

export type RolloutFacts = Readonly<{
  rollouts: Iterable<Rolled>
  judgements: Iterable<Readonly<{ route: string; rule: string; judgement: Judgement }>>
  counted: (step: Readonly<{ route: string; rule: string; id: string }>) => ByVariant
  history: (route: string, rule: string) => readonly Past[]
  revision: (route: string) => number | undefined
}>

/** Those under way first, then those that were aborted. */
const weightOf = ({ phase }: RuleState): number => (underWay({ phase }) ? 2 : phase === 'Aborted' ? 1 : 0)

/** @param others rules that proxies know something of and no rollout is of: those with a mirror */
export function rolloutsOf(look: Look, { rollouts, judgements, counted, history, revision }: RolloutFacts, others: readonly RolloutLine[]) {
  const judged = new Map<string, Judgement>()
  for (const { route, rule, judgement } of judgements) judged.set(`${route}\n${rule}`, judgement)
  const finds = finder(look.search)
  const best = new Best<Rolled | RolloutLine>(look)
  const known = new Set<string>()
  for (const rolled of rollouts) {
    known.add(`${rolled.route}\n${rolled.rule}`)
    if (finds(rolled.route, rolled.rule)) best.add(rolled, weightOf(rolled.state), `${rolled.route} ${rolled.rule}`)
  }
  const byKey = new Map(others.map((line) => [`${line.route}\n${line.rule}`, line]))
  for (const [key, line] of byKey) if (!known.has(key)) best.add(line, 0, `${line.route} ${line.rule}`)
  const items = best.page(look).map((one): RolloutLine => {
    if (!('state' in one)) return one
    const { route, rule, state } = one
    const id = countedAs(state)
    const mirror = byKey.get(`${route}\n${rule}`)?.mirror
    const current = revision(route)
    return {
      ...lineOf(one, id === undefined ? new Map() : counted({ route, rule, id })),
      ...(mirror && { mirror }),
      gates: (judged.get(`${route}\n${rule}`)?.metrics ?? []).map(gateOf),
      history: [...history(route, rule)],
      ...(state.undone ? { revision: state.undone.revision } : current === undefined ? {} : { revision: current }),
    }
  })
  return { total: best.total, offset: look.offset, items }
}

function lineOf({ route, rule, state, delivery }: Rolled, counted: ByVariant): RolloutLine {
  const { phase, message, step, startedAt, specHash } = state
  const aims = new Map((delivery?.aims ?? []).map(({ variant, target }) => [variant, target]))
  return {
    route, rule, phase, step, specHash,
    ...(message !== '' && { message }),
    ...(startedAt !== undefined && { stepStartedAt: startedAt }),
    steps: (delivery?.plan?.steps ?? []).map(({ share, hold, approval }) => (
      { percent: share / 10_000, ...(hold > 0 && { hold: durationOf(hold) }), ...(approval && { approval }) })),
    commands: commandsFor(state, delivery),
    variants: state.variants.map(({ variant, share }) => {
      const target = aims.get(variant)
      const counts = counted.get(variant)
      return {
        variant, weight: share / WHOLE,
        ...(target !== undefined && { target: target / WHOLE }),
        ...(counts && { requests: counts.requests, failed: counts.errors, p95: quantile(0.95, counts.latency, LATENCY_BOUNDS) }),
      }
    }),
  }
}

/** What of all commands means something now; the controller refuses the others in any case. */
function commandsFor(state: RuleState, delivery: Delivery | undefined): string[] {
  const { phase, paused } = state
  if (phase === 'Aborted') return ['retry', 'undo', 'set-weight']
  if (underWay({ phase })) return ['promote', 'promote-full', paused ? 'resume' : 'pause', 'abort', 'undo', 'set-weight']
  const candidate = delivery?.aims.find(({ variant }) => variant === delivery.plan?.candidate)
  return [...(candidate && shareOf(state, candidate) > 0 ? ['abort'] : []), 'undo', 'set-weight']
}

function gateOf({ name, verdict, candidate, stable, bound, why }: GateJudgement): NonNullable<RolloutLine['gates']>[number] {
  return {
    name, bound,
    state: verdict === 'pass' ? 'passing' : verdict === 'fail' ? 'failing' : 'waiting',
    message: why ?? (verdict === 'wait' ? 'not decided yet' : ''),
    candidate: candidate ? finite(candidate) : null,
    stable: stable ? finite(stable) : null,
  }
}

/** JSON knows no infinity: null is a side that is open. */
function finite({ value, low, high }: Estimate): Readonly<{ value: number; low: number | null; high: number | null }> {
  const side = (bound: number) => (Number.isFinite(bound) ? bound : null)
  return { value: Number.isFinite(value) ? value : 0, low: side(low), high: side(high) }
}

/** `1h30m`; milliseconds in. */
function durationOf(ms: number): string {
  const seconds = ms / 1000
  const parts = [[Math.floor(seconds / 3600), 'h'], [Math.floor(seconds / 60) % 60, 'm'], [Math.floor(seconds) % 60, 's'], [ms % 1000, 'ms']] as const
  return parts.filter(([count]) => count > 0).map(([count, unit]) => `${count}${unit}`).join('')
}
