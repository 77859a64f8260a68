import assert from 'node:assert/strict'
import test from 'node:test'
import { pauseBefore } from './backoff.ts'

test('each pause is longer than the one before, up to the longest, and at least half of what it may be', () => {
  assert.deepEqual([0, 1, 2, 5, 100, 1e6].map((failures) => pauseBefore(failures, 200, 5_000, () => 0)), [100, 200, 400, 2_500, 2_500, 2_500])
  assert.deepEqual([0, 1, 2, 5].map((failures) => pauseBefore(failures, 200, 5_000, () => 1)), [200, 400, 800, 5_000])
})

test('two hundred proxies that lose their controller at once do not come back at once', () => {
  const times = Array.from({ length: 200 }, () => pauseBefore(1, 200, 5_000)).sort((a, b) => a - b)
  // Of a twentieth of the time there are ten on average; forty come by chance once in more than 10^12 fleets.
  for (let from = 200; from < 400; from += 10) assert.ok(times.filter((time) => time >= from && time < from + 10).length < 40, `from ${from} ms on`)
})
