import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRegexCheck } from './regexes.ts'

test('a regular expression of a megabyte is refused without being compiled', () => {
  assert.match(createRegexCheck()('a'.repeat(1_000_000)) ?? '', /1000000 characters; 4096 are allowed/)
})

test('what backtracking engines choke on is fine in RE2', () => {
  assert.equal(createRegexCheck()('(a+)+$'), undefined)
})

test('look-around and back-references are refused', () => {
  const check = createRegexCheck()
  for (const pattern of ['(?=a)', '(?!a)', '(?<=a)', String.raw`(a)\1`, '(', '[', 'a**']) {
    assert.match(check(pattern) ?? '', /RE2/, pattern)
  }
})

test('a route has an allowance of regular expressions, and repeats cost nothing', () => {
  const check = createRegexCheck()
  const pattern = 'x|'.repeat(2000)
  for (let round = 0; round < 100; round++) assert.equal(check(pattern), undefined)
  const verdicts = ['a', 'b', 'c', 'd'].map((letter) => check(`${letter}|`.repeat(2000)))
  assert.deepEqual(verdicts.slice(0, 3), [undefined, undefined, undefined])
  assert.match(verdicts[3] ?? '', /split the route/)
})
