import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendHostile } from '../dataplane/hostile-bodies.ts'

const count = 100_000

test(`${count} malformed bodies, checked and changed: no crash, no pollution, nothing that was to be kept from the model`, { timeout: 230_000 }, async (t) => {
  const seed = Date.now() % 1_000_000_000
  t.diagnostic(`seed ${seed}`)
  const told = await sendHostile(t, count, seed)
  t.diagnostic(JSON.stringify(Object.fromEntries(told)))
  assert.equal([...told.values()].reduce((sum, of) => sum + of, 0), count)
})
