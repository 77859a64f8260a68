import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLeastRequest } from './least_request.ts'
import { createRoundRobin } from './round_robin.ts'

const members = (...inFlight: number[]) => inFlight.map((count, id) => ({ id, inFlight: count }))

test('round robin takes turns, also across a table swap, and skips the one that failed', () => {
  const turn = { next: 0 }
  const three = members(0, 0, 0)
  const ids = Array.from({ length: 6 }, () => createRoundRobin(turn)(three)?.id)
  assert.deepEqual(ids, [0, 1, 2, 0, 1, 2])
  assert.equal(createRoundRobin(turn)(three, three.slice(0, 1))?.id, 1)
  assert.equal(createRoundRobin(turn)(three, three.slice(1))?.id, 0)
  assert.equal(createRoundRobin(turn)(three.slice(0, 1), three), undefined)
  assert.equal(createRoundRobin(turn)([]), undefined)
})

test('least request takes the idlest of few, and equals in turn', () => {
  const pick = createLeastRequest({ next: 0 })
  assert.equal(pick(members(3, 1, 2))?.id, 1)
  const even = members(0, 0, 0, 0)
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < 400; i++) counts[pick(even)!.id]!++
  assert.deepEqual(counts, [100, 100, 100, 100])
  assert.equal(pick(even.slice(0, 1), even), undefined)
})

test('least request of many never takes the busiest, and never the one that failed', () => {
  const pick = createLeastRequest({ next: 0 })
  const many = members(...Array.from({ length: 40 }, (_, i) => i === 7 ? 1000 : i % 3))
  for (let i = 0; i < 2000; i++) {
    assert.notEqual(pick(many)?.id, 7)
    assert.notEqual(pick(many, many.slice(3, 5))?.id, 3)
    assert.equal(pick(many, many.slice(1))?.id, 0)
  }
})
