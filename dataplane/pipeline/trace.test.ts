import assert from 'node:assert/strict'
import { test } from 'node:test'
import { traceOf } from './trace.ts'

const id = '4bf92f3577b34da6a3ce929d0e0e4736'
const parent = '00f067aa0ba902b7'
const of = (...values: string[]) => traceOf(values.flatMap((value) => ['traceparent', value]))

test('a trace is what its caller says, with the decision whether it is kept', () => {
  assert.deepEqual(of(`00-${id}-${parent}-01`), { id, parent, sampled: true })
  assert.deepEqual(of(`00-${id}-${parent}-00`), { id, parent, sampled: false })
  assert.deepEqual(of(`00-${id}-${parent}-02`), { id, parent, sampled: false }, 'other flags are not about that')
})

test('of a later version what this one knows is read', () => {
  assert.deepEqual(of(`cc-${id}-${parent}-01-what-the-future-will-be-like`), { id, parent, sampled: true })
  assert.deepEqual(of(`cc-${id}-${parent}-01`), { id, parent, sampled: true })
})

test('nothing is believed of what is not valid', () => {
  const wrong = [
    '', '00', `ff-${id}-${parent}-01`, `00-${'0'.repeat(32)}-${parent}-01`, `00-${id}-${'0'.repeat(16)}-01`, `00-${id.toUpperCase()}-${parent}-01`,
    `00-${id}-${parent}-01-more`, `00-${id}-${parent}-01.`, `cc-${id}-${parent}-01.more`, `00-${id}-${parent}-0x`, `00-${id}${parent}-01`, `0-${id}-${parent}-01`,
  ]
  for (const value of wrong) assert.equal(of(value), undefined, value)
  assert.equal(traceOf([]), undefined)
  assert.equal(of(`00-${id}-${parent}-01`, `00-${id}-${parent}-01`), undefined, 'two of them')
})
