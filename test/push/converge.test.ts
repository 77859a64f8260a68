import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import type { Active } from '../../dataplane/store.ts'
import { createStore } from '../../dataplane/store.ts'
import { converse } from '../../dataplane/receive/conversation.ts'
import { Publisher } from '../../controller/push/publish.ts'
import { linkPair } from '../../table/link.ts'
import { RESOURCES } from '../../table/resources.ts'
import type { Route } from '../../table/route.ts'
import { controller, proxy, relay, until } from './rig.ts'
import { endpointSet, fleet, fleets, route } from './table.ts'

const ids = (count: number) => Array.from({ length: count }, (_, i) => `team-${i % 7}/route-${i}`)

test('a fresh proxy gets the whole table, endpoints first, and is ready only then', async (t) => {
  const a = await controller()
  const p = proxy([a.url])
  t.after(() => Promise.all([p.close(), a.close()]))
  await until('connected', () => a.publisher.proxies().length === 1)
  assert.equal(p.store.ready, false)
  assert.equal(p.updates.length, 0, 'nothing is sent before the first publish')
  a.publisher.publish(fleets([route('ml/fraud')]))
  await until('ready', () => p.store.ready)
  const kinds = p.updates.map(({ type, resource }) => `${type} ${resource}`)
  assert.deepEqual(kinds, ['snapshot endpoints', 'snapshot credentials', 'snapshot secrets', 'snapshot routes'])
  assert.equal(p.activations.length, 1)
  assert.deepEqual(p.store.active?.routes.get('ml/fraud'), route('ml/fraud'))
  await until('acknowledged', () => a.publisher.proxies()[0]?.acked.size === 1)
  assert.deepEqual(a.publisher.proxies().map(({ since: _since, look: _look, ...view }) => view), [
    {
      node: 'proxy',
      gateway: 'default',
      subscribed: true,
      acked: a.publisher.hashes('default'),
      refused: new Map(),
      version: p.store.versions.routes,
    },
  ])
})

test('a proxy of a gateway that no route names gets an empty table, which is a complete one', async (t) => {
  const a = await controller()
  a.publisher.publish(fleets([route('ml/fraud')]))
  const p = proxy([a.url], { gateway: 'edge' })
  t.after(() => Promise.all([p.close(), a.close()]))
  await until('ready', () => p.store.ready)
  assert.equal(p.store.active?.routes.size, 0)
  a.publisher.publish(new Map([...fleets([route('ml/fraud')]), ['edge', fleet([route('ml/edge')])]]))
  await until('its first route', () => p.store.active?.routes.has('ml/edge') === true)
  a.publisher.publish(fleets([route('ml/fraud')]))
  await until('its gateway is gone', () => p.store.active?.routes.size === 0)
})

test('the same content again sends nothing, whatever the identity of its objects', async (t) => {
  const a = await controller()
  const wire = await relay(a.url)
  const p = proxy([wire.url], { timing: { ping: 60_000 } })
  t.after(() => Promise.all([p.close(), wire.close(), a.close()]))
  a.publisher.publish(fleets([route('ml/fraud')]))
  await until('ready', () => p.store.ready)
  const before = p.updates.length
  a.publisher.publish(fleets([route('ml/fraud')]))
  a.publisher.publish(fleets([route('ml/fraud'), route('ml/other')]))
  await until('the next change', () => p.store.active?.routes.size === 2)
  assert.equal(p.updates.length, before + 2)
})

test('an edit of one route in 1,000 costs no more than twice its bytes', async (t) => {
  const a = await controller({ pingMs: 60_000 })
  const wire = await relay(a.url)
  const p = proxy([wire.url], { timing: { ping: 60_000 } })
  t.after(() => Promise.all([p.close(), wire.close(), a.close()]))
  const routes = ids(1000).map((id) => route(id))
  a.publisher.publish(fleets(routes))
  await until('in force', () => a.publisher.proxies()[0]?.acked.size === 1000)
  const before = wire.bytes()
  const kept = p.store.active?.routes.get('team-1/route-1')
  const edited = route('team-0/route-0', 500_000)
  a.publisher.publish(fleets([edited, ...routes.slice(1)]))
  await until('sent', () => p.updates.length === RESOURCES.length + 1)
  await until('acknowledged', () => a.publisher.proxies()[0]?.version === p.store.versions.routes)
  const bytes = wire.bytes() - before
  const size = Buffer.byteLength(JSON.stringify(edited))
  assert.ok(bytes > size && bytes <= 2 * size, `${bytes} bytes went out for a route of ${size}`)
  assert.equal(p.store.active?.routes.get('team-1/route-1'), kept, 'an unchanged route keeps its identity')
})

test('a reconnect with the version in force sends no table, only a confirmation', async (t) => {
  const a = await controller()
  const wire = await relay(a.url)
  const p = proxy([wire.url])
  t.after(() => Promise.all([p.close(), wire.close(), a.close()]))
  a.publisher.publish(fleets(ids(50).map((id) => route(id))))
  await until('in force', () => p.store.ready)
  const [updates, activations] = [p.updates.length, p.activations.length]
  wire.cut()
  await until('confirmed', () => p.updates.length === updates + RESOURCES.length)
  for (const update of p.updates.slice(updates)) {
    assert.ok(update.type === 'delta' && update.base === update.version && update.upsert.length === 0)
  }
  assert.equal(p.activations.length, activations)
  await until('heard', () => a.publisher.proxies()[0]?.acked.size === 50 && a.publisher.proxies().length === 1)
})

test('a proxy that was away catches up with a delta, and with a snapshot once its base is forgotten', async (t) => {
  const a = await controller()
  const p = proxy([a.url])
  t.after(() => a.close())
  a.publisher.publish(fleets([route('ml/a'), route('ml/b')]))
  await until('in force', () => p.store.ready)
  await p.close()
  await until('gone', () => a.publisher.proxies().length === 0)

  const [controllerEnd, proxyEnd] = linkPair()
  a.publisher.publish(fleets([route('ml/a'), route('ml/c')]))
  const identity = { node: 'proxy', instance: 'x', gateway: 'default' }
  converse(proxyEnd, { store: p.store, identity, subscribe: true })
  a.publisher.accept(controllerEnd, true)
  await until('caught up', () => p.store.active?.routes.has('ml/c') === true)
  assert.equal(p.updates.at(-1)?.type, 'delta')
  assert.deepEqual([...(p.store.active?.routes.keys() ?? [])].sort(), ['ml/a', 'ml/c'])
  proxyEnd.close()
  await until('gone', () => a.publisher.proxies().length === 0)

  for (let i = 0; i < 40; i++) a.publisher.publish(fleets([route('ml/a', i)]))
  const [againController, againProxy] = linkPair()
  converse(againProxy, { store: p.store, identity, subscribe: true })
  a.publisher.accept(againController, true)
  await until('caught up', () => p.store.active?.routes.size === 1)
  assert.equal(p.updates.at(-1)?.type, 'snapshot')
})

test('a restarted controller takes proxies over without sending what they have', async (t) => {
  const first = await controller()
  const port = Number(new URL(first.url).port)
  const table = ids(20).map((id) => route(id))
  first.publisher.publish(fleets(table))
  const p = proxy([first.url])
  await until('in force', () => p.store.ready)
  await first.close()
  const sent = p.updates.length
  const second = await controller({ port })
  t.after(() => Promise.all([p.close(), second.close()]))
  await until('connected', () => second.publisher.proxies().length === 1)
  assert.equal(p.updates.length, sent, 'not a word before it has read its sources')
  assert.equal(p.store.active?.routes.size, 20)
  second.publisher.publish(fleets(structuredClone(table)))
  await until('acknowledged', () => second.publisher.proxies()[0]?.acked.size === 20)
  assert.equal(p.activations.length, 1)
})

test('a refused route keeps its last good version, says so, and heals with new content', async (t) => {
  const a = await controller()
  const p = proxy([a.url])
  t.after(() => Promise.all([p.close(), a.close()]))
  const publish = (...routes: unknown[]) => a.publisher.publish(fleets(routes as ReturnType<typeof route>[], []))
  publish(route('ml/a'), route('ml/b'))
  await until('in force', () => a.publisher.proxies()[0]?.acked.size === 2)
  const good = a.publisher.hashes('default').get('ml/a')

  publish({ ...route('ml/a', 1), batching: { maxSize: 32 } }, route('ml/b', 2))
  await until('refused', () => a.publisher.proxies()[0]?.refused.size === 1)
  const view = a.publisher.proxies()[0]
  assert.match(view?.refused.get('ml/a') ?? '', /batching/)
  assert.equal(view?.acked.get('ml/a'), good)
  assert.equal(view?.acked.get('ml/b'), a.publisher.hashes('default').get('ml/b'))
  assert.equal(p.store.active?.routes.get('ml/a')?.rules[0]?.variants[0]?.weight, 900_000)
  assert.equal(p.store.active?.routes.get('ml/b')?.rules[0]?.variants[0]?.weight, 2)
  const sent = p.updates.length

  publish({ ...route('ml/a', 1), batching: { maxSize: 32 } }, route('ml/b', 3))
  await until('the other goes on', () => p.store.active?.routes.get('ml/b')?.rules[0]?.variants[0]?.weight === 3)
  assert.equal(p.updates.length, sent + 1)
  const last = p.updates.at(-1)
  assert.ok(last?.type === 'delta' && last.upsert.length === 1, 'what was refused is not sent again')
  await until('still refused', () => a.publisher.proxies()[0]?.version === p.store.versions.routes)
  assert.equal(a.publisher.proxies()[0]?.refused.size, 1)

  publish(route('ml/a', 7), route('ml/b', 3))
  await until('healed', () => a.publisher.proxies()[0]?.refused.size === 0)
  assert.equal(p.store.active?.routes.get('ml/a')?.rules[0]?.variants[0]?.weight, 7)
  assert.deepEqual(a.publisher.proxies()[0]?.acked, a.publisher.hashes('default'))
})

test('no table in force ever names an endpoint set that it does not hold', async (t) => {
  const a = await controller()
  const dangling: string[] = []
  const p = proxy([a.url], {
    activate(next) {
      for (const { rules } of next.routes.values()) {
        for (const { target } of rules.flatMap(({ variants }) => variants)) {
          if (target.kind === 'endpoints' && !next.endpoints.has(target.set)) dangling.push(target.set)
        }
      }
      return []
    },
  })
  t.after(() => Promise.all([p.close(), a.close()]))
  const tables = [['ml/a', 'ml/b'], ['ml/b', 'ml/c'], ['ml/d'], ['ml/a', 'ml/d'], ['ml/c']]
  for (const table of tables) {
    a.publisher.publish(fleets(table.map((id) => route(id))))
    const [first = ''] = table
    await until('in force', () => p.store.active?.routes.has(first) === true)
    await until('acknowledged', () => a.publisher.proxies()[0]?.acked.size === table.length)
    await until('settled', () => p.store.active?.endpoints.size === 2 * table.length)
  }
  assert.deepEqual(dangling, [])
})

test('whatever is published, dropped and reconnected, every proxy ends at what was published last', async () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('publish' as const),
        routes: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { maxLength: 8 }),
        weight: fc.integer({ min: 0, max: 3 }),
      }),
    },
    fc.record({ kind: fc.constant('drop' as const), proxy: fc.integer({ min: 0, max: 2 }) }),
    fc.record({ kind: fc.constant('restart' as const), proxy: fc.integer({ min: 0, max: 2 }) }),
    fc.record({ kind: fc.constant('controller' as const) }),
    fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 6 }) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      let publisher = new Publisher()
      let last = fleets([])
      const links: { close(): void }[] = []
      const three = ({ rules }: Route) => rules[0]?.variants[0]?.weight === 3
      const activate = (next: Active) => [...next.routes.values()].filter(three).map(({ id }) => ({ id, message: '3' }))
      const store = () => createStore({ activate })
      const stores = [store(), store(), store()]
      const connect = (index: number) => {
        links[index]?.close()
        const [controllerEnd, proxyEnd] = linkPair()
        publisher.accept(controllerEnd, true)
        const identity = { node: `proxy-${index}`, instance: `${index}`, gateway: 'default' }
        converse(proxyEnd, { store: stores[index] ?? store(), identity, subscribe: true })
        links[index] = proxyEnd
      }
      const turns = async (count: number) => {
        for (let i = 0; i < count; i++) await Promise.resolve()
      }
      for (const index of [0, 1, 2]) connect(index)
      for (const each of steps) {
        if (each.kind === 'publish') {
          last = fleets(each.routes.map((n) => route(`ml/r${n}`, each.weight + (n % 2))))
          publisher.publish(last)
        } else if (each.kind === 'drop') {
          connect(each.proxy)
        } else if (each.kind === 'restart') {
          stores[each.proxy] = store()
          connect(each.proxy)
        } else if (each.kind === 'controller') {
          publisher.close()
          publisher = new Publisher()
          for (const index of [0, 1, 2]) connect(index)
          publisher.publish(last)
        } else {
          await turns(each.count)
        }
      }
      publisher.publish(last)
      await turns(400)
      const hashes = publisher.hashes('default')
      const views = publisher.proxies()
      assert.deepEqual(views.map(({ node }) => node), ['proxy-0', 'proxy-1', 'proxy-2'])
      for (const [index, view] of views.entries()) {
        const active = stores[index]?.active
        assert.equal(active?.version, stores[index]?.versions.routes)
        for (const [id, hash] of hashes) {
          const item = last.get('default')?.routes.get(id)
          const refused = item?.rules[0]?.variants[0]?.weight === 3
          assert.equal(view.refused.has(id), refused, `${id} is refused`)
          if (refused) continue
          assert.equal(view.acked.get(id), hash)
          assert.deepEqual(active?.routes.get(id), item)
        }
        for (const id of active?.routes.keys() ?? []) assert.ok(hashes.has(id), `${id} was removed`)
        assert.deepEqual(active?.endpoints, last.get('default')?.endpoints)
      }
      publisher.close()
    }),
    { numRuns: 150 },
  )
})

test('endpoints change without touching a route', async (t) => {
  const a = await controller()
  const p = proxy([a.url])
  t.after(() => Promise.all([p.close(), a.close()]))
  const routes = [route('ml/a')]
  a.publisher.publish(fleets(routes, [endpointSet('ml/a:80', '10.0.0.1'), endpointSet('ml/a:81')]))
  await until('in force', () => p.store.ready)
  const before = p.store.active
  a.publisher.publish(fleets(routes, [endpointSet('ml/a:80', '10.0.0.9'), endpointSet('ml/a:81')]))
  await until('moved', () => p.store.active?.endpoints.get('ml/a:80')?.endpoints[0]?.address === '10.0.0.9')
  assert.equal(p.store.active?.routes.get('ml/a'), before?.routes.get('ml/a'))
  assert.equal(p.store.active?.endpoints.get('ml/a:81'), before?.endpoints.get('ml/a:81'))
  assert.equal(p.updates.length, RESOURCES.length + 1)
})
