import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { ModelRoute } from '../../crds/types.gen.ts'
import { changedMap } from '../../table/changes.ts'
import type { Compiled, RouteOutcome } from '../compile/compiled.ts'
import type { ProxyView } from '../push/publish.ts'
import type { Snapshot } from '../sources/snapshot.ts'
import { isObject, type Api } from './api.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeServer, status } from '../../test/fakes/api-server.ts'
import { CONTROLLER_REVISIONS, EVENTS, MODEL_ROUTES, RATE_LIMIT_POLICIES } from './kinds.ts'
import { Reporter } from './reporter.ts'
import { readRevision, Revisions } from './revisions.ts'

type Fields = Record<string, unknown>

const specOf = (weight: number): ModelRoute['spec'] => (
  { rules: [{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000, weight }] }] }
)

describe('a reporter', () => {
  let server: FakeServer
  let clock: FakeClock
  let api: Api
  let reporter: Reporter
  let revisions: Revisions
  let leading: boolean
  let snapshot: Snapshot
  let routes: Map<string, RouteOutcome>
  let proxies: ProxyView[]

  beforeEach(async () => {
    server = await new FakeServer().listen()
    server.install(MODEL_ROUTES, RATE_LIMIT_POLICIES, CONTROLLER_REVISIONS, EVENTS)
    clock = new FakeClock()
    api = server.connect(clock)
    leading = true
    revisions = new Revisions((spec): spec is ModelRoute['spec'] => typeof spec === 'object')
    reporter = new Reporter({ api, revisions, leading: () => leading, instance: 'pod-1', log: () => {}, clock })
    routes = new Map()
    proxies = []
    snapshot = {
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
  })

  afterEach(async () => {
    await reporter.stop()
    api.close()
    await server.close()
  })

  /** Puts the route on the server and into the snapshot, as the source would, and says how it compiled. */
  function edit(name: string, weight: number, more: Partial<RouteOutcome> = {}): void {
    const before = server.get(MODEL_ROUTES, 'ml', name)
    const { metadata } = server.put(MODEL_ROUTES, 'ml', name, { spec: specOf(weight), status: before?.['status'] })
    const resource = { namespace: 'ml', name, generation: metadata.generation ?? 0, created: '', uid: metadata.uid, problems: [] }
    snapshot = { ...snapshot, modelRoutes: new Map(snapshot.modelRoutes).set(`ml/${name}`, resource) }
    routes.set(`ml/${name}`, {
      generation: metadata.generation ?? 0,
      gateways: ['default'],
      problems: [],
      accepted: { status: 'True', reason: 'Accepted', message: '' },
      resolvedRefs: { status: 'True', reason: 'ResolvedRefs', message: '' },
      weights: `infer: stable=${weight}`,
      rules: [{ name: 'infer', backends: [{ variant: 'stable', effectiveWeight: weight, endpoints: 1 }] }],
      inForce: specOf(weight),
      ...more,
    })
  }

  function report(hash = 'h1'): void {
    const compiled: Compiled = { fleets: new Map(), routes, policies: new Map(), apiKeys: new Map() }
    const hashes = new Map([...routes.keys()].map(key => [key, hash]))
    reporter.report({ snapshot, compiled, proxies, hashes: () => hashes, progress: () => ({}) })
  }

  const proxy = (acked: string, refused: readonly [string, string][] = []): ProxyView => ({
    node: 'p1', gateway: 'default', subscribed: true, version: null, acked: new Map([...routes.keys()].map(key => [key, acked])), refused: new Map(refused),
  })
  const writes = () => server.requests.filter(({ method, path }) => method === 'PATCH' && path.endsWith('/status'))
  const shown = (name = 'fraud') => server.get(MODEL_ROUTES, 'ml', name)?.['status'] as Fields | undefined
  const condition = (type: string, name?: string) => (shown(name)?.['conditions'] as Fields[] | undefined)?.find(one => one['type'] === type)
  const settled = () => clock.until('every write', () => reporter.statuses.pending === 0)
  const stored = () => server.all(CONTROLLER_REVISIONS).map(object => readRevision(object as never))

  test('applies the whole status as one manager, by force, to one life of the object', async () => {
    edit('fraud', 100)
    report()
    await settled()
    const [write] = writes()
    assert.equal(write?.path, '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes/fraud/status')
    assert.equal(String(write?.query), 'fieldManager=modelroute-controller&force=true')
    assert.deepEqual(Object.keys(write?.body ?? {}), ['apiVersion', 'kind', 'metadata', 'status'])
    assert.deepEqual(write?.body['metadata'], { name: 'fraud', namespace: 'ml', uid: 'uid-1' })
    assert.equal(condition('Programmed')?.['reason'], 'NoDataPlane')
  })

  test('an edit and its acknowledgement soon after are one write', async () => {
    proxies = [proxy('h0')]
    edit('fraud', 100)
    report()
    proxies = [proxy('h1')]
    report()
    await settled()
    assert.equal(writes().length, 1)
    assert.equal(condition('Programmed')?.['status'], 'True')
  })

  test('writes nothing that the server says already, also after a restart', async () => {
    edit('fraud', 100)
    report()
    await settled()
    const again = new Reporter({ api, revisions, leading: () => true, instance: 'pod-2', log: () => {}, clock })
    again.statuses.observe('uid-1', shown())
    again.report({ snapshot, compiled: { fleets: new Map(), routes, policies: new Map(), apiKeys: new Map() }, proxies, hashes: () => new Map([['ml/fraud', 'h1']]), progress: () => ({}) })
    again.resume()
    await clock.until('every write', () => again.statuses.pending === 0)
    await again.stop()
    assert.equal(writes().length, 1)
  })

  test('counts of endpoints wait a second for each other; a condition does not', async () => {
    edit('fraud', 100)
    report()
    await settled()
    const rules = (endpoints: number) => [{ name: 'infer', backends: [{ variant: 'stable', effectiveWeight: 100, endpoints }] }]
    const began = clock.now()
    for (let endpoints = 2; endpoints < 10; endpoints++) {
      edit('fraud', 100, { rules: rules(endpoints) })
      report()
    }
    await settled()
    assert.equal(writes().length, 2)
    assert.ok(clock.now() - began >= 1_000)
    const changed = clock.now()
    edit('fraud', 100, { rules: rules(9), resolvedRefs: { status: 'False', reason: 'BackendNotFound', message: 'no' } })
    report()
    await clock.until('the condition', () => condition('ResolvedRefs')?.['status'] === 'False', { step: 10 })
    assert.ok(clock.now() - changed <= 500, `${clock.now() - changed} ms`)
  })

  for (const count of [1, 100, 5000]) {
    test(`an edit of one of ${count} routes, and its acknowledgement, are looked at as one`, () => {
      edit('model-0', 100)
      const [[, first] = []] = snapshot.modelRoutes
      const [[, outcome] = []] = routes
      assert.ok(first && outcome)
      const names = Array.from({ length: count }, (_, i) => `model-${i}`)
      for (const name of names) routes.set(`ml/${name}`, outcome)
      snapshot = { ...snapshot, modelRoutes: new Map(names.map((name) => [`ml/${name}`, name === 'model-0' ? first : { ...first, name, uid: name }])) }
      let hashes: ReadonlyMap<string, string> = new Map([...routes.keys()].map((key) => [key, 'h1']))
      let outcomes: ReadonlyMap<string, RouteOutcome> = new Map(routes)
      const looked: string[] = []
      const told = (acked: ReadonlyMap<string, string>) => reporter.report({
        snapshot, compiled: { fleets: new Map(), routes: outcomes, policies: new Map(), apiKeys: new Map() }, hashes: () => hashes, progressed: new Set(),
        proxies: Array.from({ length: 10 }, (_, i) => ({ ...proxy('h1'), node: `p${i}`, acked })),
        progress(key) {
          looked.push(key)
          return {}
        },
      })
      told(hashes)
      assert.equal(looked.length, count)
      looked.length = 0
      const before = { hashes, modelRoutes: snapshot.modelRoutes }
      edit('model-0', 200)
      const at = <T>(from: ReadonlyMap<string, T>) => [['ml/model-0', from.get('ml/model-0')]] as const
      snapshot = { ...snapshot, modelRoutes: changedMap(before.modelRoutes, at(snapshot.modelRoutes)) }
      outcomes = changedMap(outcomes, at(routes))
      hashes = changedMap(hashes, [['ml/model-0', 'h2']])
      told(before.hashes)
      told(hashes)
      assert.deepEqual(looked, ['ml/model-0', 'ml/model-0'])
    })
  }

  test('what the first proxy to come or the last to go makes of hundreds of routes holds up the status of none that was edited', async () => {
    for (let i = 0; i < 150; i++) edit(`model-${i}`, 100)
    proxies = [proxy('h1')]
    report()
    await settled()
    for (const wanted of [[], [proxy('h1')]]) {
      const before = writes().length
      const began = clock.now()
      const paced = () => {
        const since = writes().length - before
        assert.ok(since <= 1 + (clock.now() - began) / 20, `${since} written in ${clock.now() - began} ms`)
      }
      proxies = wanted
      report()
      edit('model-100', 100 + before)
      report()
      await clock.until('the edited one', () => writes().slice(before).some(({ path }) => path.endsWith('/model-100/status')), { step: 10 })
      paced()
      await clock.advance(1_500)
      paced()
      await settled()
    }
    assert.equal(condition('Programmed', 'model-0')?.['reason'], 'Programmed')
  })

  test('who begins to lead over routes that no proxy has told of yet does not write that of all of them at once', async () => {
    for (let i = 0; i < 150; i++) edit(`model-${i}`, 100)
    proxies = [proxy('h1')]
    report()
    await settled()
    const before = writes().length
    const next = new Reporter({ api, revisions, leading: () => true, instance: 'pod-2', log: () => {}, clock })
    for (const object of server.all(MODEL_ROUTES)) next.statuses.observe(object.metadata.uid, object['status'])
    const compiled: Compiled = { fleets: new Map(), routes, policies: new Map(), apiKeys: new Map() }
    const hashes = new Map([...routes.keys()].map(key => [key, 'h1']))
    const view = { snapshot, compiled, hashes: () => hashes, progress: () => ({}) }
    next.report({ ...view, proxies: [] })
    next.resume()
    await clock.advance(500)
    next.report({ ...view, proxies })
    await clock.until('every write', () => next.statuses.pending === 0)
    await next.stop()
    assert.equal(writes().length, before)
  })

  test('what the watch says after the answer to a write is not worked out again', async () => {
    let worked = 0
    edit('fraud', 100)
    const writer = reporter.statuses
    writer.want({ kind: 'ModelRoute', namespace: 'ml', name: 'fraud', uid: 'uid-1' }, (previous) => {
      worked++
      return { ...previous, observedGeneration: 1 }
    })
    await settled()
    const before = worked
    writer.observe('uid-1', structuredClone(shown()))
    assert.equal(worked, before)
    writer.observe('uid-1', { observedGeneration: 7 })
    assert.ok(worked > before)
    await settled()
  })

  test('who does not lead writes nothing; who begins to, what is due', async () => {
    leading = false
    edit('fraud', 100, { accepted: { status: 'False', reason: 'Invalid', message: 'no' } })
    report()
    await settled()
    await clock.advance(5_000)
    assert.equal(server.count('write'), 0)
    leading = true
    reporter.resume()
    await settled()
    await clock.until('the rest', () => server.all(EVENTS).length === 1 && stored().length === 1)
    assert.equal(condition('Accepted')?.['status'], 'False')
  })

  test('who slept between asking whether it leads and writing changes nothing that was written meanwhile', async () => {
    let read: string | undefined
    await reporter.stop()
    reporter = new Reporter({ api, revisions, leading: () => leading, instance: 'pod-1', log: () => {}, clock, versionOf: () => read })
    edit('fraud', 100)
    read = server.get(MODEL_ROUTES, 'ml', 'fraud')?.metadata.resourceVersion
    const late = () => writes().filter(({ body }) => (body['metadata'] as Fields)['resourceVersion'] === read)
    // The request is on its way; before it arrives another has led and written.
    let held: (() => void) | undefined
    server.intercept = ({ method }) => {
      if (method !== 'PATCH' || held !== undefined) return false
      held = () => {}
      leading = false
      const before = server.get(MODEL_ROUTES, 'ml', 'fraud')
      server.put(MODEL_ROUTES, 'ml', 'fraud', { spec: before?.['spec'], status: { observedGeneration: 9 } })
      return false
    }
    report()
    await settled()
    assert.equal(late().length, 1)
    assert.deepEqual(shown(), { observedGeneration: 9 })
    // It leads again: with what it reads by then, it writes.
    leading = true
    read = server.get(MODEL_ROUTES, 'ml', 'fraud')?.metadata.resourceVersion
    reporter.resume()
    await clock.until('its status', () => shown()?.['observedGeneration'] === 1)
  })

  test('its own last write is what it goes on from while the watch has yet to bring that', async () => {
    await reporter.stop()
    edit('fraud', 100)
    const read = server.get(MODEL_ROUTES, 'ml', 'fraud')?.metadata.resourceVersion
    reporter = new Reporter({ api, revisions, leading: () => leading, instance: 'pod-1', log: () => {}, clock, versionOf: () => read })
    report()
    await settled()
    proxies = [proxy('h1')]
    report()
    await clock.until('the second write', () => condition('Programmed')?.['status'] === 'True')
    assert.equal(writes().length, 2, 'none of them was a conflict')
  })

  test('where the history was set back, a later version of its own last write is in nobody\'s way', async () => {
    await reporter.stop()
    edit('fraud', 100)
    const { uid = '', resourceVersion } = server.get(MODEL_ROUTES, 'ml', 'fraud')?.metadata ?? {}
    const restore = server.backup()
    reporter = new Reporter({ api, revisions, leading: () => leading, instance: 'pod-1', log: () => {}, clock, versionOf: () => resourceVersion })
    report()
    await settled()
    restore()
    assert.equal(shown(), undefined)
    reporter.statuses.observe(uid, undefined)
    await clock.until('the status', () => shown() !== undefined)
  })

  test('a failed write is tried again, with what is true by then', async () => {
    let left = 4
    server.intercept = (request, response) => {
      if (!request.path.endsWith('/status') || left-- <= 0) return false
      if (left === 2) response.destroy()
      else status(response, [500, 409, 410, 500][left] ?? 500, 'scripted')
      return true
    }
    edit('fraud', 100)
    report()
    await clock.until('some tries', () => left < 3)
    edit('fraud', 50)
    report()
    await settled()
    assert.equal(shown()?.['weights'], 'infer: stable=50')
    assert.equal(left, -1)
  })

  test('a route deleted while its status waits is no error, and one of its name gets none of it', async () => {
    edit('fraud', 100)
    report()
    server.remove(MODEL_ROUTES, 'ml', 'fraud')
    await settled()
    assert.equal(writes().length, 1)
    server.put(MODEL_ROUTES, 'ml', 'fraud', { spec: specOf(1) })
    edit('churn', 100)
    report()
    reporter.resume()
    await clock.until('the refused write', () => writes().length >= 3)
    assert.equal(shown('fraud'), undefined)
    snapshot = { ...snapshot, modelRoutes: new Map([...snapshot.modelRoutes].filter(([key]) => key === 'ml/churn')) }
    routes.delete('ml/fraud')
    report()
    await settled()
    const count = writes().length
    await clock.advance(60_000)
    assert.equal(writes().length, count)
  })

  test('a status that somebody else changed is put right', async () => {
    edit('fraud', 100)
    report()
    await settled()
    const wrong = { ...shown(), weights: 'lies' }
    server.put(MODEL_ROUTES, 'ml', 'fraud', { spec: specOf(100), status: wrong })
    reporter.statuses.observe('uid-1', wrong)
    await settled()
    assert.equal(shown()?.['weights'], 'infer: stable=100')
  })

  test('a refusal is an event, once an object, reason, message and generation', async () => {
    const accepted = { status: 'False', reason: 'UnsupportedValue', message: 'spec.rules[0].cache: not yet' } as const
    edit('fraud', 100, { accepted })
    report()
    edit('fraud', 100, { accepted })
    report()
    await clock.until('the event', () => server.all(EVENTS).length === 1)
    const [event] = server.all(EVENTS)
    assert.equal(event?.['reason'], 'UnsupportedValue')
    assert.equal(event?.['note'], 'spec.rules[0].cache: not yet')
    assert.equal(event?.['type'], 'Warning')
    assert.deepEqual(event?.['regarding'], {
      apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', namespace: 'ml', name: 'fraud', uid: 'uid-1',
    })
    // Another leader, who remembers nothing, says it under the same name, which the server knows already.
    const again = new Reporter({ api, revisions, leading: () => true, instance: 'pod-2', log: () => {}, clock })
    again.report({ snapshot, compiled: { fleets: new Map(), routes, policies: new Map(), apiKeys: new Map() }, proxies, hashes: () => new Map(), progress: () => ({}) })
    await clock.until('its attempt', () => server.requests.filter(({ path }) => path.endsWith('/events')).length === 2)
    await again.stop()
    edit('fraud', 90, { accepted })
    report()
    await clock.until('the next generation', () => server.all(EVENTS).length === 2)
  })

  test('a proxy that refuses is an event with its name and words', async () => {
    edit('fraud', 100)
    proxies = [proxy('h0', [['ml/fraud', 'unknown field `turbo`']])]
    report()
    await clock.until('the event', () => server.all(EVENTS).length === 1)
    assert.equal(server.all(EVENTS)[0]?.['note'], 'Refused by p1: unknown field `turbo`')
    assert.equal(server.all(EVENTS)[0]?.['reason'], 'Rejected')
  })

  test('a flood of refusals is a trickle of events', async () => {
    for (let i = 0; i < 200; i++) edit(`r${i}`, 1, { accepted: { status: 'False', reason: 'Invalid', message: 'no' } })
    report()
    await clock.until('the burst', () => server.all(EVENTS).length === 25)
    await settled()
    assert.equal(server.all(EVENTS).length, 25)
  })

  test('what is in force is stored, owned by its route, numbered upwards; what was in force before is not stored twice', async () => {
    for (const [count, weight] of [[1, 100], [2, 50], [2, 100]] as const) {
      edit('fraud', weight)
      report()
      await clock.until('the revision', () => (
        revisions.latest('uid-1')?.spec.rules[0]?.backendRefs?.[0]?.weight === weight && stored().length === count
      ))
    }
    assert.deepEqual(stored().map(one => one?.revision).sort((a = 0, b = 0) => a - b), [2, 3])
    assert.deepEqual(revisions.latest('uid-1'), { revision: 3, spec: specOf(100) })
    const [object] = server.all(CONTROLLER_REVISIONS)
    assert.deepEqual(object?.metadata.labels, { 'modelroute.io/route': 'fraud' })
    assert.deepEqual(object?.metadata.ownerReferences, [
      { apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', name: 'fraud', uid: 'uid-1', controller: true },
    ])
  })

  test('what did not change is not stored again, nor what was never in force', async () => {
    edit('fraud', 100)
    report()
    await clock.until('the revision', () => stored().length === 1)
    const count = server.count('write')
    edit('fraud', 100, { inForce: structuredClone(specOf(100)) })
    report()
    await clock.advance(1_000)
    await settled()
    assert.equal(server.requests.filter(({ path, what }) => what === 'write' && path.includes('revisions')).length, 1)
    assert.ok(server.count('write') >= count)
  })

  test('the eleventh revision pushes out the first', async () => {
    for (let weight = 1; weight <= 13; weight++) {
      edit('fraud', weight)
      report()
      await clock.until(`revision ${weight}`, () => revisions.latest('uid-1')?.revision === weight)
    }
    // The controller forgets one when the server has answered that it is gone.
    await clock.until('the end of the first three', () => stored().length === 10 && revisions.of('uid-1').size === 10)
    assert.deepEqual(stored().map(one => one?.revision).sort((a = 0, b = 0) => a - b), [4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
    assert.equal(revisions.of('uid-1').size, 10)
  })

  test('a burst of edits is one revision', async () => {
    for (let weight = 1; weight <= 5; weight++) {
      edit('fraud', weight)
      report()
    }
    await clock.until('the revision', () => stored().length > 0)
    await clock.advance(1_000)
    assert.deepEqual(stored().map(one => one?.spec), [specOf(5)])
  })

  test('a route whose name is no label value is labelled by its hash and named in an annotation', async () => {
    const name = `${'long.'.repeat(40)}name`
    edit(name, 1)
    report()
    await clock.until('the revision', () => stored().length === 1)
    const { labels, annotations } = server.all(CONTROLLER_REVISIONS)[0]?.metadata ?? {}
    assert.match(String(labels?.['modelroute.io/route']), /^sha256-[0-9a-f]{40}$/)
    assert.equal(annotations?.['modelroute.io/route'], name)
    assert.ok(String(server.all(CONTROLLER_REVISIONS)[0]?.metadata.name).length <= 253)
  })
})

describe('stored revisions', () => {
  const isSpec = (spec: unknown): spec is ModelRoute['spec'] => typeof spec === 'object' && spec !== null && 'rules' in spec
  const entry = (name: string, revision: number, spec: unknown = specOf(revision)) => ({ namespace: 'ml', name, owner: 'u', revision, spec })

  test('the highest number wins, in whatever order they come', () => {
    const revisions = new Revisions(isSpec)
    for (const number of [2, 9, 10, 3]) revisions.put(entry(`r${number}`, number))
    assert.equal(revisions.latest('u')?.revision, 10)
    revisions.put(entry('r2', 11, specOf(2)))
    assert.deepEqual(revisions.latest('u'), { revision: 11, spec: specOf(2) })
  })

  test('a spec that does not hold is no fallback, and hides none', () => {
    const revisions = new Revisions(isSpec)
    revisions.put(entry('r9', 9, { evil: true }))
    assert.equal(revisions.latest('u'), undefined)
    revisions.put(entry('r1', 1))
    revisions.put(entry('r10', 10, { evil: true }))
    assert.deepEqual(revisions.latest('u'), { revision: 1, spec: specOf(1) })
    assert.equal(revisions.latest('another uid of the same name'), undefined)
  })

  test('an object with our label that no route owns is none of ours', () => {
    const object = { metadata: { name: 'x', uid: 'u', resourceVersion: '1' }, revision: 1, data: { spec: {} } }
    assert.ok(isObject(object))
    assert.equal(readRevision(object), undefined)
  })
})
