import assert from 'node:assert/strict'
import { test } from 'node:test'
import { holds, inTime, watchMachine, type Machine } from './machine.ts'

const calm: Machine = { others: 0.01, late: 1, longest: 5 }
const noisy: Machine = { others: 0.5, late: 1, longest: 5 }

/** A claim that is looked at in windows of these machines, and holds in the window `good`. */
async function tried(machines: readonly Machine[], good = -1): Promise<Readonly<{ windows: number; told: readonly string[] }>> {
  const told: string[] = []
  let windows = 0
  await holds({ diagnostic: (text) => told.push(text) }, {
    measure: () => Promise.resolve(windows++), fault: (window) => window === good ? undefined : `window ${window}`, windows: machines.length,
  }, () => () => machines[windows - 1] ?? calm)
  return { windows, told }
}

test('a claim about time is at an end once it holds, fails by two calm windows, and is told of where none could show it', async () => {
  assert.deepEqual(await tried([noisy, calm, calm], 1), { windows: 2, told: [] })
  await assert.rejects(tried([calm, noisy, calm, calm]), /window 0 .*window 1 \(others had 50 %.*window 2 /)
  const { windows, told: [told = ''] } = await tried([noisy, calm, noisy])
  assert.equal(windows, 3)
  assert.match(told, /^not shown on this machine: window 0 .*window 2 /)
})

test('what is seen once counts on a calm machine', () => {
  const told: string[] = []
  const t = { diagnostic: (text: string) => told.push(text) }
  inTime(t, 'it', 5, 10, calm)
  inTime(t, 'it', 20, 10, calm)
  assert.deepEqual(told, [])
  inTime(t, 'it', 25, 10, noisy)
  assert.equal(told.length, 1)
  assert.throws(() => inTime(t, 'it', 25, 10, calm), /it: 25 ms, and at most 10 \(others had 1 %/)
})

test('a machine is seen to hold this process up', () => {
  const end = watchMachine()
  const until = performance.now() + 40
  while (performance.now() < until);
  assert.ok(end().longest >= 30)
})
