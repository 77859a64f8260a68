import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLimiter } from '../limits/create.ts'
import type { Take } from '../limits/limiter.ts'
import { relayedLimiter, relayTo } from './relay.ts'

const take = (more: Partial<Take> = {}): Take => ({
  key: 'k', algorithm: { type: 'FixedWindow', window: 86_400_000 }, amount: 10, units: 1, hold: false, scope: 'Local', shadow: false,
  onStoreFailure: 'Local', ...more,
})

/** A primary and its workers, with what they say on its way as clones. */
function setUp(workers: number) {
  const counting = createLimiter()
  return Array.from({ length: workers }, () => {
    const worker = relayedLimiter((message) => primary.hear(structuredClone(message)))
    const primary = relayTo(counting, (message) => worker.hear(structuredClone(message)))
    return { limiter: worker.limiter, gone: primary.gone }
  })
}

test('however many workers ask, they are let have what there is, and no more', async () => {
  const workers = setUp(3)
  let allowed = 0
  await Promise.all(Array.from({ length: 30 }, async (_, n) => {
    if ((await workers[n % 3]?.limiter.take('ml', [take()]))?.allowed) allowed++
  }))
  assert.equal(allowed, 10)
})

test('what one worker gives back another can have; what a dead one had reserved is given back', async () => {
  const [one, two] = setUp(2)
  assert.ok(one && two)
  const running = take({ algorithm: { type: 'Concurrency' }, amount: 1, hold: true })
  const first = await one.limiter.take('ml', [running])
  assert.equal(first.allowed, true)
  assert.equal((await two.limiter.take('ml', [running])).allowed, false)
  one.limiter.settle(first)
  const second = await two.limiter.take('ml', [running])
  assert.equal(second.allowed, true)
  two.gone()
  assert.equal((await one.limiter.take('ml', [running])).allowed, true)
})

test('a reservation is settled by what it came to', async () => {
  const [one] = setUp(1)
  assert.ok(one)
  const tokens = take({ units: 8, hold: true })
  const decision = await one.limiter.take('ml', [tokens])
  one.limiter.settle(decision, [3])
  assert.equal((await one.limiter.take('ml', [take({ units: 7 })])).allowed, true)
  assert.equal((await one.limiter.take('ml', [take()])).allowed, false)
})
