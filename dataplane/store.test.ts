import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { endpointSet, fleet, route } from '../test/push/table.ts'
import { recorder } from '../test/push/rig.ts'
import type { Refusal, Update } from '../table/messages.ts'
import { RESOURCES, type Resource } from '../table/resources.ts'
import { hashOf, versionOf } from '../table/version.ts'
import type { Active } from './store.ts'
import { createStore } from './store.ts'

type Item = { id: string }

const version = (items: readonly Item[]) => versionOf(new Map(items.map((item) => [item.id, hashOf(item)])))

function snapshot(resource: Resource, items: readonly Item[]): Update {
  return { type: 'snapshot', schema: 1, resource, version: version(items), items: [...items] }
}

function delta(resource: Resource, from: readonly Item[], to: readonly Item[]): Update {
  const before = new Map(from.map((item) => [item.id, item]))
  const upsert = to.filter((item) => before.get(item.id) !== item)
  const after = new Set(to.map(({ id }) => id))
  const remove = from.filter(({ id }) => !after.has(id)).map(({ id }) => id)
  return { type: 'delta', schema: 1, resource, base: version(from), version: version(to), upsert, remove }
}

function fixture(refuse: (next: Active) => readonly Refusal[] = () => []) {
  const activations: Active[] = []
  const notes = recorder()
  const store = createStore({
    log: notes.log,
    activate(next) {
      activations.push(next)
      return refuse(next)
    },
  })
  return { store, activations, notes }
}

const sets = [...fleet([route('ml/a'), route('ml/b')]).endpoints.values()]

test('nothing is put in force before both resources are there', () => {
  const { store, activations } = fixture()
  const answer = store.handle(snapshot('endpoints', sets))
  assert.deepEqual(answer, { type: 'ack', resource: 'endpoints', version: version(sets), refused: [] })
  assert.equal(store.ready, false)
  assert.equal(activations.length, 0)
  assert.equal(store.confirmedAt, undefined)
  store.handle(snapshot('routes', []))
  assert.equal(store.ready, true)
  assert.equal(activations.length, 1)
})

test('a route that could not be built is built again when it can be, whatever came meanwhile', () => {
  let lacking = true
  const { store, activations } = fixture((next) => lacking && next.routes.get('ml/a')?.generation === 2 ? [{ id: 'ml/a', message: 'no plugin' }] : [])
  const newer = { ...route('ml/a'), generation: 2 }
  store.handle(snapshot('endpoints', sets))
  store.handle(snapshot('routes', [route('ml/a')]))
  assert.equal(store.retry(), undefined)
  store.handle(snapshot('routes', [newer]))
  store.handle(snapshot('endpoints', sets.slice(1)))
  assert.equal(store.active?.routes.get('ml/a')?.generation, 1)
  assert.deepEqual(store.retry(), { type: 'ack', resource: 'routes', version: version([newer]), refused: [{ id: 'ml/a', message: 'no plugin' }] })
  const tried = activations.at(-1)?.routes.get('ml/a')
  lacking = false
  assert.deepEqual(store.retry(), { type: 'ack', resource: 'routes', version: version([newer]), refused: [] })
  // One that did not change would not be built again.
  assert.notEqual(activations.at(-1)?.routes.get('ml/a'), tried)
  assert.equal(store.active?.routes.get('ml/a')?.generation, 2)
  assert.equal(store.retry(), undefined)

  lacking = true
  const third = { ...newer, created: '2026-02-02T00:00:00Z' }
  store.handle(snapshot('routes', [third]))
  store.handle(snapshot('routes', [route('ml/a')]))
  assert.equal(store.retry(), undefined)
})

test('an unchanged item keeps its identity through a snapshot, so that nothing is built again', () => {
  const { store } = fixture()
  store.handle(snapshot('endpoints', sets))
  store.handle(snapshot('routes', [route('ml/a'), route('ml/b')]))
  const before = store.active
  store.handle(snapshot('routes', [route('ml/a'), route('ml/b', 1)]))
  assert.equal(store.active?.routes.get('ml/a'), before?.routes.get('ml/a'))
  assert.notEqual(store.active?.routes.get('ml/b'), before?.routes.get('ml/b'))
  assert.equal(store.active?.endpoints, before?.endpoints)
})

for (const [what, spoil, why] of [
  ['another base', { base: 'f'.repeat(32) }, /the base is ffff/],
  ['a version that its content does not come to', { version: '0'.repeat(32) }, /what is held comes to/],
  ['a lost removal', { remove: [] }, /what is held comes to/],
  ['an item twice', { upsert: [route('ml/c'), route('ml/c')] }, /ml\/c is there twice/],
  ['an item without an id', { upsert: [{ tenant: 'x' }] }, /no id/],
  ['an item that is no object', { upsert: ['ml/c'] }, /no id/],
  ['a schema from the future', { schema: 2 }, /schema 2 is not known here: this proxy reads 1/],
] as const) {
  test(`a delta with ${what} changes nothing and asks for a snapshot`, () => {
    const { store, activations } = fixture()
    const [before, after] = [[route('ml/a'), route('ml/b')], [route('ml/a'), route('ml/c')]]
    store.handle(snapshot('endpoints', sets))
    store.handle(snapshot('routes', before))
    const [table, versions] = [store.active, store.versions]
    const answer = store.handle(Object.assign(delta('routes', before, after), structuredClone(spoil)))
    assert.equal(answer.type, 'resync')
    assert.ok(answer.type === 'resync')
    assert.match(answer.why, why)
    assert.equal(store.active, table)
    assert.deepEqual(store.versions, versions)
    assert.equal(activations.length, 1)
    assert.equal(store.handle(snapshot('routes', after)).type, 'ack', 'a snapshot heals it')
  })
}

test('a bad item refuses only itself: a new one is left out, a changed one stays as it was', () => {
  const { store } = fixture()
  store.handle(snapshot('endpoints', sets))
  store.handle(snapshot('routes', [route('ml/a', 1), route('ml/b', 1)]))
  const variants = [{ name: 'x', weight: 2_000_000 }]
  const bad = { ...route('ml/a', 2), rules: [{ ...route('ml/a').rules[0], variants }] }
  const fresh = { ...route('ml/c'), surprise: true }
  const answer = store.handle(snapshot('routes', [bad, route('ml/b', 2), fresh]))
  assert.ok(answer.type === 'ack')
  assert.deepEqual(answer.refused.map(({ id }) => id).sort(), ['ml/a', 'ml/c'])
  assert.match(answer.refused.find(({ id }) => id === 'ml/a')?.message ?? '', /rules\.0\.variants\.0\./)
  assert.match(answer.refused.find(({ id }) => id === 'ml/c')?.message ?? '', /surprise/)
  assert.deepEqual(store.active?.routes.get('ml/a'), route('ml/a', 1))
  assert.deepEqual(store.active?.routes.get('ml/b'), route('ml/b', 2))
  assert.equal(store.active?.routes.has('ml/c'), false)
  assert.deepEqual(store.acks[1], answer, 'another controller hears the same')
  const again = store.handle(snapshot('routes', [bad, route('ml/b', 2), fresh]))
  assert.deepEqual(again, answer, 'the same again is refused again')

  const removed = store.handle(snapshot('routes', [route('ml/b', 2)]))
  assert.deepEqual(removed, { type: 'ack', resource: 'routes', version: version([route('ml/b', 2)]), refused: [] })
  const left = [...(store.active?.routes.keys() ?? [])]
  assert.deepEqual(left, ['ml/b'], 'a removed route goes, its last good version too')
})

test('a bad endpoint set keeps the last good one', () => {
  const { store } = fixture()
  store.handle(snapshot('endpoints', [endpointSet('ml/a:80', '10.0.0.1')]))
  store.handle(snapshot('routes', []))
  const answer = store.handle(snapshot('endpoints', [{ id: 'ml/a:80', endpoints: [{ address: '', port: 0 }] } as Item]))
  assert.ok(answer.type === 'ack')
  assert.equal(answer.refused.length, 1)
  assert.equal(store.active?.endpoints.get('ml/a:80')?.endpoints[0]?.address, '10.0.0.1')
})

test('a route that cannot be built is refused like one that cannot be read', () => {
  const refused = [{ id: 'ml/a', message: 'thirteen' }]
  const thirteen = (next: Active) => next.routes.get('ml/a')?.rules[0]?.variants[0]?.weight === 13
  const { store, activations } = fixture((next) => (thirteen(next) ? refused : []))
  store.handle(snapshot('endpoints', sets))
  const good = [route('ml/a', 1), route('ml/b', 1)]
  const bad = [route('ml/a', 13), route('ml/b', 1)]
  store.handle(snapshot('routes', good))
  const last = store.active?.routes.get('ml/a')
  const answer = store.handle(delta('routes', good, bad))
  assert.deepEqual(answer, { type: 'ack', resource: 'routes', version: version(bad), refused })
  assert.equal(store.active?.routes.get('ml/a'), last)
  const next = [...bad.slice(0, 1), route('ml/b', 2)]
  const again = store.handle(delta('routes', bad, next))
  assert.deepEqual(again, { type: 'ack', resource: 'routes', version: version(next), refused })
  assert.equal(activations.at(-1)?.routes.get('ml/a'), last, 'the last good one is what goes on being asked for')
})

test('a table that cannot be put in force at all leaves the last one, and does not throw', () => {
  let broken = false
  const { store, notes } = fixture(() => {
    if (broken) throw new Error('a bug')
    return []
  })
  store.handle(snapshot('endpoints', sets))
  store.handle(snapshot('routes', [route('ml/a', 1)]))
  const [table, versions] = [store.active, store.versions]
  broken = true
  assert.equal(store.handle(snapshot('routes', [route('ml/a', 2)])).type, 'resync')
  assert.equal(store.active, table)
  assert.deepEqual(store.versions, versions)
  assert.match(notes.text(), /a bug/)
  broken = false
  assert.equal(store.handle(snapshot('routes', [route('ml/a', 2)])).type, 'ack')
})

test('endpoints that are gone stay while the old routes are in force, and go with them', () => {
  const { store, activations } = fixture()
  const [a, b] = [route('ml/a'), route('ml/b')]
  const setsOf = (id: string) => sets.filter((set) => set.id.startsWith(id))
  store.handle(snapshot('endpoints', setsOf('ml/a')))
  store.handle(snapshot('routes', [a]))
  store.handle(snapshot('endpoints', setsOf('ml/b')))
  assert.deepEqual([...(store.active?.endpoints.keys() ?? [])].sort(), ['ml/a:80', 'ml/a:81', 'ml/b:80', 'ml/b:81'])
  store.handle(delta('routes', [a], [b]))
  assert.deepEqual([...(store.active?.endpoints.keys() ?? [])].sort(), ['ml/b:80', 'ml/b:81'])
  assert.equal(activations.length, 3)

  store.handle(snapshot('endpoints', setsOf('ml/a')))
  assert.equal(store.active?.endpoints.size, 4)
  store.handle(delta('routes', [b], [b]))
  const left = [...(store.active?.endpoints.keys() ?? [])].sort()
  assert.deepEqual(left, ['ml/a:80', 'ml/a:81'], 'the controller says that its routes stay')
})

test('a confirmation puts nothing in force again, but tells how fresh the table is', () => {
  let now = 1000
  let activations = 0
  const store = createStore({ activate: () => ((activations += 1), []), now: () => now })
  store.handle(snapshot('endpoints', []))
  store.handle(snapshot('routes', [route('ml/a')]))
  assert.equal(store.confirmedAt, 1000)
  now = 2000
  assert.equal(store.handle(delta('routes', [route('ml/a')], [])).type, 'ack')
  now = 3000
  store.handle(delta('routes', [], []))
  assert.equal(store.confirmedAt, 3000)
  assert.equal(activations, 2)
  now = 4000
  store.confirm()
  assert.equal(store.confirmedAt, 4000)
})

test('losing more than half of many routes is done, because it may be meant, and warned of', () => {
  const { store, notes } = fixture()
  const many = Array.from({ length: 10 }, (_, i) => route(`ml/r${i}`))
  store.handle(snapshot('endpoints', []))
  store.handle(snapshot('routes', many))
  store.handle(snapshot('routes', many.slice(0, 5)))
  assert.equal(notes.lines.length, 0)
  store.handle(snapshot('routes', many))
  store.handle(snapshot('routes', many.slice(0, 4)))
  assert.equal(store.active?.routes.size, 4)
  assert.match(notes.text(), /more than half of the routes are gone .*"before":10,"after":4/)
})

test('items named like parts of an object are items like others', () => {
  const { store } = fixture()
  const odd = ['__proto__', 'constructor', 'toString'].map((id) => route(id))
  store.handle(snapshot('endpoints', []))
  const taken = store.handle(snapshot('routes', odd))
  assert.deepEqual(taken, { type: 'ack', resource: 'routes', version: version(odd), refused: [] })
  assert.deepEqual([...(store.active?.routes.keys() ?? [])], odd.map(({ id }) => id))
  const text = JSON.stringify(route('ml/a')).replace('"tenant"', '"__proto__":{"x":1},"tenant"')
  const smuggled: unknown = JSON.parse(text)
  const answer = store.handle(snapshot('routes', [smuggled as Item]))
  assert.ok(answer.type === 'ack')
  assert.equal(Reflect.get({}, 'x'), undefined)
  const held = store.active?.routes.get('ml/a')
  assert.ok(held === undefined || !Object.hasOwn(held, '__proto__'))
})

test('an item too deep to read does not bring the proxy down', () => {
  const { store } = fixture()
  store.handle(snapshot('endpoints', []))
  store.handle(snapshot('routes', [route('ml/a')]))
  const deep: unknown = JSON.parse(`${'{"id":"x","rules":['.repeat(20_000)}${']}'.repeat(20_000)}`)
  const answer = store.handle({ type: 'snapshot', schema: 1, resource: 'routes', version: 'x', items: [deep] })
  assert.equal(answer.type, 'resync')
  assert.equal(store.active?.routes.size, 1)
})

test('whatever arrives, it answers, and what is in force is what it claims', () => {
  const id = fc.constantFrom('ml/a', 'ml/b', 'ml/c')
  const item = fc.oneof(
    fc.tuple(id, fc.integer({ min: 0, max: 2 })).map(([name, weight]) => route(name, weight)),
    fc.record({ id, junk: fc.jsonValue() }),
    fc.jsonValue(),
  )
  const update = fc.record({
    type: fc.constantFrom('snapshot', 'delta'),
    resource: fc.constantFrom<Resource>(...RESOURCES),
    items: fc.array(item, { maxLength: 4 }),
    remove: fc.array(fc.constantFrom('ml/a', 'ml/b'), { maxLength: 2 }),
    honest: fc.boolean(),
    schema: fc.constantFrom(1, 1, 1, 2),
  })
  fc.assert(
    fc.property(fc.array(update, { maxLength: 12 }), (updates) => {
      const { store } = fixture()
      for (const { type, resource, items, remove, honest, schema } of updates) {
        const named = items.filter((each): each is Item => typeof each === 'object' && each !== null && 'id' in each)
        const claimed = honest ? version(named) : 'made up'
        const before = store.active
        const base = store.versions[resource] ?? 'none'
        const answer = store.handle(
          type === 'snapshot'
            ? { type, schema, resource, version: claimed, items }
            : { type: 'delta', schema, resource, base, version: claimed, upsert: items, remove },
        )
        if (answer.type === 'resync') assert.equal(store.active, before)
        else assert.equal(store.versions[resource], claimed)
        for (const [id, each] of store.active?.routes ?? []) assert.equal(each.id, id)
      }
    }),
    { numRuns: 500 },
  )
})
