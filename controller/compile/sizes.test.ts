import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileSizeLimits, parseSize } from './sizes.ts'

test('a size is bytes, decimal or binary, and never more than a number can hold exactly', () => {
  const sizes: readonly (readonly [number | string, number | null])[] = [
    [1, 1], ['1', 1], ['1k', 1000], ['2M', 2_000_000], ['1G', 1_000_000_000], ['1Ki', 1024], ['32Mi', 33_554_432], ['1Gi', 1_073_741_824],
    [0, null], [1.5, null], [-1, null], ['0', null], ['', null], ['1KB', null], ['1m', null], ['1e3', null], [' 1', null],
    ['999999999999999Gi', null],
  ]
  for (const [size, bytes] of sizes) assert.equal(parseSize(size), bytes, JSON.stringify(size))
})

test('a size that cannot be read is named by its place', () => {
  const problems: { field: string }[] = []
  assert.deepEqual(compileSizeLimits({ request: '32Mi', response: '999999999999999Gi' }, 'spec.rules[0].sizeLimits', problems as never), {
    request: 33_554_432,
  })
  assert.deepEqual(problems.map(({ field }) => field), ['spec.rules[0].sizeLimits.response'])
  assert.equal(compileSizeLimits(undefined, '', []), undefined)
  assert.equal(compileSizeLimits({}, '', []), undefined)
})
