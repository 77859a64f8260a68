import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendHostile } from './hostile-bodies.ts'

test('no body, however broken, does more than fail: nothing unfit or sensitive reaches the model', { timeout: 200_000 }, async (t) => {
  const told = await sendHostile(t, 400, 1)
  assert.ok((told.get(200) ?? 0) > 20 && (told.get(400) ?? 0) > 20 && (told.get(422) ?? 0) > 20, JSON.stringify([...told]))
})
