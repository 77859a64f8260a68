import assert from 'node:assert/strict'
import { test } from 'node:test'
import { afterEnd } from './restart.ts'

test('a worker that ends young again and again is waited for longer each time, and one that lived is not', () => {
  const waits: number[] = []
  let failures = 0
  for (let n = 0; n < 8; n++) {
    const next = afterEnd(failures, 50)
    failures = next.failures
    waits.push(next.wait)
  }
  assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000])
  assert.deepEqual(afterEnd(failures, 60_000), { failures: 0, wait: 100 })
})
