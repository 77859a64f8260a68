import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lookForCrossings } from './crossing.ts'

/** `npm run test:load test/load/cache.e2e.ts` asks a million times. */
test('of many requests of many callers, none is given an answer that is another one\'s', { timeout: 200_000 }, async (t) => {
  const { requests, hits, calls, crossings } = await lookForCrossings(t, 2500, 64)
  assert.deepEqual(crossings, [])
  assert.ok(hits > requests / 20 && calls > 100, `${hits} hits, ${calls} calls`)
})
