import assert from 'node:assert/strict'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { test } from 'node:test'
import { boundYoung } from './garbage.ts'

const young = () => (getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0) / 1_048_576

/** Makes objects of which many are alive at once, until it is so large, or so many are made. */
function work(size: number, count: number): void {
  let alive: unknown[] = []
  for (let i = 0; i < count && (i % 10_000 !== 0 || young() < size); i++) {
    alive.push({ i, list: [i] })
    if (alive.length > 100_000) alive = []
  }
}

test('what objects are made in grows no more once it is large, whatever is alive', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  t.after(() => setFlagsFromString('--semi-space-growth-factor=2'))
  boundYoung()
  work(16, 20_000_000)
  const large = young()
  assert.ok(large >= 16 && large < 64, `${large} MiB`)
  t.mock.timers.tick(1000)
  work(Number.POSITIVE_INFINITY, 3_000_000)
  assert.equal(young(), large)
  // Only this was in the way.
  setFlagsFromString('--semi-space-growth-factor=2')
  work(large + 1, 20_000_000)
  assert.ok(young() > large)
})
