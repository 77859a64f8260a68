import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { FakeServer } from '../../test/fakes/api-server.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import type { Api, Kind } from '../kubernetes/api.ts'
import {
  CONFIG_MAPS, CONTROLLER_REVISIONS, ENDPOINT_SLICES, INFERENCE_SERVICES, MODEL_ROUTES, RATE_LIMIT_POLICIES, REFERENCE_GRANTS,
  SECRETS, SERVICES,
} from '../kubernetes/kinds.ts'
import { KubernetesSource, type KubernetesSourceOptions } from './kubernetes.ts'
import type { Snapshot } from './snapshot.ts'

const ALWAYS: readonly Kind[] = [MODEL_ROUTES, RATE_LIMIT_POLICIES, SERVICES, ENDPOINT_SLICES, CONTROLLER_REVISIONS]

const route = (weight = 1) => ({
  apiVersion: 'modelroute.io/v1alpha1',
  kind: 'ModelRoute',
  spec: { rules: [{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000, weight }] }] },
})

const slice = (...addresses: readonly string[]) => ({
  metadata: {
    labels: { 'kubernetes.io/service-name': 'fraud', 'endpointslice.kubernetes.io/managed-by': 'x', other: 'dropped' },
    managedFields: [{ manager: 'kube-controller-manager' }],
  },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
  endpoints: addresses.map(address => ({
    addresses: [address], conditions: { ready: true }, nodeName: 'dropped', targetRef: { kind: 'Pod', name: address, uid: 'dropped' },
  })),
})

describe('a cluster as a source', () => {
  let server: FakeServer
  let clock: FakeClock
  let api: Api
  let source: KubernetesSource
  let snapshots: Snapshot[]
  let log: string[]

  beforeEach(async () => {
    server = await new FakeServer().listen()
    server.install(...ALWAYS)
    clock = new FakeClock()
    api = server.connect(clock)
    snapshots = []
    log = []
  })

  afterEach(async () => {
    await source.stop()
    api.close()
    await server.close()
  })

  async function begin(more: Partial<KubernetesSourceOptions> = {}): Promise<void> {
    source = new KubernetesSource({ api, clock, log: (_level, msg) => log.push(msg), ...more })
    await source.start(snapshot => snapshots.push(snapshot))
  }

  const last = () => snapshots.at(-1)!
  const first = () => clock.until('a snapshot', () => snapshots.length > 0 && ALWAYS.every(kind => server.watching(kind) > 0), { step: 5 })
  const next = (count = snapshots.length) => clock.until('the next snapshot', () => snapshots.length > count, { step: 2 })

  test('says nothing before every kind has been read', async () => {
    server.put(MODEL_ROUTES, 'ml', 'fraud', route())
    let held = true
    server.intercept = request => held && request.path.endsWith('/endpointslices')
    await begin()
    await clock.until('the other kinds', () => server.count('watch') >= 4)
    await clock.advance(10_000)
    assert.equal(snapshots.length, 0)
    held = false
    server.cut()
    await first()
    assert.deepEqual([...last().modelRoutes.keys()], ['ml/fraud'])
  })

  test('reads the Secrets of the namespaces that it is told, without what is of no use, and lets a deleted one go at once', async () => {
    server.install(SECRETS, CONFIG_MAPS)
    server.put(SECRETS, 'ml', 'key', {
      metadata: { labels: { a: 'b' }, annotations: { 'modelroute.io/tier': 'pro', other: 'dropped' } }, type: 'Opaque', data: { key: 'azE=' },
    })
    server.put(SECRETS, 'ml', 'release', { type: 'helm.sh/release.v1', data: { release: 'eA==' } })
    server.put(SECRETS, 'other', 'key', { data: { key: 'azI=' } })
    server.put(CONFIG_MAPS, 'ml', 'ca', { data: { 'ca.crt': 'pem' } })
    await begin({ secretNamespaces: ['ml'] })
    await first()
    assert.deepEqual([...last().secrets.keys()].sort(), ['ml/key', 'ml/release'])
    assert.deepEqual(last().secrets.get('ml/key'), {
      metadata: { name: 'key', namespace: 'ml', labels: { a: 'b' }, annotations: { 'modelroute.io/tier': 'pro' } },
      type: 'Opaque',
      data: new Map([['key', 'azE=']]),
    })
    assert.equal(last().secrets.get('ml/release')?.data.size, 0)
    assert.equal(Buffer.from(last().configMaps.get('ml/ca')?.data.get('ca.crt') ?? '', 'base64').toString(), 'pem')
    assert.deepEqual([last().openNamespaces.has('ml'), last().openNamespaces.has('other')], [true, false])
    await clock.until('a watch', () => server.watching(SECRETS) > 0, { step: 5 })
    server.remove(SECRETS, 'ml', 'key')
    await next()
    assert.equal(last().secrets.has('ml/key'), false)
  })

  test('a namespace whose Secrets it may not read holds nothing up, is asked ever more slowly, and opens when it may', async () => {
    server.install(SECRETS, CONFIG_MAPS)
    server.put(SECRETS, 'ml', 'key', { data: { key: 'azE=' } })
    server.put(MODEL_ROUTES, 'ml', 'fraud', route())
    let denied = true
    let asked = 0
    server.intercept = ({ path }, response) => {
      if (!denied || !path.endsWith('/secrets')) return false
      asked++
      response.writeHead(403, { 'content-type': 'application/json' }).end('{"kind":"Status","message":"secrets is forbidden"}')
      return true
    }
    await begin({ secretNamespaces: ['ml'] })
    await first()
    assert.deepEqual([...last().modelRoutes.keys()], ['ml/fraud'])
    assert.equal(last().openNamespaces.has('ml'), false)
    await clock.advance(120_000)
    assert.ok(asked >= 3 && asked <= 15, `${asked} times in two minutes`)
    assert.equal(log.filter(line => line.startsWith('may not read secrets')).length, 1)
    denied = false
    await clock.until('it is open', () => last().openNamespaces.has('ml'), { step: 500 })
    assert.ok(last().secrets.has('ml/key'))
  })

  test('keeps the identity of everything that did not change', async () => {
    server.put(MODEL_ROUTES, 'ml', 'fraud', route())
    server.put(MODEL_ROUTES, 'ml', 'churn', route())
    server.put(SERVICES, 'ml', 'fraud', { spec: { ports: [{ port: 8000 }] } })
    server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', slice('10.0.0.1'))
    await begin()
    await first()
    const before = last()
    server.put(MODEL_ROUTES, 'ml', 'fraud', route(2))
    await next()
    const { modelRoutes, ...rest } = last()
    assert.notEqual(modelRoutes, before.modelRoutes)
    assert.equal(modelRoutes.get('ml/churn'), before.modelRoutes.get('ml/churn'))
    assert.notEqual(modelRoutes.get('ml/fraud'), before.modelRoutes.get('ml/fraud'))
    assert.equal(modelRoutes.get('ml/fraud')?.generation, 2)
    for (const [part, map] of Object.entries(rest)) assert.equal(map, new Map<string, unknown>(Object.entries(before)).get(part), part)
  })

  test('an edit after the history was set back is news, also where one that is lost had its generation', async () => {
    server.put(MODEL_ROUTES, 'ml', 'fraud', route(1))
    server.put(MODEL_ROUTES, 'ml', 'other', route(1))
    await begin()
    await first()
    const restore = server.backup()
    const weight = (name = 'fraud') => last().modelRoutes.get(`ml/${name}`)?.object?.spec.rules[0]?.backendRefs?.[0]?.weight
    server.put(MODEL_ROUTES, 'ml', 'fraud', route(20))
    server.put(MODEL_ROUTES, 'ml', 'other', route(30))
    await clock.until('the edits that will be lost', () => weight() === 20 && weight('other') === 30, { step: 2 })
    restore()
    server.put(MODEL_ROUTES, 'ml', 'fraud', route(77), true)
    server.cut()
    await clock.until('the restored state', () => weight('other') === 1, { step: 5 })
    assert.equal(weight(), 77)
  })

  test('a status that is written, and whatever else is not ours to read, is no news', async () => {
    const seen: [string, unknown][] = []
    server.put(MODEL_ROUTES, 'ml', 'fraud', route())
    server.put(SERVICES, 'ml', 'fraud', { spec: { ports: [{ port: 8000 }] } })
    await begin({ onStatus: (uid, status) => seen.push([uid, status]) })
    await first()
    const count = snapshots.length
    server.put(MODEL_ROUTES, 'ml', 'fraud', { ...route(), status: { weights: 'x' } })
    server.put(SERVICES, 'ml', 'fraud', { metadata: { managedFields: [1] }, spec: { ports: [{ port: 8000 }], sessionAffinity: 'None' } })
    await clock.until('the status', () => seen.length === 2)
    await clock.advance(1_000)
    assert.equal(snapshots.length, count)
    assert.deepEqual(seen, [['uid-1', undefined], ['uid-1', { weights: 'x' }]])
  })

  test('knows how much of the history its last snapshot holds, what is no news of it too', async () => {
    server.put(MODEL_ROUTES, 'ml', 'fraud', route())
    await begin()
    await first()
    const before = source.sequence ?? NaN
    const { metadata } = server.put(MODEL_ROUTES, 'ml', 'fraud', route(2))
    await clock.until('the event', () => source.versionOf({ kind: 'ModelRoute', namespace: 'ml', name: 'fraud' }) === metadata.resourceVersion, { step: 1 })
    if (snapshots.length === 1) assert.equal(source.sequence, before, 'what was read and is not in the snapshot does not count')
    await next(1)
    assert.equal(source.sequence, Number(metadata.resourceVersion))
    const written = server.put(MODEL_ROUTES, 'ml', 'fraud', { ...route(2), status: { observedGeneration: 2 } })
    await clock.until('the status', () => source.sequence === Number(written.metadata.resourceVersion))
    assert.equal(snapshots.length, 2)
    assert.equal(source.versionOf({ kind: 'RateLimitPolicy', namespace: 'ml', name: 'fraud' }), undefined)
    server.say(MODEL_ROUTES, JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: 'none of ours' } } }))
    await clock.until('versions that are no numbers', () => source.sequence === undefined)
  })

  test('an annotation or a label of ours is news', async () => {
    server.put(MODEL_ROUTES, 'ml', 'fraud', route())
    await begin()
    await first()
    const annotations = { 'rollout.modelroute.io/infer': 'abort@1', 'kubectl.kubernetes.io/last-applied-configuration': 'a copy' }
    server.put(MODEL_ROUTES, 'ml', 'fraud', { ...route(), metadata: { annotations } })
    await next()
    assert.deepEqual(last().modelRoutes.get('ml/fraud')?.object?.metadata.annotations, { 'rollout.modelroute.io/infer': 'abort@1' })
  })

  test('an object that the schema refuses is there, with its faults and without its content', async () => {
    server.put(MODEL_ROUTES, 'ml', 'bad', { ...route(), spec: { rules: [{ name: 'infer', speed: 9 }] } })
    server.put(RATE_LIMIT_POLICIES, 'ml', 'worse', { spec: 'none' })
    await begin()
    await first()
    const bad = last().modelRoutes.get('ml/bad')
    assert.equal(bad?.object, undefined)
    assert.ok(bad?.problems.some(({ field, reason }) => field.startsWith('spec.rules[0]') && reason === 'Invalid'))
    assert.equal(last().rateLimitPolicies.get('ml/worse')?.object, undefined)
    server.put(MODEL_ROUTES, 'ml', 'bad', route())
    await next()
    assert.deepEqual(last().modelRoutes.get('ml/bad')?.problems, [])
    assert.equal(last().modelRoutes.get('ml/bad')?.object?.spec.rules.length, 1)
  })

  test('holds of a slice and a Service what the snapshot names, and no more', async () => {
    server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', slice('10.0.0.1'))
    server.put(ENDPOINT_SLICES, 'ml', 'empty', { ...slice(), ports: null, endpoints: null })
    await begin()
    await first()
    assert.deepEqual(last().endpointSlices.get('ml/fraud')?.map(({ metadata }) => metadata.name), ['empty', 'fraud-1'])
    assert.deepEqual(last().endpointSlices.get('ml/fraud')?.[1], {
      metadata: {
        name: 'fraud-1',
        namespace: 'ml',
        labels: { 'kubernetes.io/service-name': 'fraud', 'endpointslice.kubernetes.io/managed-by': 'x' },
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true }, targetRef: { kind: 'Pod', name: '10.0.0.1' } }],
    })
  })

  test('a slice that moves to another Service leaves the first', async () => {
    server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', slice('10.0.0.1'))
    await begin()
    await first()
    server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', { ...slice('10.0.0.1'), metadata: { labels: { 'kubernetes.io/service-name': 'other' } } })
    await next()
    assert.deepEqual([...last().endpointSlices.keys()], ['ml/other'])
  })

  test('a burst is one snapshot; a burst without end is one every 100 ms', async () => {
    await begin()
    await first()
    const count = snapshots.length
    for (let i = 0; i < 50; i++) server.put(SERVICES, 'ml', `s${i}`, { spec: { ports: [] } })
    await next()
    await clock.advance(1_000)
    assert.equal(snapshots.length, count + 1)
    const began = clock.now()
    for (let i = 0; clock.now() - began < 150; i++) {
      server.put(SERVICES, 'ml', `s${i}`, { spec: { ports: [{ port: i + 1 }] } })
      await new Promise(resolve => setTimeout(resolve, 2))
      await clock.advance(5)
    }
    assert.equal(snapshots.length, count + 2)
  })

  test('an endpoint that goes is not kept waiting by the changes around it', async () => {
    server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', slice('10.0.0.1', '10.0.0.2'))
    await begin()
    await first()
    const count = snapshots.length
    for (const change of [
      () => server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', slice('10.0.0.2')),
      () => server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', {
        ...slice(), endpoints: [{ addresses: ['10.0.0.2'], conditions: { ready: false, terminating: true } }],
      }),
    ]) {
      const before = snapshots.length
      const began = clock.now()
      change()
      // No time passes but what the event takes.
      while (snapshots.length === before) {
        await new Promise(resolve => setTimeout(resolve, 2))
        await clock.advance(0)
      }
      assert.equal(clock.now(), began)
    }
    assert.equal(snapshots.length, count + 2)
    server.put(ENDPOINT_SLICES, 'ml', 'fraud-1', slice('10.0.0.9'))
    await new Promise(resolve => setTimeout(resolve, 20))
    await clock.advance(0)
    assert.equal(snapshots.length, count + 2, 'one that comes waits for others')
    await next()
  })

  test('kinds of others may be missing, and come while running', async () => {
    await begin()
    await first()
    assert.equal(last().inferenceServices.size, 0)
    server.install(INFERENCE_SERVICES, REFERENCE_GRANTS)
    server.put(INFERENCE_SERVICES, 'ml', 'llama', {
      spec: { predictor: {} },
      status: { url: 'http://llama', conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: 'dropped' }], extra: 1 },
    })
    server.put(REFERENCE_GRANTS, 'ml', 'grant', { spec: { from: [{ group: 'modelroute.io', kind: 'ModelRoute', namespace: 'a' }], to: [{ group: '', kind: 'Service' }] } })
    await clock.until('both', () => last().inferenceServices.size === 1 && last().referenceGrants.size === 1)
    assert.deepEqual(last().inferenceServices.get('ml/llama'), {
      metadata: { name: 'llama', namespace: 'ml' },
      spec: { predictor: {} },
      status: { url: 'http://llama', conditions: [{ type: 'Ready', status: 'True' }] },
    })
    server.uninstall(INFERENCE_SERVICES)
    await clock.until('the end of it', () => last().inferenceServices.size === 0)
  })

  test('our own kinds must be there: without their CRDs nothing is known', async () => {
    server.uninstall(MODEL_ROUTES)
    await begin()
    await clock.until('the complaint', () => log.some(line => line.includes('modelroutes.modelroute.io is not installed')))
    await clock.advance(5_000)
    assert.equal(snapshots.length, 0)
  })

  test('with namespaces given, reads those and asks for no other', async () => {
    for (const namespace of ['a', 'b', 'c']) {
      server.put(MODEL_ROUTES, namespace, 'fraud', route())
      server.put(SERVICES, namespace, 'fraud', { spec: {} })
    }
    await begin({ namespaces: ['a', 'b'] })
    await first()
    assert.deepEqual([...last().modelRoutes.keys()].sort(), ['a/fraud', 'b/fraud'])
    assert.deepEqual([...last().services.keys()].sort(), ['a/fraud', 'b/fraud'])
    assert.ok(server.requests.every(({ path }) => /\/namespaces\/[ab]\//.test(path)))
  })

  test('the revision with the highest number, of this life of the route, is the one to fall back to', async () => {
    const { metadata } = server.put(MODEL_ROUTES, 'ml', 'fraud', route())
    const revision = (name: string, number: number, spec: unknown, uid = metadata.uid) => server.put(CONTROLLER_REVISIONS, 'ml', name, {
      metadata: { labels: { 'modelroute.io/route': 'fraud' }, ownerReferences: [{ kind: 'ModelRoute', name: 'fraud', uid }] },
      revision: number,
      data: { spec },
    })
    revision('fraud-1', 1, route(1).spec)
    revision('fraud-3', 3, route(3).spec)
    revision('fraud-2', 2, route(2).spec)
    revision('of-an-earlier-life', 9, route(9).spec, 'another-uid')
    await begin()
    await first()
    assert.deepEqual(last().revisions, new Map([['ml/fraud', { revision: 3, spec: route(3).spec }]]))
    const before = last().revisions
    revision('fraud-4', 4, { rules: 'not a spec' })
    revision('fraud-5', 5, route(5).spec)
    await next()
    assert.equal(last().revisions.get('ml/fraud')?.revision, 5)
    assert.notEqual(last().revisions, before)
  })
})
