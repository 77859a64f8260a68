import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Allowance } from './allowance.ts'

test('an allowance grows with time, to its most and no further, and what was used before it was there is paid back', () => {
  let now = 1000
  const allowance = new Allowance(100, 120, () => now)
  assert.deepEqual([allowance.take(80), allowance.take(80), allowance.take(40), allowance.take(1)], [true, false, true, false])
  now += 500
  assert.equal(allowance.left, 50)
  allowance.owe(150)
  assert.equal(allowance.left, -100)
  now += 1000
  assert.deepEqual([allowance.left, allowance.take(1)], [0, false])
  now += 60_000
  assert.equal(allowance.left, 120)
})
