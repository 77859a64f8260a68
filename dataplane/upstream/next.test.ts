import assert from 'node:assert/strict'
import { test } from 'node:test'
import { variant } from '../../test/dataplane/table.ts'
import { createNext } from './next.ts'

const built = (variants: readonly { name: string }[]) => variants.map(({ name }) => name)

test('the others of a priority come first, the largest first; then those of the next; what has no weight never', () => {
  const variants = [
    variant('canary', 's', { weight: 50_000 }), variant('stable', 's', { weight: 900_000 }), variant('beta', 's', { weight: 50_000 }),
    variant('shadow', 's', { weight: 0 }), variant('backup', 's', { priority: 1 }), variant('off', 's', { priority: 1, weight: 0 }),
    variant('last', 's', { priority: 7 }),
  ]
  const next = createNext(variants, built(variants), {})
  const order = ['canary']
  for (let name = next?.(order); name !== undefined; name = next?.(order)) order.push(name)
  assert.deepEqual(order, ['canary', 'stable', 'beta', 'backup', 'last'])
})

test('one priority has no fallbacks', () => {
  const variants = [variant('a', 's', { weight: 500_000 }), variant('b', 's', { weight: 500_000 })]
  assert.equal(createNext(variants, built(variants), {}), undefined)
})

test('the first of a priority is chosen by weight, exactly, also across tables; a look takes no turn', () => {
  const variants = [variant('a', 's'), variant('b', 's', { priority: 1, weight: 750_000 }), variant('c', 's', { priority: 1, weight: 250_000 })]
  const state = {}
  const counts = new Map<string, number>()
  for (let i = 0; i < 100; i++) {
    const next = createNext(variants, built(variants), state)
    const looked = next?.(['a'], true)
    const name = next?.(['a']) ?? ''
    assert.equal(name, looked)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  assert.deepEqual([counts.get('b'), counts.get('c')], [75, 25])
})
