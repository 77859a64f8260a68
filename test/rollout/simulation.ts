import { createAnalyst } from '../../controller/rollout/analyst.ts'
import type { Judgement } from '../../controller/rollout/judge.ts'
import { MeasurementStore } from '../../controller/rollout/measurements.ts'
import type { Analysis } from '../../controller/compile/analysis.ts'
import { LATENCY_BOUNDS } from '../../table/delivery.ts'
import { noCounts, told, type Counts } from '../../table/measurements.ts'

/** Rollouts played through in simulated time, with random traffic from a seed, and the judge that decides real ones. */

/** Latencies are log-normal: half of the requests take up to `median` seconds. */
export type Quality = Readonly<{ errors: number; median: number; spread: number }>

export type Scenario = Readonly<{
  analysis: Analysis
  stable: Quality
  candidate: Quality
  /** Requests a second to the rule. */
  rate: number
  /** Percent; milliseconds. */
  steps: readonly Readonly<{ percent: number; hold: number }>[]
  /** At which step the candidate gets to be like that; before, it is like stable. */
  fromStep?: number
  /** And after so many milliseconds of that step. */
  after?: number
}>

export type Played = Readonly<{
  outcome: 'completed' | 'aborted' | 'undecided'
  step: number
  /** Milliseconds since the step began. */
  inStep: number
  /** Milliseconds since the rollout began. */
  total: number
  judgement: Judgement
}>

/** mulberry32: small, and the same everywhere. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function poisson(mean: number, random: () => number): number {
  if (mean > 50) {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal))
  }
  let count = 0
  for (let product = random(), limit = Math.exp(-mean); product > limit; product *= random()) count++
  return count
}

/** Of the normal distribution (Abramowitz and Stegun 26.2.17, good to 7.5e-8). */
function cumulative(z: number): number {
  const t = 1 / (1 + 0.231_641_9 * Math.abs(z))
  const tail = Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI) * t
    * (0.319_381_53 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))))
  return z > 0 ? 1 - tail : tail
}

const shapes = new Map<Quality, readonly (readonly [bucket: number, share: number])[]>()

/** Which share of the latencies is in which bucket; those that hardly ever are, are left out. */
function shapeOf(quality: Quality): readonly (readonly [bucket: number, share: number])[] {
  let shape = shapes.get(quality)
  if (shape === undefined) {
    const below = LATENCY_BOUNDS.map((bound) => cumulative(Math.log(bound / quality.median) / quality.spread))
    shape = below.map((share, i) => [i, share - (below[i - 1] ?? 0)] as const).filter(([, share]) => share > 1e-6)
    shapes.set(quality, shape)
  }
  return shape
}

/** Adds the traffic of so many seconds. */
export function addTraffic(counts: Counts, quality: Quality, requests: number, random: () => number): void {
  const errors = poisson(requests * quality.errors, random)
  let answered = 0
  for (const [bucket, share] of shapeOf(quality)) {
    const more = poisson(requests * (1 - quality.errors) * share, random)
    counts.latency[bucket] = (counts.latency[bucket] ?? 0) + more
    answered += more
  }
  counts.requests += answered + errors
  counts.errors += errors
}

/** The longest that a step may take before it counts as undecided, in multiples of its hold. */
const longest = 20

export function play({ analysis, stable, candidate, rate, steps, fromStep = 1, after = 0 }: Scenario, seed: number): Played {
  const random = randomFrom(seed)
  const store = new MeasurementStore()
  const analyst = createAnalyst({ store, ask: () => Promise.reject(new Error('nobody to ask')), wake() {} })
  const { interval } = analysis
  let now = 1_000_000
  const begin = now
  for (const [at, { percent, hold }] of steps.entries()) {
    const startedAt = now
    const step = { route: 'ml/fraud', rule: 'infer', id: `s${at}`, candidate: 'canary', share: percent * 10_000, analysis, step: at + 1, steps: steps.length, startedAt, hold }
    const counts = { canary: noCounts(0), stable: noCounts(0) }
    for (;;) {
      const bad = at + 1 > fromStep || (at + 1 === fromStep && now - startedAt >= after)
      now += interval
      const requests = rate * interval / 1000
      addTraffic(counts.canary, bad ? candidate : stable, requests * percent / 100, random)
      addTraffic(counts.stable, stable, requests * (100 - percent) / 100, random)
      const variants = [told('canary', counts.canary), told('stable', counts.stable)]
      store.take(
        { type: 'hello', schema: 1, node: 'p', instance: 'a', gateway: 'default', subscribe: true, versions: {} },
        { type: 'measurements', rules: [{ route: step.route, rule: step.rule, id: step.id, variants }] },
      )
      const judgement = analyst.judge(step, now)
      const result = { step: at + 1, inStep: now - startedAt, total: now - begin, judgement }
      if (judgement.action === 'abort') return { outcome: 'aborted', ...result }
      const passed = judgement.action === 'advance' && now - startedAt >= hold
      if (passed && at === steps.length - 1) return { outcome: 'completed', ...result }
      if (passed) break
      if (now - startedAt >= longest * Math.max(hold, interval)) return { outcome: 'undecided', ...result }
    }
    analyst.keep([])
  }
  throw new Error('a rollout has steps')
}
