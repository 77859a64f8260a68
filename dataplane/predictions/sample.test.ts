import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Trace } from '../pipeline/trace.ts'
import { isSampled } from './sample.ts'

const ids = Array.from({ length: 20_000 }, (_, i) => `request-${i}`)
const trace = (id: string, parent = '00f067aa0ba902b7'): Trace => ({ id, parent, sampled: false })

test('as many are chosen as are asked for, the same ones each time, and more of a larger share', () => {
  const chosen = (percent: number) => new Set(ids.filter((requestId) => isSampled({ trace: undefined, requestId }, percent)))
  const [ten, thirty] = [chosen(10), chosen(30)]
  assert.ok(Math.abs(ten.size - 2000) < 200 && Math.abs(thirty.size - 6000) < 300, `${ten.size} ${thirty.size}`)
  assert.deepEqual(chosen(10), ten)
  assert.deepEqual([...ten].filter((id) => !thirty.has(id)), [])
  assert.equal(chosen(100).size, ids.length)
})

test('of a trace all is chosen or nothing, and one that begins here says nothing', () => {
  const some = (by: Trace) => ids.slice(0, 100).filter((requestId) => isSampled({ trace: by, requestId }, 50)).length
  for (const id of ids.slice(0, 20)) assert.ok([0, 100].includes(some(trace(id.padEnd(32, 'a')))))
  assert.equal(some(trace('a'.repeat(32), '')), ids.slice(0, 100).filter((requestId) => isSampled({ trace: undefined, requestId }, 50)).length)
})
