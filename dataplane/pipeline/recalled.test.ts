import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recalled } from './recalled.ts'

test('what is asked for again is not worked out again, also beside thousands of others; long texts are not kept', () => {
  let worked = 0
  const length = recalled((text) => {
    worked++
    return text.length
  })
  assert.deepEqual([length('abc'), length('abc'), worked], [3, 3, 1])
  for (let i = 0; i < 10_000; i++) {
    length(`other ${i}`)
    length('abc')
  }
  assert.equal(worked, 10_001)
  const long = 'x'.repeat(1000)
  assert.deepEqual([length(long), length(long), worked], [1000, 1000, 10_003])
})

test('a value that is none is remembered too', () => {
  let worked = 0
  const nothing = recalled(() => void worked++)
  assert.deepEqual([nothing('a'), nothing('a'), worked], [undefined, undefined, 1])
})
