import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { EndpointSet } from '../table/endpoints.ts'
import type { Route } from '../table/route.ts'
import { active, match, route, rule, variant } from '../test/dataplane/table.ts'
import type { Matchable } from './pipeline/match.ts'
import { createRuntime, type Runtime } from './runtime.ts'
import { atOnce } from './sliced.ts'
import type { Active } from './store.ts'
import { Upstreams } from './upstream/pool.ts'

const asked = (path: string): Matchable =>
  ({ method: 'GET', host: '', path, clientAddress: '192.0.2.1', header: () => undefined, parameter: () => undefined, model: () => undefined, verdict: () => undefined, country: undefined, modelUnread: false, value: () => undefined, facts: () => { throw new Error('not asked') }, })

const paths = ['/a', '/b', '/c']
const ids = ['ml/r0', 'ml/r1', 'ml/r2']

/** What a caller can tell of a runtime: which rule serves each path, and to which endpoints its variants lead. */
function visible({ table }: Runtime) {
  return paths.map((path) => {
    const found = table()?.find(asked(path))
    return found && {
      route: found.rule.route,
      rule: found.rule.name,
      variants: found.rule.variants.map(({ name, target }) => [name, target.kind === 'group' ? target.group.members.map(({ label }) => label) : target.why]),
    }
  })
}

const variants = fc.array(fc.record({ set: fc.constantFrom('x', 'y', 'z', 'none'), weight: fc.constantFrom(0, 250_000, 1_000_000) }), { minLength: 1, maxLength: 3 })
const rules = fc.array(fc.record({ path: fc.constantFrom(...paths, '(' as const), variants }), { minLength: 1, maxLength: 2 })
const world = fc.record({
  routes: fc.array(fc.option(rules), { minLength: 3, maxLength: 3 }),
  sets: fc.record({ x: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }), y: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }), z: fc.constant([9]) }),
})

type World = Readonly<{
  routes: readonly (readonly Readonly<{ path: string; variants: readonly Readonly<{ set: string; weight: number }>[] }>[] | null)[]
  sets: Readonly<Record<string, readonly number[]>>
}>

/** Items that did not change keep their identity, as the store's do. */
function items({ routes, sets }: World, before: { routes: ReadonlyMap<string, Route>; endpoints: ReadonlyMap<string, EndpointSet> }) {
  const kept = <T extends { id: string }>(item: T, from: ReadonlyMap<string, T>): [string, T] => {
    const last = from.get(item.id)
    return [item.id, last && JSON.stringify(last) === JSON.stringify(item) ? last : item]
  }
  return {
    ...active('v', [], {}),
    routes: new Map(routes.flatMap((of, i) => of === null ? [] : [kept(route({
      id: ids[i] ?? '',
      rules: of.map(({ path, variants: own }, n) => rule({
        name: `rule${n}`,
        matches: [match(path, path === '(' ? { type: 'Regex' } : {})],
        variants: own.map(({ set, weight }, v) => variant(`v${v}`, set, { weight })),
      })),
    }), before.routes)])),
    endpoints: new Map(Object.entries(sets).map(([id, ports]) =>
      kept<EndpointSet>({ id, endpoints: ports.map((port) => ({ address: '10.0.0.1', port })) }, before.endpoints))),
  }
}

test('whatever tables came before, a table does what it does in a fresh runtime, and holds no endpoint but its own', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(world, fc.option(world), fc.boolean()), { minLength: 1, maxLength: 6 }), async (worlds) => {
    const upstreams = new Upstreams()
    const runtime = createRuntime({ upstreams })
    let now: Active = active('', [], {})
    // The last version of each route that could be built: what a fresh runtime is to be given.
    const good = new Map<string, Route>()
    for (const [one, other, ready] of worlds) {
      // Built for a table that then does not come, and for the one that does.
      if (other !== null) atOnce(runtime.prepare(items(other, now)))
      now = items(one, now)
      if (ready) atOnce(runtime.prepare(now))
      const refused = new Set(runtime.activate(now).map(({ id }) => id))
      for (const id of good.keys()) if (!now.routes.has(id)) good.delete(id)
      for (const [id, item] of now.routes) if (!refused.has(id)) good.set(id, item)
      for (const id of refused) assert.ok(now.routes.get(id)?.rules.some(({ matches }) => matches[0]?.path.value === '('))

      const freshUpstreams = new Upstreams()
      const fresh = createRuntime({ upstreams: freshUpstreams })
      assert.deepEqual(fresh.activate({ ...now, routes: good }), [])
      assert.deepEqual(visible(runtime), visible(fresh))
      assert.equal(upstreams.size, freshUpstreams.size)
      await fresh.close()
    }
    runtime.activate({ ...now, routes: new Map() })
    assert.equal(upstreams.size, 0)
    await runtime.close()
  }), { numRuns: 200 })
})

test('a weight edit builds its own route and nothing else, and finds by the same index', () => {
  const runtime = createRuntime()
  const make = (i: number, weight: number) => route({ id: `ml/r${i}`, rules: [rule({ matches: [match(`/p${i}`)], variants: [variant('v', 's', { weight })] })] })
  const routes = new Map(Array.from({ length: 100 }, (_, i): [string, Route] => [`ml/r${i}`, make(i, 1)]))
  runtime.activate({ ...active('1', [], {}), routes })
  const before = runtime.table()
  runtime.activate({ ...active('2', [], {}), routes: new Map(routes).set('ml/r5', make(5, 2)) })
  const after = runtime.table()
  const same = (path: string) => {
    const [a, b] = [before?.find(asked(path)), after?.find(asked(path))]
    assert.equal(a?.candidate, b?.candidate)
    return a?.rule === b?.rule
  }
  assert.ok(same('/p4') && same('/p6'))
  assert.ok(!same('/p5'))
})
