import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { ModelRoute } from '../../crds/types.gen.ts'
import { hashOf } from '../../table/version.ts'
import type {
  EndpointSlice,
  InferenceService,
  ReferenceGrant,
  Resource,
  Revision,
  Service,
  Snapshot,
} from '../sources/snapshot.ts'
import { type CompileOptions, createCompiler } from './compile.ts'
import type { Compiled } from './compiled.ts'
import type { PolicySpec } from './limits.ts'
import type { RouteSpec, RuleSpec } from './spec.ts'

const options: CompileOptions = { allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: true }

const empty: Snapshot = {
  modelRoutes: new Map(),
  rateLimitPolicies: new Map(),
  services: new Map(),
  endpointSlices: new Map(),
  inferenceServices: new Map(),
  referenceGrants: new Map(),
  revisions: new Map(),
  secrets: new Map(),
  configMaps: new Map(),
  openNamespaces: { has: () => true },
}

function route(id: string, spec: RouteSpec | null, created = id, uid = id): Resource<ModelRoute> {
  const [namespace = '', name = ''] = id.split('/')
  const base = { namespace, name, generation: 1, created, uid }
  if (!spec)
    return { ...base, problems: [{ field: 'spec', reason: 'Invalid', message: 'is wrong', severity: 'error' }] }
  const object: ModelRoute = {
    apiVersion: 'modelroute.io/v1alpha1',
    kind: 'ModelRoute',
    metadata: { name, namespace },
    spec,
  }
  return { ...base, object, problems: [] }
}

function service(key: string, port = 80): Service {
  const [namespace = '', name = ''] = key.split('/')
  return { metadata: { name, namespace }, spec: { clusterIP: '10.96.0.1', ports: [{ port }] } }
}

function slice(key: string, addresses: readonly string[], port = 80): EndpointSlice {
  const [namespace = '', name = ''] = key.split('/')
  const endpoints = addresses.map((address) => ({ addresses: [address] }))
  return { metadata: { name: `${name}-1`, namespace }, addressType: 'IPv4', ports: [{ port }], endpoints }
}

function rule(name: string, path: string, more: Partial<RuleSpec> = {}): RuleSpec {
  return { name, matches: [{ path: { value: path } }], backendRefs: [{ variant: 'a', name: 'a', port: 80 }], ...more }
}

const one: Snapshot = {
  ...empty,
  modelRoutes: new Map([
    ['ml/one', route('ml/one', { rules: [rule('infer', '/one')] })],
    [
      'ml/two',
      route('ml/two', { rules: [rule('infer', '/two', { backendRefs: [{ variant: 'b', name: 'b', port: 80 }] })] }),
    ],
  ]),
  services: new Map([
    ['ml/a', service('ml/a')],
    ['ml/b', service('ml/b')],
  ]),
  endpointSlices: new Map([
    ['ml/a', [slice('ml/a', ['10.0.0.1'])]],
    ['ml/b', [slice('ml/b', ['10.0.0.2'])]],
  ]),
}

const fleet = (compiled: Compiled) => compiled.fleets.get('default')!

/** Everything, with the order in which it comes. */
const dump = ({ fleets, routes, policies }: Compiled) =>
  JSON.stringify([
    [...fleets].map(([name, { routes, endpoints }]) => [name, [...routes], [...endpoints]]),
    [...routes],
    [...policies],
  ])

test('the same snapshot compiles into the same objects', () => {
  const compile = createCompiler(options)
  const first = compile(one)
  const second = compile({ ...one })
  assert.equal(fleet(second), fleet(first))
  assert.equal(second.routes, first.routes)
})

test('an endpoint that comes changes its set and the counts, and no route', () => {
  const compile = createCompiler(options)
  const before = compile(one)
  const endpointSlices = new Map(one.endpointSlices).set('ml/a', [slice('ml/a', ['10.0.0.1', '10.0.0.9'])])
  const after = compile({ ...one, endpointSlices })
  assert.equal(fleet(after).routes, fleet(before).routes)
  assert.equal(fleet(after).endpoints.get('ml/b:80'), fleet(before).endpoints.get('ml/b:80'))
  assert.equal(fleet(after).endpoints.get('ml/a:80')?.endpoints.length, 2)
  assert.equal(after.routes.get('ml/one')?.rules[0]?.backends[0]?.endpoints, 2)
  assert.equal(after.routes.get('ml/two'), before.routes.get('ml/two'))
})

test('a slice written anew with the same endpoints changes nothing', () => {
  const compile = createCompiler(options)
  const before = compile(one)
  const after = compile({
    ...one,
    endpointSlices: new Map(one.endpointSlices).set('ml/a', [slice('ml/a', ['10.0.0.1'])]),
  })
  assert.equal(fleet(after), fleet(before))
  assert.equal(after.routes, before.routes)
})

test('an edit of one route leaves the items of the others as they are', () => {
  const compile = createCompiler(options)
  const before = compile(one)
  const edited = route('ml/one', { rules: [rule('infer', '/edited')] })
  const after = compile({ ...one, modelRoutes: new Map(one.modelRoutes).set('ml/one', edited) })
  assert.equal(fleet(after).routes.get('ml/two'), fleet(before).routes.get('ml/two'))
  assert.equal(fleet(after).routes.get('ml/one')?.rules[0]?.matches[0]?.path.value, '/edited')
})

test('a Service that only got an annotation gives the same items', () => {
  const compile = createCompiler(options)
  const before = compile(one)
  const annotated = { ...service('ml/a'), metadata: { name: 'a', namespace: 'ml', annotations: { a: 'b' } } }
  const after = compile({ ...one, services: new Map(one.services).set('ml/a', annotated) })
  assert.equal(fleet(after), fleet(before))
})

test('a Service that appears resolves the route that waited for it', () => {
  const compile = createCompiler(options)
  const before = compile({ ...one, services: new Map() })
  assert.equal(before.routes.get('ml/one')?.resolvedRefs.reason, 'BackendNotFound')
  const after = compile(one)
  assert.equal(after.routes.get('ml/one')?.resolvedRefs.reason, 'ResolvedRefs')
  assert.equal(dump(after), dump(createCompiler(options)(one)))
})

const limits = (requests: number): PolicySpec['limits'] => [{ name: 'daily', rate: { requests, window: '24h' } }]

function policy(spec: Partial<PolicySpec>, uid = 'p'): Snapshot {
  const targetRefs = [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'one' }] as const
  const object = {
    apiVersion: 'modelroute.io/v1alpha1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'tiers', namespace: 'ml' },
    spec: { targetRefs, limits: limits(100), ...spec },
  } as const
  const resource = { namespace: 'ml', name: 'tiers', generation: 1, created: '', uid, object, problems: [] }
  return { ...one, rateLimitPolicies: new Map([['ml/tiers', resource]]) }
}

const amountOf = ({ fleets }: Compiled) => fleets.get('default')?.routes.get('ml/one')?.rules[0]?.limits?.[0]?.amount

test('an edit of a policy changes the item of the routes that it is for, and no other', () => {
  const compile = createCompiler(options)
  const unlimited = compile(one)
  const first = compile(policy({}))
  const second = compile(policy({ limits: limits(200) }))
  assert.deepEqual([unlimited, first, second].map(amountOf), [undefined, 100, 200])
  const others = [unlimited, first, second].map(({ fleets }) => fleets.get('default')?.routes.get('ml/two'))
  assert.equal(new Set(others).size, 1)
  const same = compile(policy({ limits: limits(200) }))
  assert.equal(same.routes.get('ml/one'), second.routes.get('ml/one'))
  assert.equal(same.policies.get('ml/tiers'), second.policies.get('ml/tiers'))
  assert.equal(amountOf(compile(one)), undefined)
})

test('a policy that cannot be kept goes on as it last was, and another of its name does not inherit that', () => {
  const compile = createCompiler(options)
  compile(policy({}))
  const broken = policy({ limits: [{ name: 'daily', rate: { requests: 1, window: '1d' } }] })
  const kept = compile(broken)
  assert.equal(amountOf(kept), 100)
  assert.equal(kept.policies.get('ml/tiers')?.accepted.status, 'False')
  assert.match(kept.policies.get('ml/tiers')?.accepted.message ?? '', /The last good version stays in force/)
  const again = policy({ limits: [{ name: 'daily', rate: { requests: 1, window: '1d' } }] }, 'another')
  assert.equal(amountOf(compile(again)), undefined)
})

test('a policy follows its target to another route', () => {
  const compile = createCompiler(options)
  compile(policy({}))
  const moved = compile(policy({ targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'two' }] }))
  assert.equal(amountOf(moved), undefined)
  assert.equal(moved.fleets.get('default')?.routes.get('ml/two')?.rules[0]?.limits?.length, 1)
})

test('a route deleted and made again does not inherit what its namesake had in force', () => {
  const compile = createCompiler(options)
  compile(one)
  const again = compile({ ...one, modelRoutes: new Map([['ml/one', route('ml/one', null, 'later', 'other-uid')]]) })
  assert.equal(again.routes.get('ml/one')?.inForce, undefined)
  assert.equal(fleet(again).routes.size, 0)
})

test('a last good rule survives several bad edits in a row', () => {
  const compile = createCompiler(options)
  const bad = (samplePercent: number) => route('ml/one', { rules: [rule('infer', '/x', { logging: { predictions: { samplePercent, bodies: 'Redacted' } } })] })
  compile(one)
  compile({ ...one, modelRoutes: new Map([['ml/one', bad(1)]]) })
  const after = compile({ ...one, modelRoutes: new Map([['ml/one', bad(2)]]) })
  assert.equal(fleet(after).routes.get('ml/one')?.rules[0]?.matches[0]?.path.value, '/one')
})

test('the conflict goes to the next in age when the winner leaves', () => {
  const compile = createCompiler(options)
  const same = (id: string, created: string) => [id, route(id, { rules: [rule('infer', '/same')] }, created)] as const
  const all = new Map([same('ml/a', '3'), same('ml/b', '2'), same('ml/c', '1')])
  assert.deepEqual([...fleet(compile({ ...one, modelRoutes: all })).routes.keys()], ['ml/c'])
  const left = new Map([...all].filter(([id]) => id !== 'ml/c'))
  assert.deepEqual([...fleet(compile({ ...one, modelRoutes: left })).routes.keys()], ['ml/b'])
})

// A small world in which everything happens: few names, so that edits meet.
const ids = ['ml/a', 'ml/b', 'ml/c', 'other/a', 'other/d']
const none = {}
const name = fc.constantFrom('a', 'b', 'missing')
const backend = fc.record(
  {
    variant: fc.constantFrom('x', 'y'),
    name,
    kind: fc.constantFrom('Service' as const, 'InferenceService' as const),
    port: fc.constantFrom(80, 81),
    namespace: fc.constantFrom('ml', 'other'),
    weight: fc.integer({ min: 0, max: 3 }),
  },
  { requiredKeys: ['variant', 'name', 'port'] },
)
const path = fc.constantFrom('/one', '/two', '/two', '/two/', '/%zz')
const ruleSpec = fc
  .record(
    {
      name: fc.constantFrom('r', 's', 't'),
      matches: fc.array(
        fc.record(
          { path: fc.record({ value: path }), method: fc.constantFrom('GET' as const, 'POST' as const) },
          { requiredKeys: ['path'] },
        ),
        { maxLength: 2 },
      ),
      backendRefs: fc.uniqueArray(backend, { minLength: 1, maxLength: 2, selector: ({ variant }) => variant }),
      fault: fc.constantFrom(
        none,
        none,
        none,
        none,
        { logging: { predictions: { samplePercent: 2, bodies: 'Redacted' as const } } },
        { authorization: { allow: [{ groups: ['a'] }] } },
      ),
    },
    { requiredKeys: ['name', 'backendRefs', 'fault'] },
  )
  .map(({ fault, ...rule }): RuleSpec => ({ ...rule, ...fault }))
const routeSpec = fc
  .record(
    {
      gatewayNames: fc.uniqueArray(fc.constantFrom('default', 'public'), { minLength: 1 }),
      hostnames: fc.uniqueArray(fc.constantFrom('a.example', 'b.example')),
      fault: fc.constantFrom(
        none,
        none,
        none,
        none,
        none,
        none,
        { cors: { allowOrigins: ['https://a.example'] } },
        { auth: { anonymous: true } },
      ),
      rules: fc.uniqueArray(ruleSpec, { minLength: 1, maxLength: 3, selector: ({ name }) => name }),
    },
    { requiredKeys: ['rules', 'fault'] },
  )
  .map(({ fault, ...spec }): RouteSpec => ({ ...spec, ...fault }))

type Edit = (snapshot: Snapshot) => Snapshot

const put =
  (kind: Exclude<keyof Snapshot, 'openNamespaces'>, key: string, value: unknown): Edit =>
  (snapshot) => {
    const map = new Map<string, unknown>(snapshot[kind])
    if (value === undefined) map.delete(key)
    else map.set(key, value)
    return { ...snapshot, [kind]: map }
  }

const key = fc.constantFrom('ml/a', 'ml/b', 'other/a', 'ml/a-predictor', 'other/b-predictor')
const addresses = fc.uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3'))
const created = fc.constantFrom('1', '2', '3')
const uid = fc.constantFrom('same', 'same', 'same', 'other')
const edit: fc.Arbitrary<Edit> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.constantFrom(...ids), routeSpec, created, uid)
      .map(([id, spec, at, uid]) => put('modelRoutes', id, route(id, spec, at, uid))),
  },
  fc
    .tuple(fc.constantFrom(...ids), created, uid)
    .map(([id, at, uid]) => put('modelRoutes', id, route(id, null, at, uid))),
  fc.constantFrom(...ids).map((id) => put('modelRoutes', id, undefined)),
  fc
    .tuple(key, fc.constantFrom(80, 81, undefined))
    .map(([key, port]) => put('services', key, port && service(key, port))),
  fc
    .tuple(key, addresses)
    .map(([key, list]) => put('endpointSlices', key, list.length > 0 ? [slice(key, list)] : undefined)),
  fc
    .tuple(fc.constantFrom('ml/a', 'other/b'), fc.constantFrom('True', 'False', undefined))
    .map(([key, ready]) => put('inferenceServices', key, ready && inferenceService(key, ready))),
  fc
    .tuple(fc.constantFrom('ml', 'other'), fc.constantFrom('Service', 'InferenceService', undefined))
    .map(([namespace, kind]) => put('referenceGrants', `${namespace}/grant`, kind && grant(namespace, kind))),
)

function inferenceService(key: string, status: string): InferenceService {
  const [namespace = '', name = ''] = key.split('/')
  return { metadata: { name, namespace }, spec: {}, status: { conditions: [{ type: 'Ready', status }] } }
}

function grant(namespace: string, kind: string): ReferenceGrant {
  const from = [{ group: 'modelroute.io', kind: 'ModelRoute', namespace: namespace === 'ml' ? 'other' : 'ml' }]
  return {
    metadata: { name: 'grant', namespace },
    spec: { from, to: [{ group: kind === 'Service' ? '' : 'serving.kserve.io', kind }] },
  }
}

/** Records what is in force as the controller does, and forgets it with the route. */
function record(
  revisions: Snapshot['revisions'],
  snapshot: Snapshot,
  next: Snapshot,
  compiled: Compiled,
): Snapshot['revisions'] {
  const kept = new Map<string, Revision>()
  for (const [id, resource] of next.modelRoutes) {
    const spec = compiled.routes.get(id)?.inForce
    const before = snapshot.modelRoutes.get(id)?.uid === resource.uid ? revisions.get(id) : undefined
    if (spec && spec !== before?.spec) kept.set(id, { revision: (before?.revision ?? 0) + 1, spec })
    else if (before) kept.set(id, before)
  }
  return kept
}

test('compiling edit by edit gives what a fresh compiler gives that knows only the recorded revisions', () => {
  fc.assert(
    fc.property(fc.array(edit, { minLength: 40, maxLength: 100 }), (edits) => {
      const running = createCompiler(options)
      let snapshot = empty
      let revisions: Snapshot['revisions'] = new Map()
      for (const apply of edits) {
        const next = apply(snapshot)
        const surviving = record(revisions, snapshot, next, {
          fleets: new Map(),
          routes: new Map(),
          policies: new Map(),
          apiKeys: new Map(),
        })
        const compiled = running({ ...next, revisions: surviving })
        assert.equal(dump(compiled), dump(createCompiler(options)({ ...next, revisions: surviving })))
        revisions = record(revisions, snapshot, next, compiled)
        snapshot = next
      }
    }),
    { numRuns: 15 },
  )
})

const world = fc
  .array(edit, { minLength: 10, maxLength: 40 })
  .map((edits) => edits.reduce((snapshot, apply) => apply(snapshot), empty))

test('the order in which the world was read changes nothing', () => {
  const reversed = <T>(map: ReadonlyMap<string, T>) => new Map([...map].reverse())
  fc.assert(
    fc.property(world, (snapshot) => {
      const backwards: Snapshot = {
        modelRoutes: reversed(snapshot.modelRoutes),
        rateLimitPolicies: reversed(snapshot.rateLimitPolicies),
        services: reversed(snapshot.services),
        endpointSlices: reversed(snapshot.endpointSlices),
        inferenceServices: reversed(snapshot.inferenceServices),
        referenceGrants: reversed(snapshot.referenceGrants),
        revisions: reversed(snapshot.revisions),
        secrets: reversed(snapshot.secrets),
        configMaps: reversed(snapshot.configMaps),
        openNamespaces: snapshot.openNamespaces,
      }
      assert.equal(dump(createCompiler(options)(backwards)), dump(createCompiler(options)(snapshot)))
    }),
    { numRuns: 100 },
  )
})

test('an unrelated route, however broken, leaves every other item byte for byte', () => {
  const broken = fc.oneof(
    fc.constant(null),
    routeSpec.map((spec): RouteSpec => ({ ...spec, hostnames: ['elsewhere.example'] })),
  )
  const hashes = (compiled: Compiled) =>
    [...compiled.fleets].map(([name, { routes }]) => [
      name,
      [...routes].flatMap(([id, item]) => (id.startsWith('zz/') ? [] : [[id, hashOf(item)]])),
    ])
  fc.assert(
    fc.property(world, broken, (snapshot, spec) => {
      const compile = createCompiler({ ...options, gateways: ['default', 'public'] })
      const before = compile(snapshot)
      const after = compile(put('modelRoutes', 'zz/unrelated', route('zz/unrelated', spec))(snapshot))
      assert.deepEqual(hashes(after), hashes(before))
    }),
    { numRuns: 100 },
  )
})

test('a route over which the compiler itself stumbles goes on in its last good version, and the others compile', () => {
  const compile = createCompiler(options)
  const before = compile(one)
  const stumbling: RouteSpec = { rules: [{ ...rule('infer', '/elsewhere'), get timeouts(): never { throw new Error('stumbled') } }] }
  const replaced = (spec: RouteSpec) => new Map([['ml/one', route('ml/one', spec)], ['ml/two', route('ml/two', { rules: [rule('infer', '/three')] })]])
  const after = compile({ ...one, modelRoutes: replaced(stumbling) })
  const pathOf = (compiled: Compiled, id: string) => compiled.fleets.get('default')?.routes.get(id)?.rules[0]?.matches[0]?.path?.value
  assert.deepEqual([pathOf(before, 'ml/one'), pathOf(after, 'ml/one'), pathOf(after, 'ml/two')], ['/one', '/one', '/three'])
  assert.match(after.routes.get('ml/one')?.problems[0]?.message ?? '', /fault of ModelRoute; please report it: stumbled/)
  // An older version that asks nothing of callers does not stand in for one that does.
  const guarded = compile({ ...one, modelRoutes: replaced({ ...stumbling, auth: { anyOf: [] } }) })
  assert.equal(pathOf(guarded, 'ml/one'), undefined)
})
