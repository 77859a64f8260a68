import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createShedder } from './overload.ts'

/** Of a hundred requests. */
const shareOf = ({ shed }: ReturnType<typeof createShedder>) => Array.from({ length: 100 }, shed).filter(Boolean).length

test('nothing is shed while the loop is late for a moment only, however late', () => {
  const shedder = createShedder()
  for (let now = 0; now < 20_000; now += 1000) {
    shedder.look(900, now)
    shedder.look(5, now + 500)
    assert.equal(shareOf(shedder), 0)
  }
})

test('nothing is shed by a process that was stopped, for however long, and goes on', () => {
  const shedder = createShedder()
  shedder.look(0, 0)
  for (let now = 3000; now < 30_000; now += 3000) {
    shedder.look(2950, now)
    assert.equal(shareOf(shedder), 0)
    shedder.look(0, now + 50)
  }
})

test('what could be left out is left out for a while after a moment of lateness', () => {
  const shedder = createShedder()
  shedder.look(10, 1000)
  assert.equal(shedder.busy(1001), false)
  shedder.look(60, 2000)
  assert.deepEqual([shedder.busy(2001), shedder.busy(2499), shedder.busy(2500)], [true, true, false])
})

test('what lasts is shed in growing shares, never all of it, and no longer once the loop keeps up', () => {
  const shedder = createShedder()
  shedder.look(0, 0)
  shedder.look(400, 500)
  assert.equal(shareOf(shedder), 0)
  shedder.look(400, 1000)
  assert.equal(shareOf(shedder), 10)
  shedder.look(400, 1500)
  assert.equal(shareOf(shedder), 20)
  for (let now = 2000; now < 20_000; now += 500) shedder.look(400, now)
  assert.equal(shareOf(shedder), 90)
  let shares = 0
  for (let now = 20_000; now < 21_000; now += 50) {
    shedder.look(1, now)
    shares += shareOf(shedder)
  }
  assert.ok(shares > 0, 'not all at once')
  assert.equal(shareOf(shedder), 0)
})

test('a process that is late from its beginning sheds nothing at first', () => {
  const shedder = createShedder()
  for (const now of [5000, 5400, 5800]) shedder.look(400, now)
  assert.equal(shareOf(shedder), 0)
  shedder.look(400, 6200)
  assert.equal(shareOf(shedder), 10)
})
