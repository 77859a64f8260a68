import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { weighted } from './ensemble.ts'

const uncounted = (): void => {}

test('a list of numbers is weighed as each of its places is, to the last bit, and costs the same', () => {
  const lists = fc.integer({ min: 1, max: 3 }).chain((length) => fc.array(fc.array(fc.double(), { minLength: length, maxLength: length }), { minLength: 1, maxLength: 4 }))
  fc.assert(fc.property(lists, fc.double({ min: 0.1, max: 9, noNaN: true }), (answers, weight) => {
    const weights = answers.map((_, i) => weight + i)
    const places = answers[0]?.map((_, at) => weighted(answers.map((answer) => answer[at]), weights, uncounted))
    let values = 0
    assert.deepEqual(weighted(answers, weights, (more) => { values += more }), places)
    assert.equal(values, answers.length * 8 + answers.length * (places?.length ?? 0))
  }))
})

test('what is no number is none behind numbers either, and a whole number beyond JavaScript is one', () => {
  assert.throws(() => weighted([[1, 'x']], [1], uncounted), /no number/)
  assert.throws(() => weighted([[1, null], [1, 2]], [1, 1], uncounted), /no number/)
  assert.deepEqual(weighted([[1, 4n], [3, 2]], [1, 1], uncounted), [2, 3])
})
