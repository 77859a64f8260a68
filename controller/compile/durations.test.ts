import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDuration } from './durations.ts'

const good: readonly [string, number][] = [
  ['0s', 0],
  ['250ms', 250],
  ['1h30m', 5_400_000],
  ['1h2m3s4ms', 3_723_004],
  ['99999h', 359_996_400_000],
  ['1m1ms', 60_001],
]

test('durations of GEP-2257 in milliseconds', () => {
  for (const [text, milliseconds] of good) assert.equal(parseDuration(text), milliseconds, text)
})

test('what GEP-2257 does not know is no duration', () => {
  for (const text of ['', '1', 's', '1.5s', '-1s', '1d', '100000s', '1s1s1s1s1s', '1s ', '1S']) {
    assert.equal(parseDuration(text), null, text)
  }
})
