import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newRequestId } from './drawn.ts'

test('ids are random UUIDs, and each comes once', () => {
  const ids = new Set<string>()
  const seen = Array.from({ length: 36 }, () => new Set<string>())
  // Several draws.
  for (let i = 0; i < 5000; i++) {
    const id = newRequestId()
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    ids.add(id)
    for (let at = 0; at < id.length; at++) seen[at]?.add(id.charAt(at))
  }
  assert.equal(ids.size, 5000)
  // Every other digit may be any.
  assert.deepEqual(seen.map(({ size }) => size), 'xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx'.split('').map((one) => (one === 'x' ? 16 : one === 'y' ? 4 : 1)))
})
