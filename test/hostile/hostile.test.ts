import assert from 'node:assert/strict'
import { test } from 'node:test'
import { templates } from './bodies.ts'
import { attack, startRig } from './rig.ts'

test('no malformed body stops the proxy, or changes what objects are made of', { timeout: 200_000 }, async (t) => {
  const rig = await startRig(t, 1)
  const { statuses, bugs, changed } = await attack(rig, 400, 1)
  assert.deepEqual([bugs, changed], [[], []])
  assert.ok([...statuses.keys()].length > 3, JSON.stringify([...statuses]))
  for (const { grpc, ...template } of templates) assert.notEqual(await rig.ask({ ...template, rule: 'looked', grpc: grpc === true }), 'broken')
})
