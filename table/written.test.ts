import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { written } from './written.ts'

/** The text, and how often others could have gone first. */
function all(value: unknown): { text: string; pauses: number } {
  const writing = written(value)
  for (let pauses = 0; ; pauses++) {
    const { done, value: text } = writing.next()
    if (done === true) return { text, pauses }
  }
}

/** Of the given length, with values between that the small ones are among. */
const long = (value: unknown, length: number) => Array.from({ length }, (_, at) => at % 3 === 0 ? at / 7 : value)

test('it is what JSON.stringify writes, of whatever shape and size', () => {
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), fc.nat(20_000), (a, b, length) => {
    for (const value of [a, long(a, length), { a, list: long(b, length), b }, [long(a, length), b, long(b, length)], Object.fromEntries(long(a, length).entries())]) {
      assert.equal(all(value).text, JSON.stringify(value))
    }
  }), { numRuns: 30 })
})

for (const [what, value] of [
  ['numbers', Array.from({ length: 100_000 }, Math.sin)],
  ['rows of numbers', Array.from({ length: 20_000 }, (_, at) => [at, 1, 2, 3])],
  ['numbers in a list of one', [[Array.from({ length: 100_000 }, Math.sin)]]],
  ['members', Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`x${at}`, at]))],
] as const) test(`others may go first again and again while 100,000 ${what} are written`, () => {
  const { text, pauses } = all({ value })
  assert.equal(text, JSON.stringify({ value }))
  assert.ok(pauses >= 19, `${pauses}`)
})

test('what is small is written at once', () => {
  assert.deepEqual(all({ x: Array.from({ length: 1000 }, () => 0.5) }).pauses, 0)
})
