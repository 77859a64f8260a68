import assert from 'node:assert/strict'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { PerformanceObserver } from 'node:perf_hooks'
import { test } from 'node:test'
import { setImmediate as turnOver } from 'node:timers/promises'
import { boundYoung, madeBuffers } from './garbage.ts'

const young = () => (getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0) / 1_048_576

let alive: unknown[] = []

/** Makes objects of which many are alive at once, until it is so large, or so many are made. */
function work(size: number, count: number): void {
  for (let i = 0; i < count && (i % 10_000 !== 0 || young() < size); i++) {
    alive.push({ i, list: [i] })
    if (alive.length > 100_000) alive = []
  }
}

test('what objects are made in stays small while all of it is used, whatever is alive', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  t.after(() => setFlagsFromString('--semi-space-growth-factor=2'))
  boundYoung()
  // A burst of turns of the event loop, each a small part of what fits: no second passes in it.
  for (let turn = 0; turn < 1000; turn++) {
    work(Number.POSITIVE_INFINITY, 5000)
    await turnOver()
  }
  const large = young()
  assert.ok(large >= 16 && large < 64, `${large} MiB`)
  // Nor in one long turn, from then on.
  work(Number.POSITIVE_INFINITY, 2_000_000)
  assert.equal(young(), large)
  // Only this was in the way.
  setFlagsFromString('--semi-space-growth-factor=2')
  work(large + 1, 20_000_000)
  assert.ok(young() > large)
})

test('buffers that are made for what is soon over are collected among the young', async () => {
  let collections = 0
  const observer = new PerformanceObserver((list) => { collections += list.getEntries().length })
  observer.observe({ type: 'gc' })
  const size = 65_536
  const before = process.memoryUsage().arrayBuffers
  for (let made = 0; made < 1000; made++) {
    Buffer.allocUnsafeSlow(size)
    madeBuffers(size)
    await turnOver()
  }
  observer.disconnect()
  assert.ok(collections >= 15, `${collections} collections`)
  assert.ok(process.memoryUsage().arrayBuffers - before < 500 * size)
})
