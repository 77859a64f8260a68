import { since, together, type Counts } from '../../table/measurements.ts'
import { measuredFor, type Gate } from '../compile/analysis.ts'
import { judgeGate, worst, type JudgedGate, type Measured } from './analysis/gate.ts'
import { sequenceOf } from './analysis/measure.ts'
import type { AskOutside } from './analysis/outside.ts'
import { decide } from './analysis/decide.ts'
import type { Analyst, Judgement, WatchedStep } from './judge.ts'
import { keyOf, type ByVariant, type MeasurementStore } from './measurements.ts'

export type AnalystDeps = Readonly<{
  store: MeasurementStore
  /** Asks others than the proxies: Prometheus, webhooks. */
  ask: AskOutside
  /** A judgement was made of what somebody answered in the meantime. */
  wake: () => void
}>

/**
 * What a whole rollout may err: a candidate that keeps every bound is aborted, and one that breaks a bound passes a step,
 * in at most so many of one. The first is shared by the steps, their gates, and the two ways in which each is looked at.
 */
const wrongAborts = 0.005
const wrongPasses = 0.01

/** What was counted when somebody looked, and which look that was. */
type Look = Readonly<{ number: number; counts: ByVariant; requests: number }>

/** What is remembered of one step from one look to the next. Nothing of it is needed to judge: it only makes it sooner. */
type Watched = Readonly<Pick<WatchedStep, 'route' | 'rule'>> & {
  judgedAt: number
  looks: number
  /** Failed judgements in a row. */
  failures: number
  /** Looks from which the last requests are counted, the last one first. */
  recent: Look[]
  judgement: Judgement
  asking: boolean
}

const recentMax = 4

/** The last judgement of each step that is watched, for the metrics. */
export type Judgements = () => Iterable<Readonly<{ route: string; rule: string; judgement: Judgement }>>

export function createAnalyst({ store, ask, wake }: AnalystDeps): Analyst & Readonly<{ judgements: Judgements }> {
  const watched = new Map<string, Watched>()

  function judgeNow(step: WatchedStep, state: Watched, outside: readonly JudgedGate[]): void {
    const { analysis: { gates, minRequests } } = step
    const counts = store.sum(step)
    const number = ++state.looks
    const now: Look = { number, counts, requests: counts.get(step.candidate)?.requests ?? 0 }
    const from = state.recent.find(({ requests }) => now.requests - requests >= minRequests && now.requests > requests)
    const fields = measuredFor(step.analysis, step.id).fields
    const counted = new Set(judgeable(step).map(({ name }) => name))
    const share = wrongAborts / 2 / Math.max(1, step.steps * gates.length)
    const inside = gates.flatMap((gate): JudgedGate[] => {
      const measured = measuredOf(gate, step.candidate, fields, now, from, share)
      return measured === undefined ? [] : [judgeGate(gate, minRequests, measured, { wrongFail: share, wrongPass: wrongPasses })]
    })
    const last = state.recent[0]
    if (last === undefined || now.requests - last.requests >= minRequests / 2) state.recent = [now, ...state.recent].slice(0, recentMax)
    const order = new Map(gates.map(({ name }, i) => [name, i]))
    const all = [...inside, ...outside].filter(({ judgement }) => judgement.verdict === 'fail' || counted.has(judgement.name)).sort((a, b) => (order.get(a.judgement.name) ?? 0) - (order.get(b.judgement.name) ?? 0))
    const verdict = worst(all.map(({ judgement }) => judgement.verdict))
    state.failures = verdict !== 'fail' ? 0 : all.some(({ glaring }) => glaring) ? step.analysis.failureLimit : state.failures + 1
    state.judgement = decide(step, verdict, all.map(({ judgement }) => judgement), { at: state.judgedAt, failures: state.failures })
  }

  return {
    judge(step, now) {
      const key = keyOf(step)
      let state = watched.get(key)
      if (state === undefined) {
        const judgement = decide(step, judgeable(step).length === 0 ? 'pass' : 'no-data', [], { at: now, failures: 0 })
        // A step found in its midst is judged at once: what was counted of it is known.
        state = { route: step.route, rule: step.rule, judgedAt: now - step.startedAt >= step.analysis.interval ? 0 : step.startedAt, looks: 0, failures: 0, recent: [], judgement, asking: false }
        watched.set(key, state)
      }
      const known = state
      // Before its time is what a clock says that was put back.
      const due = now - known.judgedAt >= step.analysis.interval || now < known.judgedAt
      if (!due || known.asking) return known.judgement
      known.judgedAt = now
      const questions = step.analysis.gates.filter(({ measure }) => measure.type === 'Prometheus' || measure.type === 'Webhook')
      if (questions.length === 0) judgeNow(step, known, [])
      else {
        known.asking = true
        const stable = mostUsed(store.sum(step), step.candidate)
        void Promise.all(questions.map((gate) => ask(gate, step, stable))).then((answers) => {
          known.asking = false
          if (watched.get(key) !== known) return
          judgeNow(step, known, answers.map((judgement) => ({ judgement, glaring: false })))
          wake()
        })
      }
      return known.judgement
    },
    judgements: () => watched.values(),
    keep(steps) {
      const keys = new Set(steps.map(keyOf))
      for (const key of watched.keys()) if (!keys.has(key)) watched.delete(key)
      store.keep(keys)
    },
  }
}

/**
 * A candidate without a share is reached by testers only, and is kept by no lack of requests; but what fails there fails.
 * Copies of requests it does get, and a webhook may say when it is ready.
 */
function judgeable({ share, analysis: { gates } }: WatchedStep): readonly Gate[] {
  return share > 0 ? gates : gates.filter(({ measure }) => measure.type === 'MirrorMismatch' || measure.type === 'Webhook')
}

/** @param share what the gate may err in the step as a whole, and again in all that is looked at of its last requests */
function measuredOf(gate: Gate, candidate: string, fields: readonly string[], now: Look, from: Look | undefined, share: number): Measured | undefined {
  const of = (counts: Counts | undefined) => counts && sequenceOf(gate, counts, fields)
  const all = sides(now.counts, candidate)
  const whole = of(all.candidate)
  if (whole === undefined) return gate.measure.type === 'Prometheus' || gate.measure.type === 'Webhook' ? undefined : { candidate: nothing, stable: undefined }
  const before = from && sides(from.counts, candidate)
  const recent = before && all.candidate && of(since(before.candidate, all.candidate))
  return {
    candidate: whole,
    stable: of(all.stable),
    ...(recent && from && {
      recent: {
        candidate: recent,
        stable: all.stable && of(since(before.stable, all.stable)),
        // Each look that one may begin to count from gets its share of the share, so that all of them keep to it.
        wrongFail: share / (from.number * (from.number + 1)),
      },
    }),
  }
}

const nothing = { n: 0, value: 0, low: () => Number.NEGATIVE_INFINITY, high: () => Number.POSITIVE_INFINITY }

/** Of the others the one with the most requests. */
function mostUsed(counts: ByVariant, candidate: string): string | undefined {
  return [...counts].filter(([variant]) => variant !== candidate).sort(([, a], [, b]) => b.requests - a.requests)[0]?.[0]
}

/** The candidate, and all others taken together. */
function sides(counts: ByVariant, candidate: string): Readonly<{ candidate: Counts | undefined; stable: Counts | undefined }> {
  return { candidate: counts.get(candidate), stable: together([...counts].flatMap(([variant, of]) => (variant === candidate ? [] : [of]))) }
}
