import assert from 'node:assert/strict'
import { test } from 'node:test'
import { active, route } from '../../test/dataplane/table.ts'
import type { Active } from '../store.ts'
import { changeBetween, changed } from './change.ts'

const over = (change: ReturnType<typeof changeBetween>) => structuredClone(change)

test('a worker that applies what changed has what the primary has, and builds only what is new', () => {
  const [a, b, c] = ['ml/a', 'ml/b', 'ml/c'].map((id) => route({ id }))
  assert.ok(a && b && c)
  const tables: Active[] = [
    active('1', [], {}),
    active('2', [a, b], { 's': [1] }),
    active('3', [a, b, c], { 's': [1, 2], 't': [3] }),
    active('4', [c, { ...a, generation: 2 }], { 't': [3] }),
    active('5', [], {}),
  ]
  let before: Active | undefined
  let held: Active | undefined
  for (const next of tables) {
    const change = over(changeBetween(before, next))
    const last = held
    held = changed(held, change)
    assert.deepEqual(held.routes, next.routes)
    assert.deepEqual(held.endpoints, next.endpoints)
    assert.equal(held.version, next.version)
    for (const [id, item] of next.routes) {
      if (before?.routes.get(id) === item) assert.equal(held.routes.get(id), last?.routes.get(id), `${id} is the same object`)
    }
    before = next
  }
})

test('an edit of one route among many is all that travels', () => {
  const routes = Array.from({ length: 1000 }, (_, n) => route({ id: `ml/${n}` }))
  const one = active('1', routes, {})
  const edited = routes.map((each, n) => (n === 7 ? { ...each, generation: 2 } : each))
  const { maps } = changeBetween(one, { ...active('2', edited, {}), endpoints: one.endpoints })
  assert.deepEqual([...maps['routes']?.set.keys() ?? []], ['ml/7'])
  assert.deepEqual(maps['routes']?.removed, [])
  assert.equal(maps['endpoints']?.set.size, 0)
})
