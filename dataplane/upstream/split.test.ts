import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { createSplitter, type SplitState } from './split.ts'

const run = (weights: readonly number[], count: number, state: SplitState = { owed: undefined }) => {
  const split = createSplitter(weights.map((weight, i) => ({ name: `v${i}`, weight })), state)
  return Array.from({ length: count }, () => split())
}

test('90/10 over 500 requests is 450 ± 1, from wherever the counting starts', () => {
  const chosen = run([900_000, 100_000], 5000)
  for (let start = 0; start + 500 <= chosen.length; start++) {
    const stable = chosen.slice(start, start + 500).filter((i) => i === 0).length
    assert.ok(Math.abs(stable - 450) <= 1, `${stable} from ${start}`)
  }
})

test('every prefix of every split is within one request of its quota', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 2, maxLength: 8 }), (parts) => {
    const total = parts.reduce((sum, part) => sum + part, 0)
    fc.pre(total > 0)
    const counts = parts.map(() => 0)
    for (const [n, choice] of run(parts, 400).entries()) {
      counts[choice ?? 0]!++
      for (const [i, part] of parts.entries()) {
        const off = Math.abs(counts[i]! - ((n + 1) * part) / total)
        assert.ok(off < 1 + 1e-6, `share ${i} of ${parts.join('/')} is off by ${off} after ${n + 1}`)
      }
    }
  }), { numRuns: 300 })
})

test('a share of no weight is never chosen, and none is when all are nothing', () => {
  assert.ok(!run([1_000_000, 0], 1000).includes(1))
  assert.deepEqual(run([0, 0], 3), [undefined, undefined, undefined])
  assert.deepEqual(run([], 1), [undefined])
})

test('a table swap in the middle of a split loses and doubles no turn', () => {
  const state: SplitState = { owed: undefined }
  const chosen = Array.from({ length: 500 }, () => run([900_000, 100_000], 1, state)[0])
  assert.ok(Math.abs(chosen.filter((i) => i === 0).length - 450) <= 1)
})

test('a weight edit takes effect at once and keeps exactness from there', () => {
  const state: SplitState = { owed: undefined }
  run([900_000, 100_000], 137, state)
  const after = run([500_000, 500_000], 100, state)
  assert.ok(Math.abs(after.filter((i) => i === 0).length - 50) <= 1)
  assert.ok(!run([0, 1_000_000], 50, state).includes(0))
})
