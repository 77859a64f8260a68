import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { percent, shares, WHOLE } from './weights.ts'

const weight = fc.integer({ min: 0, max: 1_000_000 })

test('shares add up to exactly one million and stay within one millionth of their due', () => {
  fc.assert(
    fc.property(fc.array(weight, { minLength: 1, maxLength: 16 }), (weights) => {
      const sum = weights.reduce((total, each) => total + each, 0)
      const found = shares(weights)
      if (sum === 0) return assert.equal(found, null)
      assert.ok(found)
      assert.equal(
        found.reduce((total, each) => total + each, 0),
        WHOLE,
      )
      for (const [at, each] of weights.entries()) {
        const share: number = found[at] ?? -1
        assert.ok(Math.abs(share - (each * WHOLE) / sum) < 1)
        if (each === 0) assert.equal(share, 0)
      }
    }),
    { numRuns: 300 },
  )
})

test('percent is written without noise', () => {
  assert.deepEqual([950_000, 333_333, 1, 0, WHOLE].map(percent), ['95', '33.3333', '0.0001', '0', '100'])
})
