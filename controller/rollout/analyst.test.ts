import assert from 'node:assert/strict'
import test from 'node:test'
import { play, addTraffic, randomFrom, type Quality } from '../../test/rollout/simulation.ts'
import { noCounts, told } from '../../table/measurements.ts'
import type { Analysis, Gate } from '../compile/analysis.ts'
import { createAnalyst } from './analyst.ts'
import type { AskOutside } from './analysis/outside.ts'
import type { Judgement, WatchedStep } from './judge.ts'
import { MeasurementStore } from './measurements.ts'

const good: Quality = { errors: 0.002, median: 0.05, spread: 0.5 }
const errorRate: Gate = { name: 'error-rate', measure: { type: 'ErrorRate' }, bounds: { max: 0.01 } }
const latency = (percentile: number, bounds: Gate['bounds']): Gate => ({ name: `p${percentile}-latency`, measure: { type: 'Latency', percentile }, bounds })
const analysis = (more: Partial<Analysis> = {}): Analysis => ({ interval: 10_000, minRequests: 200, failureLimit: 2, onNoData: 'Hold', gates: [errorRate], ...more })

const nobody: AskOutside = () => assert.fail('nobody is asked')

/** One step, and the traffic of it told by one proxy. */
function watch(more: Partial<Analysis> = {}, ask: AskOutside = nobody, hold = 60_000) {
  const store = new MeasurementStore()
  let woken = 0
  const analyst = createAnalyst({ store, ask, wake: () => { woken++ } })
  const step: WatchedStep = { route: 'ml/fraud', rule: 'infer', id: 's1', candidate: 'canary', share: 250_000, analysis: analysis(more), step: 1, steps: 3, startedAt: 0, hold }
  const counts = { canary: noCounts(1), stable: noCounts(1) }
  const random = randomFrom(1)
  return {
    step, store, counts, analyst,
    woken: () => woken,
    traffic: (canary: Quality, requests: number, stable = good, others = requests * 3): void => {
      addTraffic(counts.canary, canary, requests, random)
      addTraffic(counts.stable, stable, others, random)
    },
    judge: (now: number): Judgement => {
      store.take(
        { type: 'hello', schema: 1, node: 'p', instance: 'a', gateway: 'default', subscribe: true, versions: {} },
        { type: 'measurements', rules: [{ route: step.route, rule: step.rule, id: step.id, variants: [told('canary', counts.canary), told('stable', counts.stable)] }] },
      )
      return analyst.judge(step, now)
    },
  }
}

test('a judgement is made once an interval, and stays the same until the next', () => {
  const { judge, traffic } = watch()
  traffic(good, 5000)
  assert.equal(judge(5000).verdict, 'no-data')
  const first = judge(10_000)
  assert.deepEqual([first.verdict, first.action, first.at], ['pass', 'advance', 10_000])
  assert.equal(judge(19_999), first)
  assert.equal(judge(20_000).at, 20_000)
  assert.equal(judge(3000).at, 3000, 'a clock that is put back does not stop the judging')
})

test('what fails a little must fail failureLimit times in a row, and what fails glaringly aborts at once', () => {
  const little = watch()
  little.traffic({ ...good, errors: 0.018 }, 10_000)
  assert.deepEqual([little.judge(10_000).verdict, little.judge(10_000).action], ['fail', 'stay'])
  assert.match(little.judge(10_000).why, /error-rate FAILS: 0\.0\d+ .* at most 0\.01 \(1 of 2 failures in a row\)/)
  assert.equal(little.judge(20_000).action, 'abort')
  const glaring = watch({ failureLimit: 5 })
  glaring.traffic({ ...good, errors: 0.2 }, 500)
  assert.equal(glaring.judge(10_000).action, 'abort')
})

test('a candidate that begins to fail after a long time is found by its last requests', () => {
  const { judge, traffic } = watch({ gates: [errorRate, latency(50, { maxRatio: 1.2 })] })
  for (let i = 1; i <= 500; i++) {
    traffic(good, 1000)
    assert.equal(judge(i * 10_000).action, 'advance')
  }
  // 1,000 of 501,000 requests: in all of the step they do not show.
  traffic({ errors: 0.2, median: 0.05, spread: 0.5 }, 1000)
  assert.equal(judge(5_010_000).action, 'abort')
})

test('what was told before a controller began is judged at once', () => {
  const { judge, traffic } = watch()
  traffic({ ...good, errors: 0.2 }, 500)
  assert.equal(judge(3_600_000).action, 'abort')
})

test('too few requests decide nothing; onNoData says what becomes of the step when its hold is over', () => {
  for (const [onNoData, action] of [['Hold', 'stay'], ['Abort', 'abort'], ['Continue', 'advance']] as const) {
    const { judge, traffic } = watch({ onNoData })
    traffic({ ...good, errors: 0 }, 50)
    assert.deepEqual([judge(10_000).verdict, judge(10_000).action], ['no-data', 'stay'])
    assert.match(judge(10_000).why, /error-rate lacks data: .* of 200 measured/)
    assert.equal(judge(50_000).action, 'stay')
    assert.equal(judge(60_000).action, action)
    assert.equal(judge(600_000).action, action)
  }
})

test('a step that is undecided at the end of its hold is given as long again; then onNoData decides', () => {
  for (const [onNoData, action] of [['Hold', 'stay'], ['Abort', 'abort'], ['Continue', 'advance']] as const) {
    const { judge, traffic } = watch({ onNoData })
    traffic({ ...good, errors: 0.005 }, 300)
    assert.deepEqual([judge(60_000).verdict, judge(60_000).action], ['wait', 'stay'])
    assert.equal(judge(150_000).action, 'stay')
    assert.equal(judge(170_000).action, action)
  }
})

test('a gate relative to stable waits for stable, and fails by what differs and not by what both do', () => {
  const alone = watch({ gates: [latency(95, { maxRatio: 1.2 })] })
  alone.traffic(good, 5000, good, 0)
  assert.match(alone.judge(10_000).why, /p95-latency lacks data: .* nothing measured of the other variants/)
  const slow = { ...good, median: 0.2 }
  const both = watch({ gates: [latency(95, { maxRatio: 1.2 })] })
  both.traffic(slow, 20_000, slow)
  assert.equal(both.judge(10_000).verdict, 'pass')
  const one = watch({ gates: [latency(95, { maxRatio: 1.2 })] })
  one.traffic(slow, 20_000, good)
  const judgement = one.judge(10_000)
  assert.deepEqual([judgement.verdict, judgement.action], ['fail', 'abort'])
  const [gate] = judgement.metrics
  assert.ok(gate?.candidate && gate.stable && gate.candidate.low > 1.2 * gate.stable.high, judgement.why)
})

test('errors that hardly anybody has are no worse than none at all', () => {
  const { judge, traffic } = watch({ gates: [{ name: 'errors', measure: { type: 'ErrorRate' }, bounds: { maxRatio: 1.5 } }] })
  traffic({ ...good, errors: 0.0002 }, 50_000, { ...good, errors: 0 })
  assert.equal(judge(10_000).verdict, 'pass')
})

test('lower bounds, means, mismatches: each gate judges its own count', () => {
  const field: Gate = { name: 'score', measure: { type: 'ResponseField', pointer: '/score' }, bounds: { min: 0.3, minRatio: 0.95 } }
  const mismatch: Gate = { name: 'mirror-mismatch', measure: { type: 'MirrorMismatch' }, bounds: { max: 0.05 } }
  const { judge, counts, traffic, step } = watch({ gates: [field, mismatch, { name: 'cost', measure: { type: 'CostPerRequest' }, bounds: { maxRatio: 1.1 } }] })
  traffic(good, 1000)
  const values = (of: typeof counts.canary.cost, count: number, value: number) => Object.assign(of, { count, sum: count * value, squares: count * (value * value + 0.01) })
  const [canaryField, stableField] = [counts.canary.fields[0] ?? assert.fail(), counts.stable.fields[0] ?? assert.fail()]
  values(canaryField, 5000, 0.5)
  values(stableField, 5000, 0.5)
  values(counts.canary.cost, 5000, 2)
  values(counts.stable.cost, 5000, 2)
  counts.canary.compared = 2000
  counts.canary.mismatched = 20
  assert.deepEqual(judge(10_000).metrics.map(({ name, verdict }) => [name, verdict]), [['score', 'pass'], ['mirror-mismatch', 'pass'], ['cost', 'pass']])
  values(canaryField, 8000, 0.2)
  values(counts.canary.cost, 8000, 3)
  counts.canary.mismatched = 400
  addTraffic(counts.canary, good, 10, randomFrom(1))
  assert.deepEqual(judge(20_000).metrics.map(({ verdict }) => verdict), ['fail', 'fail', 'fail'])
  assert.equal(step.analysis.gates.length, 3)
})

test('others are asked once an interval, the step is judged when they have answered, and that is told', async () => {
  const gate: Gate = { name: 'queue', measure: { type: 'Webhook', to: { url: 'http://a/', loopback: false } }, bounds: { max: 5 } }
  const waiting: ((value: number) => void)[] = []
  const ask: AskOutside = async ({ name }) => {
    const value = await new Promise<number>((resolve) => { waiting.push(resolve) })
    return { name, verdict: value <= 5 ? 'pass' : 'fail', bound: 'at most 5', candidate: { value, low: value, high: value } }
  }
  const { judge, traffic, woken } = watch({ gates: [errorRate, gate], failureLimit: 2 }, ask)
  traffic(good, 5000)
  judge(10_000)
  judge(20_000)
  assert.deepEqual([waiting.length, judge(20_000).action, woken()], [1, 'stay', 0])
  waiting.shift()?.(3)
  await new Promise(setImmediate)
  assert.deepEqual([judge(15_000).action, woken(), judge(15_000).metrics.map(({ name }) => name)], ['advance', 1, ['error-rate', 'queue']])
  for (const [now, action] of [[30_000, 'stay'], [40_000, 'abort']] as const) {
    judge(now)
    waiting.shift()?.(7)
    await new Promise(setImmediate)
    assert.equal(judge(now).action, action)
  }
})

test('without gates a step is not held up', () => {
  assert.equal(watch({ gates: [] }).judge(0).action, 'advance')
})

test('a candidate without a share is kept by no lack of requests, but by what its copies or testers show', () => {
  const mismatch: Gate = { name: 'mirror-mismatch', measure: { type: 'MirrorMismatch' }, bounds: { max: 0.05 } }
  const alone = watch()
  const preview = { ...alone.step, share: 0 }
  assert.equal(alone.analyst.judge(preview, 0).action, 'advance')
  assert.equal(alone.analyst.judge(preview, 10_000).action, 'advance')
  alone.traffic({ ...good, errors: 0.5 }, 300)
  alone.judge(10_000)
  assert.equal(alone.analyst.judge(preview, 20_000).action, 'abort')
  const copied = watch({ gates: [errorRate, mismatch] })
  const shadow = { ...copied.step, share: 0 }
  assert.deepEqual([copied.analyst.judge(shadow, 60_000).action, copied.analyst.judge(shadow, 60_000).metrics.map(({ name }) => name)], ['stay', ['mirror-mismatch']])
  copied.counts.canary.compared = 1000
  copied.judge(60_000)
  assert.equal(copied.analyst.judge(shadow, 70_000).action, 'advance')
})

test('what is known of a step goes with it', () => {
  const { judge, traffic, analyst, step, store } = watch()
  traffic(good, 5000)
  judge(10_000)
  analyst.keep([])
  assert.equal(store.sum(step).size, 0)
  assert.equal(analyst.judge(step, 20_000).verdict, 'no-data')
})

const rollout = { analysis: analysis({ gates: [errorRate, latency(99, { maxRatio: 1.2 }), latency(50, { maxRatio: 1.2 })] }), stable: good, rate: 1000, steps: [5, 25, 50].map((percent) => ({ percent, hold: 60_000 })) }

/** So few that the suite stays quick; `npm run bench:analysis` plays thousands. */
const seeds = Array.from({ length: 25 }, (_, i) => i + 1)

test('simulated: a candidate as good as stable reaches its target in the time that its steps take', () => {
  for (const seed of seeds) {
    const { outcome, total, judgement } = play({ ...rollout, candidate: good }, seed)
    assert.equal(outcome, 'completed', `seed ${seed}: ${judgement.why}`)
    assert.ok(total <= 190_000, `seed ${seed}: ${total} ms`)
  }
})

test('simulated: one that is twice as slow, or has 2 % more errors, does not get past its first step', () => {
  for (const seed of seeds) {
    for (const bad of [{ ...good, median: 0.1 }, { ...good, errors: 0.022 }]) {
      const { outcome, step, judgement } = play({ ...rollout, candidate: bad }, seed)
      assert.deepEqual([outcome, step], ['aborted', 1], `seed ${seed}: ${judgement.why}`)
    }
  }
})

test('simulated: one that begins to fail every fifth request at 25 % is aborted within one interval', () => {
  for (const seed of seeds) {
    const { outcome, step, inStep, judgement } = play({ ...rollout, candidate: { ...good, errors: 0.2 }, fromStep: 2, after: 30_000 }, seed)
    assert.deepEqual([outcome, step, inStep], ['aborted', 2, 40_000], `seed ${seed}: ${judgement.why}`)
  }
})
