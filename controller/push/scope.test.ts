import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changedMap } from '../../table/changes.ts'
import { route } from '../../test/push/table.ts'
import { perResource, type Share } from '../../table/resources.ts'
import { createScope } from './scope.ts'

const table = (...ids: string[]): Share => ({ ...perResource<Share>(() => new Map()), routes: new Map(ids.map((id) => [id, route(id)])) })

test('the share of a namespace follows what comes, changes and goes of it, and is the same where nothing of it did', () => {
  const scope = createScope('ml')
  const first = table('ml/a', 'ml/b', 'shop/c')
  const share = scope(first)
  assert.deepEqual([...share.routes.keys()], ['ml/a', 'ml/b'])
  const elsewhere = { ...first, routes: changedMap(first.routes, [['shop/c', route('shop/c', 1)], ['shop/d', route('shop/d')]]) }
  assert.equal(scope(elsewhere).routes, share.routes)
  const edited = { ...first, routes: changedMap(elsewhere.routes, [['ml/a', undefined], ['ml/b', route('ml/b', 1)], ['ml/e', route('ml/e')]]) }
  assert.deepEqual([...scope(edited).routes].map(([id, item]) => [id, item === edited.routes.get(id)]), [['ml/b', true], ['ml/e', true]])
  // Of a table that says nothing of how it differs too, and of one that is empty.
  assert.deepEqual([...scope(table('ml/a', 'shop/c')).routes.keys()], ['ml/a'])
  assert.equal(scope(table()).routes.size, 0)
})
