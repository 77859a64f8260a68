import assert from 'node:assert/strict'
import test from 'node:test'
import { createCompiler } from '../../controller/compile/compile.ts'
import type { Resource, Service, Snapshot } from '../../controller/sources/snapshot.ts'
import type { ModelRoute } from '../../crds/types.gen.ts'
import { createRuntime } from '../../dataplane/runtime.ts'
import type { Active } from '../../dataplane/store.ts'
import { changedMap } from '../../table/changes.ts'
import { controller, proxy, until } from './rig.ts'

/** What an edit costs, in counts and bytes and not in time: the same among 20 routes as among 400. */

function routeOf(index: number, weight: number): Resource<ModelRoute> {
  const [namespace, name] = ['ml', `model-${index}`]
  const spec: ModelRoute['spec'] = {
    rules: [{
      name: 'infer', matches: [{ path: { value: `/v2/models/${name}` } }],
      backendRefs: [{ variant: 'stable', name: 'server', port: 80, weight: 100 - weight }, { variant: 'canary', name: 'server', port: 80, weight }],
    }],
  }
  const object: ModelRoute = { apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name, namespace }, spec }
  return { namespace, name, generation: weight, created: '2026-01-01T00:00:00Z', uid: name, object, problems: [] }
}

function world(routes: number): Snapshot {
  const none = new Map<string, never>()
  const server: Service = { metadata: { name: 'server', namespace: 'ml' }, spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80 }] } }
  return {
    modelRoutes: new Map(Array.from({ length: routes }, (_, i) => [`ml/model-${i}`, routeOf(i, 5)])), services: new Map([['ml/server', server]]),
    endpointSlices: none, rateLimitPolicies: none, inferenceServices: none, referenceGrants: none, revisions: none, secrets: none, configMaps: none,
    openNamespaces: { has: () => true },
  }
}

const different = <T>(before: Iterable<T>, after: Iterable<T>) => {
  const known = new Set(before)
  return [...after].filter((item) => !known.has(item)).length
}

for (const routes of [20, 400]) {
  test(`an edit of one of ${routes} routes compiles, sends, and builds that one, and no more bytes than twice its own`, async (t) => {
    const compile = createCompiler({ allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: false })
    const before = world(routes)
    const after = { ...before, modelRoutes: changedMap(before.modelRoutes, [['ml/model-7', routeOf(7, 30)]]) }
    const [first, second] = [compile(before), compile(after)]
    const [old, now] = [first.fleets.get('default')?.routes, second.fleets.get('default')?.routes]
    assert.equal(now?.size, routes)
    assert.equal(different(old?.values() ?? [], now?.values() ?? []), 1, 'items compiled')
    assert.equal(different(first.routes.values(), second.routes.values()), 1, 'outcomes')

    const push = await controller()
    t.after(() => push.close())
    push.publisher.publish(first.fleets)
    const runtime = createRuntime()
    t.after(() => runtime.close())
    const built: number[] = []
    const end = proxy([push.url], {
      activate(next: Active) {
        const known = [...runtime.table()?.routes() ?? []]
        const refused = runtime.activate(next)
        built.push(different(known, runtime.table()?.routes() ?? []))
        return refused
      },
    })
    t.after(() => end.close())
    await until('the table', () => runtime.table()?.source.routes.size === routes)
    const updates = end.updates.length
    push.publisher.publish(second.fleets)
    await until('the edit', () => end.updates.length > updates && end.store.active?.routes.get('ml/model-7')?.generation === 30)
    const sent = end.updates.slice(updates)
    const item = now?.get('ml/model-7')
    assert.deepEqual(sent.map(({ type, resource }) => `${type} of ${resource}`), ['delta of routes'])
    assert.ok(JSON.stringify(sent).length <= 2 * JSON.stringify(item).length, `${JSON.stringify(sent).length} bytes for ${JSON.stringify(item).length}`)
    assert.equal(built.at(-1), 1, 'routes built')
  })
}
