import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { randomFrom } from '../../../test/rollout/simulation.ts'
import { LATENCY_BOUNDS } from '../../../table/delivery.ts'
import { latencyBucket } from '../../../table/measurements.ts'
import { mean, speed } from './mean.ts'
import { lowerProportion, proportion, refuting, upperProportion } from './proportion.ts'
import { quantile } from './quantile.ts'

const near = (value: number, expected: number, tolerance: number) => {
  assert.ok(Math.abs(value - expected) <= tolerance * Math.abs(expected), `${value} is not ${expected}`)
}

/** The mixture as it stands in the comment, put down as plainly as can be. */
function evidence(k: number, n: number, p: number, sign: number): number {
  const shifts = Array.from({ length: 10 }, (_, i) => sign * 0.02 * 2 ** i)
  return shifts.map((shift) => Math.exp(k * shift - n * Math.log(1 - p + p * Math.exp(shift)))).reduce((a, b) => a + b) / shifts.length
}

test('bounds of a proportion are where the evidence against them is 1/alpha', () => {
  for (const [k, n, alpha] of [[10, 100, 0.05], [3, 1000, 0.01], [50, 60, 0.001], [500, 10_000, 1e-4]] as const) {
    near(evidence(k, n, lowerProportion(k, n, alpha), 1), 1 / alpha, 0.01)
    near(evidence(k, n, upperProportion(k, n, alpha), -1), 1 / alpha, 0.01)
  }
})

test('bounds of a proportion are wider than those for one look, by what looking again and again costs', () => {
  // Clopper and Pearson, one-sided, 95 %.
  for (const [k, n, low, high] of [[10, 100, 0.0553, 0.1637], [0, 100, 0, 0.0295], [100, 1000, 0.0848, 0.117]] as const) {
    const sequence = proportion(k, n)
    assert.ok(sequence.low(0.05) <= low && sequence.low(0.05) >= low - (sequence.value - low), `low of ${k}/${n}: ${sequence.low(0.05)}`)
    assert.ok(sequence.high(0.05) >= high && sequence.high(0.05) <= high + (high - sequence.value), `high of ${k}/${n}: ${sequence.high(0.05)}`)
  }
})

test('bounds of a proportion keep to their order, with any numbers', () => {
  fc.assert(fc.property(fc.nat(1e9), fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0.05, 1e-3, 1e-9), (n, share, alpha) => {
    const { value, low, high } = proportion(n * share, n)
    assert.ok(low(alpha) >= 0 && low(alpha) <= value + 1e-12 && value <= high(alpha) + 1e-12 && high(alpha) <= 1, `${low(alpha)} ${value} ${high(alpha)}`)
    assert.ok(low(alpha / 10) <= low(alpha) + 1e-9 && high(alpha / 10) >= high(alpha) - 1e-9)
  }), { numRuns: 300, examples: [[112_061_288, 8.635529253318529e-8, 0.05]] })
})

test('bounds of a rare thing are of its own size', () => {
  const { value, low, high } = proportion(10, 1e8)
  assert.ok(low(0.05) > value / 10 && high(0.05) < value * 10, `${low(0.05)} ${value} ${high(0.05)}`)
  assert.ok(proportion(0, 1e8).high(0.05) < 1e-6, String(proportion(0, 1e8).high(0.05)))
})

test('nothing measured refutes nothing', () => {
  assert.deepEqual([lowerProportion(0, 0, 0.05), upperProportion(0, 0, 0.05), refuting(0.01, 0, 0.05, 1), refuting(0.01, 100, 0.01, -1)], [0, 1, undefined, undefined])
})

/** In how many of so many runs a truth is ever outside of its bounds, looked at again and again. */
function everOutside(runs: number, run: (random: () => number) => boolean): number {
  let outside = 0
  for (let seed = 1; seed <= runs; seed++) if (run(randomFrom(seed))) outside++
  return outside / runs
}

test('however often one looks, the truth is ever outside of a bound with at most the probability that was given', () => {
  const rate = everOutside(1000, (random) => {
    let events = 0
    for (let n = 1; n <= 2000; n++) {
      if (random() < 0.03) events++
      if (n % 50 === 0 && lowerProportion(events, n, 0.05) > 0.03) return true
    }
    return false
  })
  assert.ok(rate <= 0.05 && rate > 0.001, `proportion: ${rate}`)
  const skewed = everOutside(500, (random) => {
    const moments = { count: 0, sum: 0, squares: 0 }
    for (let n = 1; n <= 2000; n++) {
      const value = -Math.log(1 - random())
      moments.count++
      moments.sum += value
      moments.squares += value * value
      if (n >= 100 && n % 50 === 0 && mean(moments).high(0.05) < 1) return true
    }
    return false
  })
  assert.ok(skewed <= 0.05, `mean of exponential values: ${skewed}`)
  const late = everOutside(500, (random) => {
    const buckets = new Float64Array(LATENCY_BOUNDS.length + 1)
    for (let n = 1; n <= 2000; n++) {
      const bucket = latencyBucket(0.01 + random())
      buckets[bucket] = (buckets[bucket] ?? 0) + 1
      if (n % 100 === 0 && quantile(buckets, 95).low(0.05) > 0.96) return true
    }
    return false
  })
  assert.ok(late <= 0.05, `percentile of even values: ${late}`)
})

test('a percentile is found in the histogram to a part of its bucket, and its bounds close in on it', () => {
  const buckets = new Float64Array(LATENCY_BOUNDS.length + 1)
  for (let i = 0; i < 100_000; i++) {
    // 10 ms to 1 s, evenly on a logarithmic scale.
    const bucket = latencyBucket(0.01 * 100 ** ((i + 0.5) / 100_000))
    buckets[bucket] = (buckets[bucket] ?? 0) + 1
  }
  for (const percentile of [1, 50, 95, 99]) {
    const truth = 0.01 * 100 ** (percentile / 100)
    const { n, value, low, high } = quantile(buckets, percentile)
    assert.equal(n, 100_000)
    near(value, truth, 0.01)
    assert.ok(low(1e-3) < truth && truth < high(1e-3) && high(1e-3) / low(1e-3) < 1.1, `${low(1e-3)} ${truth} ${high(1e-3)}`)
  }
})

test('too few latencies leave a percentile open above, and those beyond every bucket are endless', () => {
  const buckets = new Float64Array(LATENCY_BOUNDS.length + 1)
  assert.deepEqual([quantile(buckets, 99).value, quantile(buckets, 99).high(0.01)], [0, Infinity])
  buckets[100] = 300
  assert.equal(quantile(buckets, 99).high(0.01), Infinity)
  buckets[LATENCY_BOUNDS.length] = 100_000
  assert.equal(quantile(buckets, 50).value, Infinity)
})

test('bounds of a mean are wider than a normal interval and of its size, and those of a constant are it', () => {
  const spread = { count: 1000, sum: 5000, squares: 26_000 }
  const { value, low, high } = mean(spread)
  // A standard deviation of 1, a normal interval of ±1.645/√1000 = 0.052 (95 %, one-sided).
  assert.equal(value, 5)
  assert.ok(low(0.05) < 5 - 0.052 && low(0.05) > 5 - 0.052 * 2.2, String(low(0.05)))
  near(high(0.05) - 5, 5 - low(0.05), 1e-9)
  assert.deepEqual([mean({ count: 10, sum: 30, squares: 90 }).low(0.01), mean({ count: 1, sum: 3, squares: 9 }).low(0.01)], [3, -Infinity])
  for (const moments of [{ count: 5, sum: 1e200, squares: 1e300 }, { count: 5, sum: 1e308, squares: Infinity }, { count: 3, sum: Infinity, squares: 0 }]) {
    assert.ok(!Number.isNaN(mean(moments).low(0.01)) || mean(moments).n === 0)
  }
})

test('a speed is the sum by the sum, and its bounds know that long answers take long', () => {
  const tokens = { count: 0, sum: 0, squares: 0, seconds: 0, secondsSquares: 0, products: 0 }
  const random = randomFrom(7)
  for (let i = 0; i < 5000; i++) {
    const written = 10 + Math.floor(random() * 1000)
    const seconds = written / 50 * (0.9 + 0.2 * random())
    tokens.count++
    tokens.sum += written
    tokens.squares += written * written
    tokens.seconds += seconds
    tokens.secondsSquares += seconds * seconds
    tokens.products += written * seconds
  }
  const { value, low, high } = speed(tokens)
  near(value, 50, 0.01)
  assert.ok(low(0.01) < 50 && 50 < high(0.01) && high(0.01) - low(0.01) < 1, `${low(0.01)} ${high(0.01)}`)
  assert.equal(speed({ ...tokens, count: 0, seconds: 0 }).n, 0)
})
