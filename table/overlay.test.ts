import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { overlaid } from './overlay.ts'

const sorted = (entries: Iterable<[string, number]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1))
const key = fc.integer({ min: 0, max: 700 }).map(String)
const change = fc.tuple(key, fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }))

test('a map with changes is what a copy with them would be, however many follow each other, and those before stay what they were', () => {
  fc.assert(fc.property(fc.array(fc.array(change, { maxLength: 12 }), { maxLength: 12 }), fc.constantFrom(3, 300, 640), (rounds, size) => {
    const copy = new Map(Array.from({ length: size }, (_, i) => [String(i), 10]))
    let map: ReadonlyMap<string, number> = new Map(copy)
    const past: [ReadonlyMap<string, number>, [string, number][]][] = []
    for (const round of rounds) {
      past.push([map, sorted(copy)])
      map = overlaid(map, new Map(round))
      for (const [id, value] of new Map(round)) {
        if (value === undefined) copy.delete(id)
        else copy.set(id, value)
      }
      assert.equal(map.size, copy.size)
      assert.deepEqual(sorted(map), sorted(copy))
      for (const [id] of round) assert.deepEqual([map.get(id), map.has(id)], [copy.get(id), copy.has(id)])
    }
    for (const [before, entries] of past) assert.deepEqual(sorted(before), entries)
    const each: [string, number][] = []
    map.forEach((value, id) => each.push([id, value]))
    assert.deepEqual(each, [...map])
    assert.deepEqual([...map.keys()].map((id, at) => [id, [...map.values()][at]]), [...map])
  }), { numRuns: 40 })
})

test('a large map is not copied for a change, and changes do not pile up', () => {
  let map: ReadonlyMap<string, number> = new Map(Array.from({ length: 5000 }, (_, i) => [String(i), 0]))
  let copies = 0
  for (let i = 1; i <= 1000; i++) {
    map = overlaid(map, new Map([[String(i), i]]))
    if (map instanceof Map) copies++
  }
  assert.equal([...map.values()].filter((value) => value > 0).length, 1000)
  assert.ok(copies > 0 && copies < 10, `${copies} copies for 1,000 changes`)
})
