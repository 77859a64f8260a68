import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linkPair } from '../../table/link.ts'
import { encode, SCHEMA, type FromProxy, type Update } from '../../table/messages.ts'
import { hashOf, versionOf } from '../../table/version.ts'
import { fleet, route } from '../../test/push/table.ts'
import { createRuntime } from '../runtime.ts'
import { createStore } from '../store.ts'
import { converse } from './conversation.ts'
import { createLine } from './line.ts'

test('what is in line is done in its order, at once where nothing is under way', async () => {
  const line = createLine()
  const done: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const say = (what: string) => () => void done.push(what)
  line.join(say('a'))
  assert.deepEqual(done, ['a'])
  line.join(() => promise.then(say('b')))
  line.join(say('c'))
  line.join(() => Promise.resolve().then(say('d')))
  line.join(() => {
    line.join(say('f'))
    done.push('e')
    return undefined
  })
  assert.deepEqual(done, ['a'])
  resolve()
  await new Promise(setImmediate)
  assert.deepEqual(done, ['a', 'b', 'c', 'd', 'e', 'f'])
  line.join(say('g'))
  assert.equal(done.at(-1), 'g')
})

test('a large table is built while others have their turn, and what comes meanwhile is built upon it', async () => {
  const runtime = createRuntime()
  const store = createStore({ activate: runtime.activate, prepare: runtime.prepare })
  const [controller, proxy] = linkPair()
  const answers: FromProxy[] = []
  let turns = 0
  const acked = new Promise<void>((resolve) => controller.onMessage((message) => {
    answers.push(message)
    if (message.type === 'ack' && message.version === after) resolve()
  }))
  const table = fleet(Array.from({ length: 500 }, (_, i) => route(`ml/r${i}`)))
  const version = (items: Iterable<{ id: string }>) => versionOf(new Map([...items].map((item) => [item.id, hashOf(item)])))
  const snapshot = (resource: 'endpoints' | 'routes', items: readonly { id: string }[]): Update => ({ type: 'snapshot', schema: SCHEMA, resource, version: version(items), items: [...items] })
  const edited = route('ml/r7', 1)
  const base = version(table.routes.values())
  const after = version(new Map(table.routes).set('ml/r7', edited).values())
  converse(proxy, { store, identity: { node: 'n', instance: 'i', gateway: 'default' }, subscribe: true })
  controller.send(encode(snapshot('endpoints', [...table.endpoints.values()])))
  controller.send(encode(snapshot('routes', [...table.routes.values()])))
  controller.send(encode<Update>({ type: 'delta', schema: SCHEMA, resource: 'routes', base, version: after, upsert: [edited], remove: [] }))
  const count = (): void => {
    if (store.ready) return
    turns++
    setImmediate(count)
  }
  count()
  await acked
  assert.ok(turns > 3, `${turns} turns`)
  assert.deepEqual(answers.slice(1).map((each) => each.type === 'ack' && each.version), [version(table.endpoints.values()), base, after])
  assert.deepEqual(store.active?.routes.get('ml/r7'), edited)
  assert.equal(store.active?.routes.size, 500)
  assert.equal(store.retry(), undefined)
  await runtime.close()
})
