import type { Estimate, GateJudgement, GateVerdict, Judgement, WatchedStep } from '../judge.ts'

/** A step whose gates are undecided at the end of its hold goes on for as long again, and at least for so many judgements. */
const patience = 10

/** What the step does about its gates. @param failures judgements in a row that failed */
export function decide(
  step: Pick<WatchedStep, 'analysis' | 'startedAt' | 'hold'>,
  verdict: GateVerdict,
  metrics: readonly GateJudgement[],
  { at, failures }: Readonly<{ at: number; failures: number }>,
): Judgement {
  const { analysis: { interval, failureLimit, onNoData }, startedAt, hold } = step
  const why = metrics.map(sentence).join('; ')
  const base = { at, verdict, metrics }
  if (verdict === 'pass') return { ...base, action: 'advance', why }
  if (verdict === 'fail') {
    const limited = failures >= failureLimit
    return { ...base, action: limited ? 'abort' : 'stay', why: limited ? why : `${why} (${failures} of ${failureLimit} failures in a row)` }
  }
  const late = at - startedAt - Math.max(hold, interval)
  const given = verdict === 'no-data' ? 0 : Math.max(hold, patience * interval)
  if (late < given) return { ...base, action: 'stay', why }
  if (onNoData === 'Abort') return { ...base, action: 'abort', why: `${why} (onNoData: Abort)` }
  if (onNoData === 'Continue') return { ...base, action: 'advance', why: `${why} (onNoData: Continue)` }
  return { ...base, action: 'stay', why: `${why} (onNoData: Hold; promote or abort decide by hand)` }
}

const words: Readonly<Record<GateVerdict, string>> = { pass: 'passes', fail: 'FAILS', wait: 'is not decided', 'no-data': 'lacks data' }

/** `p99-latency passes: 0.21 (0.19 to 0.24), stable 0.2 (0.19 to 0.21), at most 1.2 × stable`. */
function sentence({ name, verdict, candidate, stable, bound, why }: GateJudgement): string {
  const parts = [...(candidate ? [shown(candidate)] : []), ...(stable ? [`stable ${shown(stable)}`] : []), bound, ...(why === undefined ? [] : [why])]
  return `${name} ${words[verdict]}: ${parts.join(', ')}`
}

function shown({ value, low, high }: Estimate): string {
  return low === value && high === value ? short(value) : `${short(value)} (${short(low)} to ${short(high)})`
}

const short = (value: number) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : value > 0 ? '∞' : '-∞')
