import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Remote } from '../../redis.ts'
import type { Take } from '../limiter.ts'
import { createStore } from './store.ts'

const take: Take = {
  key: 'ml/tiers/gold FixedWindow', algorithm: { type: 'FixedWindow', window: 'month' }, amount: 10, units: 1, hold: false,
  scope: 'Global', shadow: false, onStoreFailure: 'Local',
}
const never = () => new Promise<never>(() => {})

test('who asked a server of a cluster that is gone, and whose keys are another one\'s before the error comes, is answered all the same', { timeout: 200_000 }, async () => {
  let server = 'first:6379'
  let fail: (error: Error) => void = () => {}
  const remote: Remote = {
    call: () => new Promise((_, reject) => { fail = reject }), get: never, set: never, append: never, probe: never,
    serverOf: () => server, peer: () => '', begun: Promise.resolve(), close: () => {},
  }
  const said: string[] = []
  const store = createStore({ connect: () => remote, patience: 10_000, fleet: 'default', say: (_, __, fields) => said.push(String(fields?.['server'])) })
  const asked = store.take('ml', [take])
  await new Promise((resolve) => { setImmediate(resolve) })
  server = 'second:6379'
  fail(new Error('Connection is closed.'))
  assert.equal((await asked).by, 'failure')
  assert.deepEqual(said, ['first:6379'])
  // The other is not asked before it was told.
  const next = store.take('ml', [take])
  assert.ok(!(next instanceof Promise))
  assert.equal(next.by, 'failure')
  await store.close()
})
