import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import * as fc from 'fast-check'
import { changedMap, differences, differsIn, knownDifference } from './changes.ts'
import { hashOf, versionOf, type Hashes } from './version.ts'

/** As it is defined, and as every release computes it. */
const defined = (hashes: Hashes) =>
  createHash('sha256').update([...hashes].map(([id, hash]) => `${id}\n${hash}\n`).sort().join('')).digest('hex').slice(0, 32)

const edit = fc.tuple(fc.integer({ min: 0, max: 300 }), fc.option(fc.nat(3), { freq: 3 }))

test('a version that is worked out from the one before is that of all its items', () => {
  fc.assert(fc.property(fc.array(fc.array(edit, { minLength: 1, maxLength: 4 }), { maxLength: 40 }), fc.nat(250), (rounds, size) => {
    let now: Hashes = new Map(Array.from({ length: size }, (_, i) => [`ml/${i}`, hashOf(i)]))
    let last: Hashes | undefined
    for (const round of rounds) {
      assert.equal(versionOf(now, last), defined(now))
      last = now
      now = changedMap(now, round.map(([i, value]) => [`ml/${i}`, value === null ? undefined : hashOf(value)] as const))
    }
    assert.equal(versionOf(now, last), defined(now))
  }), { numRuns: 100 })
})

test('a version is right also after one that came to nothing, and where nothing is known of the one before', () => {
  const first = new Map([['a', '1'], ['b', '2']])
  versionOf(first)
  const failed = changedMap(first, [['a', '9']])
  versionOf(failed, first)
  const second = changedMap(first, [['b', '3']])
  assert.equal(versionOf(second, first), defined(second))
  const stranger = new Map([['c', '1']])
  assert.equal(versionOf(stranger, second), defined(stranger))
  assert.equal(versionOf(second, stranger), defined(second))
})

test('what is known of two maps is told without looking at them, over several steps, and else they are compared', () => {
  const first = new Map([['a', 1], ['b', 2], ['c', 3]])
  const second = changedMap(first, [['a', 5]])
  const third = changedMap(second, [['b', undefined], ['d', 4]])
  assert.deepEqual([...knownDifference(first, third) ?? []].sort(), ['a', 'b', 'd'])
  assert.deepEqual([...third], [['a', 5], ['c', 3], ['d', 4]])
  assert.equal(knownDifference(third, first), undefined)
  assert.deepEqual([...differences(third, first)].sort(), ['a', 'b', 'd'])
  const told = differsIn(new Map([['z', 1]]), third, new Set(['z']))
  assert.deepEqual([...differences(third, told)], ['z'], 'it is believed')
  assert.equal(changedMap(first, []), first)
})
