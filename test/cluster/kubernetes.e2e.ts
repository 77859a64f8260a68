/**
 * The controller's own Kubernetes machinery against a real API server, with no more rights than it needs: reading while
 * kinds come and go and the server dies, statuses, events, revisions, and the election.
 */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { Compiled } from '../../controller/compile/compiled.ts'
import { createCompiler } from '../../controller/compile/compile.ts'
import type { Api } from '../../controller/kubernetes/api.ts'
import { connect, loadConfig } from '../../controller/kubernetes/connect.ts'
import { EventRecorder } from '../../controller/kubernetes/events.ts'
import { Elector } from '../../controller/kubernetes/lease.ts'
import { Reporter } from '../../controller/kubernetes/reporter.ts'
import type { ProxyView } from '../../controller/push/publish.ts'
import { KubernetesSource } from '../../controller/sources/kubernetes.ts'
import type { Snapshot } from '../../controller/sources/snapshot.ts'
import { hashOf, type Hashes } from '../../table/version.ts'
import { inTime, watchMachine } from '../machine.ts'
import type { KubeObject } from './api.ts'
import { cannotRun } from './build.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { define } from './definitions.ts'
import { pause, until } from './wait.ts'

/** All that the controller may do. */
const RULES = [
  { apiGroups: ['modelroute.io'], resources: ['modelroutes', 'ratelimitpolicies'], verbs: ['list', 'watch'] },
  { apiGroups: ['modelroute.io'], resources: ['modelroutes/status', 'ratelimitpolicies/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  { apiGroups: ['serving.kserve.io'], resources: ['inferenceservices'], verbs: ['list', 'watch'] },
  { apiGroups: ['gateway.networking.k8s.io'], resources: ['referencegrants'], verbs: ['list', 'watch'] },
  { apiGroups: ['apps'], resources: ['controllerrevisions'], verbs: ['list', 'watch', 'create', 'patch', 'delete'] },
  { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
]

const ROUTES = '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes'

const crd = (group: string, version: string, kind: string) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {
    name: `${kind.toLowerCase()}s.${group}`,
    // The group is protected; a test's own cluster needs no review.
    annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' },
  },
  spec: {
    group,
    scope: 'Namespaced',
    names: { kind, plural: `${kind.toLowerCase()}s`, singular: kind.toLowerCase() },
    versions: [{
      name: version,
      served: true,
      storage: true,
      schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
    }],
  },
})

const route = (name: string, weight = 1, more: object = {}) => ({
  apiVersion: 'modelroute.io/v1alpha1',
  kind: 'ModelRoute',
  metadata: { name, namespace: 'ml' },
  spec: {
    rules: [{
      name: 'infer',
      matches: [{ path: { type: 'PathPrefix', value: `/v2/models/${name}` } }],
      backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000, weight }, { variant: 'canary', name: 'fraud', port: 8000 }],
      ...more,
    }],
  },
})

/** What controller/main.ts puts together, with proxies that a test plays. */
class Controller {
  readonly api: Api
  readonly source: KubernetesSource
  readonly elector: Elector
  readonly reporter: Reporter
  readonly log: string[] = []
  readonly said: { what: string; at: number }[] = []
  snapshot: Snapshot | undefined
  proxies: readonly ProxyView[] = []
  readonly #compile = createCompiler({ allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: true })
  #compiled: Compiled | undefined
  #onSnapshot: (() => void) | undefined

  constructor(kubeconfig: string, identity: string) {
    this.api = connect(loadConfig(kubeconfig))
    const { api } = this
    const log = (level: string, msg: string, fields?: object) => this.log.push(`${level} ${msg} ${JSON.stringify(fields)} ${new Date().toISOString()}`)
    this.source = new KubernetesSource({ api, log, onStatus: (uid, status) => this.reporter.statuses.observe(uid, status) })
    this.elector = new Elector({
      api,
      namespace: 'ml',
      name: 'modelroute-controller',
      identity,
      log,
      onStarted: term => {
        this.said.push({ what: `started ${term}`, at: performance.now() })
        this.reporter.resume()
      },
      onStopped: () => { this.said.push({ what: 'stopped', at: performance.now() }) },
    })
    this.reporter = new Reporter({ api, revisions: this.source.revisions, leading: () => this.elector.leading, instance: identity, log })
  }

  start(): void {
    this.elector.start()
    void this.source.start(snapshot => {
      this.snapshot = snapshot
      this.#compiled = this.#compile(snapshot)
      this.#onSnapshot?.()
      this.report()
    })
  }

  hashes(): Hashes {
    const routes = this.#compiled?.fleets.get('default')?.routes ?? new Map<string, unknown>()
    return new Map([...routes].map(([id, item]) => [id, hashOf(item)]))
  }

  /** As a proxy does that takes everything. */
  acknowledge(): void {
    this.proxies = [{ node: 'p1', gateway: 'default', subscribed: true, version: null, acked: this.hashes(), refused: new Map() }]
    this.report()
  }

  acknowledgeAlways(): void {
    this.#onSnapshot = () => this.acknowledge()
    this.acknowledge()
  }

  report(): void {
    if (this.snapshot === undefined || this.#compiled === undefined) return
    const hashes = this.hashes()
    this.reporter.report({ snapshot: this.snapshot, compiled: this.#compiled, proxies: this.proxies, hashes: () => hashes, progress: () => ({}) })
  }

  async stop(): Promise<void> {
    await this.elector.stop()
    await this.reporter.stop()
    await this.source.stop()
    this.api.close()
  }
}

suite('the controller and a real API server', { skip: await cannotRun() }, () => {
  let cluster: ControlPlane
  let kubeconfig: string
  let controller: Controller

  before(async () => {
    cluster = await startControlPlane()
    await define(cluster)
    const name = 'modelroute-controller'
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } }])
    await cluster.apply([
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'ml' } },
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name }, rules: RULES },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ kind: 'ServiceAccount', name, namespace: 'ml' }],
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'fraud', namespace: 'ml' },
        spec: { selector: { app: 'fraud' }, ports: [{ port: 8000, targetPort: 8000 }] },
      },
    ])
    kubeconfig = cluster.kubeconfigFor(await cluster.token('ml', name), 'ml')
    controller = new Controller(kubeconfig, 'first')
    controller.start()
    await until('the first snapshot', () => controller.snapshot, { describe: () => controller.log.join('\n') })
    await until('the lead', () => controller.elector.leading)
  })

  after(async () => {
    await controller?.stop()
    await cluster?.stop()
  })

  const statusOf = async (name: string) => (await cluster.api.get(`${ROUTES}/${name}`)).status as KubeObject
  const conditionOf = async (name: string, type: string) => (
    ((await statusOf(name))?.conditions as { type: string; status: string; reason: string; observedGeneration: number }[] | undefined)
      ?.find(condition => condition.type === type)
  )
  const events = async (name: string) => (
    (await cluster.api.list('/apis/events.k8s.io/v1/namespaces/ml/events')).filter(event => event.regarding.name === name)
  )

  test('its rights suffice, and the kinds of others may be absent', () => {
    assert.deepEqual(controller.log.filter(line => line.includes('may not') || line.startsWith('error')), [])
    assert.equal(controller.snapshot?.services.has('ml/fraud'), true)
    assert.equal(controller.snapshot?.inferenceServices.size, 0)
  })

  test('kinds that are installed while it runs are seen within 11 s, and gone when they are removed', async (t) => {
    await cluster.apply([crd('serving.kserve.io', 'v1beta1', 'InferenceService'), crd('gateway.networking.k8s.io', 'v1beta1', 'ReferenceGrant')])
    await cluster.kubectl('wait', '--for=condition=Established', '--timeout=30s', 'crd/inferenceservices.serving.kserve.io', 'crd/referencegrants.gateway.networking.k8s.io')
    const machine = watchMachine()
    const began = performance.now()
    await cluster.apply([
      { apiVersion: 'serving.kserve.io/v1beta1', kind: 'InferenceService', metadata: { name: 'llama', namespace: 'ml' }, spec: { predictor: {} } },
      {
        apiVersion: 'gateway.networking.k8s.io/v1beta1',
        kind: 'ReferenceGrant',
        metadata: { name: 'grant', namespace: 'ml' },
        spec: { from: [{ group: 'modelroute.io', kind: 'ModelRoute', namespace: 'a' }], to: [{ group: '', kind: 'Service' }] },
      },
    ])
    await until('both', () => controller.snapshot?.inferenceServices.size === 1 && controller.snapshot.referenceGrants.size === 1)
    inTime(t, 'to see both', performance.now() - began, 11_000, machine())
    await cluster.kubectl('delete', 'crd', 'inferenceservices.serving.kserve.io')
    await until('the end of it', () => controller.snapshot?.inferenceServices.size === 0)
    assert.equal(controller.snapshot?.referenceGrants.size, 1)
  })

  test('a route is Programmed when its proxies say so, and kubectl can wait for it', async () => {
    await cluster.apply(route('fraud'))
    await until('NoDataPlane', async () => (await conditionOf('fraud', 'Programmed'))?.reason === 'NoDataPlane')
    const waiting = cluster.kubectl('wait', '-n', 'ml', '--for=condition=Programmed', '--timeout=20s', 'modelroute/fraud')
    controller.acknowledge()
    await waiting
    // The next edit is not programmed before it is acknowledged.
    await cluster.kubectl('patch', '-n', 'ml', 'mr', 'fraud', '--type=json', '-p', '[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":9}]')
    await until('Pending', async () => {
      const condition = await conditionOf('fraud', 'Programmed')
      return condition?.reason === 'Pending' && condition.observedGeneration === 2
    })
    controller.acknowledgeAlways()
    await cluster.kubectl('wait', '-n', 'ml', '--for=condition=Programmed', '--timeout=20s', 'modelroute/fraud')
    const status = await statusOf('fraud')
    assert.equal(status.observedGeneration, 2)
    assert.equal(status.weights, 'infer: stable=90 canary=10')
    assert.deepEqual({ ...status.dataPlane, version: '' }, { programmed: 1, total: 1, rejected: 0, version: '' })
    assert.match(await cluster.kubectl('get', '-n', 'ml', 'mr', 'fraud'), /stable=90 canary=10/)
  })

  test('the status has one manager, the spec keeps its own, and what is said already is not written again', async () => {
    const before = await cluster.api.get(`${ROUTES}/fraud`)
    const managers = (before.metadata.managedFields as { manager: string; subresource?: string; operation: string }[])
      .filter(({ subresource }) => subresource === 'status')
    assert.deepEqual(managers.map(({ manager, operation }) => [manager, operation]), [['modelroute-controller', 'Apply']])
    controller.report()
    controller.reporter.resume()
    await until('every write', () => controller.reporter.statuses.pending === 0)
    assert.equal((await cluster.api.get(`${ROUTES}/fraud`)).metadata.resourceVersion, before.metadata.resourceVersion)
  })

  test('an edit is in a snapshot within 250 ms of being accepted', async (t) => {
    const machine = watchMachine()
    const delays: number[] = []
    for (let weight = 10; weight < 40; weight++) {
      await cluster.api.patch(`${ROUTES}/fraud`, route('fraud', weight))
      const accepted = performance.now()
      await until('it', () => (
        controller.snapshot?.modelRoutes.get('ml/fraud')?.object?.spec.rules[0]?.backendRefs?.[0]?.weight === weight
      ), { every: 1 })
      delays.push(performance.now() - accepted)
    }
    inTime(t, 'an edit', Math.max(...delays), 250, machine())
  })

  test('a refusal is one Warning, however often the route is looked at', async () => {
    await cluster.apply(route('refused', 1, { logging: { predictions: { samplePercent: 1, bodies: 'Redacted' } } }))
    await until('the refusal', async () => (await conditionOf('refused', 'Accepted'))?.status === 'False')
    await until('the event', async () => (await events('refused')).length > 0)
    // The next leader remembers nothing, and the server knows the event by its name.
    const { uid, generation } = controller.snapshot?.modelRoutes.get('ml/refused') ?? {}
    const [event] = await events('refused')
    for (const instance of ['second', 'third']) {
      const recorder = new EventRecorder({ api: controller.api, instance, log: (_level, msg) => assert.fail(msg) })
      const about = { kind: 'ModelRoute', namespace: 'ml', name: 'refused', uid: uid ?? '' } as const
      await recorder.warn(about, generation ?? 0, String(event?.reason), String(event?.note))
    }
    const found = await events('refused')
    assert.equal(new Set(found.map(({ reason, note }) => `${reason} ${note}`)).size, found.length)
    assert.equal(found[0]?.type, 'Warning')
    assert.match(await cluster.kubectl('describe', '-n', 'ml', 'mr', 'refused'), /Warning.*Invalid/)
  })

  test('what was in force survives a restart, and belongs to its route', async () => {
    await until('the last edit', () => {
      const uid = controller.snapshot?.modelRoutes.get('ml/fraud')?.uid ?? ''
      return controller.source.revisions.latest(uid)?.spec.rules[0]?.backendRefs?.[0]?.weight === 39
    })
    const stored = await cluster.api.list('/apis/apps/v1/namespaces/ml/controllerrevisions?labelSelector=modelroute.io/route=fraud')
    assert.ok(stored.length >= 2 && stored.length <= 10, `${stored.length} revisions`)
    const { metadata } = await cluster.api.get(`${ROUTES}/fraud`)
    for (const { metadata: { ownerReferences } } of stored) {
      assert.equal((ownerReferences as { uid: string }[])[0]?.uid, metadata.uid)
    }
    await cluster.api.patch(`${ROUTES}/fraud`, route('fraud', 40, { logging: { predictions: { samplePercent: 1, bodies: 'Redacted' } } }))
    const second = new Controller(kubeconfig, 'reader')
    void second.source.start(snapshot => { second.snapshot = snapshot })
    await until('its snapshot', () => second.snapshot)
    await second.source.stop()
    second.api.close()
    assert.equal(second.snapshot?.revisions.get('ml/fraud')?.spec.rules[0]?.backendRefs?.[0]?.weight, 39)
  })

  test('a route deleted and created again is another one', async () => {
    await cluster.apply(route('phoenix'))
    const uid = () => controller.snapshot?.modelRoutes.get('ml/phoenix')?.uid
    const first = await until('it', uid)
    await cluster.kubectl('delete', '-n', 'ml', 'mr', 'phoenix')
    await cluster.apply(route('phoenix', 2))
    await until('the other', () => uid() !== undefined && uid() !== first)
    await until('its status', async () => (await conditionOf('phoenix', 'Programmed'))?.status === 'True')
    assert.deepEqual(controller.log.filter(line => line.startsWith('error')), [])
  })

  test('the lease passes at once when its holder stops, and after 15 s when it dies', { timeout: 240_000 }, async (t) => {
    const machine = watchMachine()
    const next = new Controller(kubeconfig, 'second')
    const last = new Controller(kubeconfig, 'third')
    next.elector.start()
    await pause(2_500)
    assert.equal(next.elector.leading, false)
    const stopping = performance.now()
    await controller.elector.stop()
    await until('the second', () => next.elector.leading)
    inTime(t, 'the lease of who stops', performance.now() - stopping, 5_000, machine())
    last.elector.start()
    await pause(2_500)
    // No goodbye: its connections break and every request of its fails from here on.
    const died = performance.now()
    next.api.close()
    await until('the third', () => last.elector.leading, { timeout: 120_000 })
    const took = performance.now() - died
    assert.ok(took > 13_000, `${took} ms`)
    inTime(t, 'the lease of who died', took, 22_000, machine())
    assert.deepEqual(next.said.map(({ what }) => what.split(' ')[0]), ['started', 'stopped'])
    assert.ok((next.said[1]?.at ?? Infinity) < (last.said[0]?.at ?? 0), 'two led at once')
    await next.elector.stop()
    await last.stop()
    await controller.stop()
    controller = new Controller(kubeconfig, 'fourth')
    controller.start()
    await until('the fourth', () => controller.elector.leading && controller.snapshot)
    controller.acknowledgeAlways()
  })

  test('API server and etcd are killed and come back: it goes on by itself, without a storm of lists', { timeout: 400_000 }, async (t) => {
    const kinds = ['modelroutes', 'ratelimitpolicies', 'services', 'endpointslices', 'referencegrants', 'controllerrevisions']
    const weight = () => controller.snapshot?.modelRoutes.get('ml/fraud')?.object?.spec.rules[0]?.backendRefs?.[0]?.weight
    for (const [round, parts] of [[cluster.apiServer], [cluster.etcd], [cluster.apiServer, cluster.etcd]].entries()) {
      await Promise.all(parts.map(part => part.kill()))
      const routes = controller.snapshot?.modelRoutes.size
      await pause(3_000)
      assert.equal(controller.snapshot?.modelRoutes.size, routes, 'nothing is forgotten meanwhile')
      for (const part of [...parts].reverse()) await part.start()
      const machine = watchMachine()
      const back = performance.now()
      await until('the API server to take an edit', () => (
        cluster.api.patch(`${ROUTES}/fraud`, route('fraud', 50 + round)).then(() => true, () => false)
      ), { timeout: 60_000 })
      await until('the edit', () => weight() === 50 + round, { timeout: 60_000, describe: () => controller.log.slice(-20).join('\n') })
      inTime(t, 'to go on', performance.now() - back, 20_000, machine())
      const { metadata } = await cluster.api.get(`${ROUTES}/fraud`)
      await until('its status', async () => {
        const condition = await conditionOf('fraud', 'Programmed')
        return condition?.status === 'True' && condition.observedGeneration === metadata.generation
      }, { timeout: 40_000, describe: () => controller.log.slice(-20).join('\n') })
      // The watches of every kind have to come back too; then what the server counted since it started is the truth.
      await pause(5_000)
      const lists = await listRequests()
      for (const kind of kinds) assert.ok((lists.get(kind) ?? 0) <= 4, `${kind} was listed ${lists.get(kind)} times`)
    }
  })

  /** LIST requests by kind since the API server started, whoever sent them. */
  async function listRequests(): Promise<Map<string, number>> {
    const metrics = await cluster.api.request<string>('GET', '/metrics')
    const lists = new Map<string, number>()
    for (const line of metrics.split('\n')) {
      const [, labels = '', value] = /^apiserver_request_total\{(.*)\} (\d+)/.exec(line) ?? []
      if (!labels.includes('verb="LIST"')) continue
      const kind = /resource="([^"]*)"/.exec(labels)?.[1] ?? ''
      lists.set(kind, (lists.get(kind) ?? 0) + Number(value))
    }
    return lists
  }
})
