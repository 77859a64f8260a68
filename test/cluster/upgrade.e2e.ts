// From the release before this one to this one and back, with Helm and under traffic: requests and streams go to whatever
// Pod is ready, as a Service would send them, and none of them may fail. Each release has its own chart, definitions and
// programs; Helm replaces controllers and proxies at once, so that for a while each speaks with the other release.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { parse } from 'yaml'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { outsideNamespace } from './netns.ts'
import { previous, previousRelease } from './previous.ts'
import { route, routes } from './split.ts'
import { pause, until } from './wait.ts'

const root = join(import.meta.dirname, '../..')
const chart = join(root, 'charts/modelroute')
const namespace = 'modelroute'
/** Of this release. */
const { appVersion: current } = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8')) as { appVersion: string }
const image = (version: string) => `modelroute/modelroute:${version}`
const names = Array.from({ length: 10 }, (_, i) => `model-${i}`)

type Condition = Readonly<{ type: string; status: string; observedGeneration: number }>
type Status = Readonly<{ observedGeneration: number; weights: string; dataPlane: { programmed: number; total: number }; conditions: readonly Condition[] }>

type Definition = Readonly<{ spec: { versions: readonly object[] } }>

/** The paths of all fields of a version, in order. */
function fieldsOf(version: object): string[] {
  const below = (node: unknown, at: string): string[] => (typeof node !== 'object' || node === null ? [] : Object.entries(node).flatMap(([key, value]) => (
    key === 'properties' ? Object.entries(value as object).flatMap(([name, field]) => [`${at}.${name}`, ...below(field, `${at}.${name}`)]) : below(value, at)
  )))
  return below(version, '').sort()
}

suite('an upgrade, and the way back', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let old: string
  let reader: string
  let traffic: Awaited<ReturnType<typeof startTraffic>>

  const kubectl = (...args: string[]) => cluster.kubectl(...args, { timeout: 250_000 })
  /** The command below a heading of docs/upgrades.md, as its reader types it beside the chart and the values. */
  const typed = (heading: string) => {
    const [, line = ''] = new RegExp(`^## ${heading}\n[^]*?^\\$ helm (.+)$`, 'm').exec(readFileSync(join(root, 'docs/upgrades.md'), 'utf8')) ?? assert.fail(heading)
    return cluster.helm(...line.split(' '), '--timeout=240s', { cwd: reader, timeout: 250_000 })
  }
  const values = { controller: { replicas: 2 } }
  const versions = async () => (await cluster.api.list(`/api/v1/namespaces/${namespace}/pods`))
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ spec }) => (spec as { containers: { image: string }[] }).containers[0]?.image)
  const all = (version: string) => until(`nothing but ${version}`, async () => {
    const found = await versions()
    // Releases may come from different registries.
    return found.length === 4 && found.every((one) => one?.endsWith(`:${version}`))
  }, { timeout: 120_000, describe: () => kubelet.pods().map(({ name }) => name).join() })

  /** Every route is there, as it was made, and its status is of its last edit, from both proxies. */
  async function wellTold(uids: ReadonlyMap<string, string>): Promise<void> {
    let seen: unknown
    await until('every status', async () => {
      const found = (await cluster.api.list(routes)).map(({ metadata, spec, status }) => ({ name: metadata.name, uid: metadata.uid, generation: metadata['generation'], spec, status: status as Status | undefined }))
      assert.deepEqual(new Map(found.map(({ name, uid }) => [name, uid ?? ''])), uids, 'no route is lost, and none was made anew')
      const wrong = found.filter(({ generation, spec, status }) => {
        const programmed = status?.conditions.find(({ type }) => type === 'Programmed')
        const [stable, canary] = (spec as ReturnType<typeof route>['spec']).rules[0]?.backendRefs ?? []
        return status?.observedGeneration !== generation || programmed?.status !== 'True' || programmed.observedGeneration !== generation ||
          status?.dataPlane.total !== 2 || status.dataPlane.programmed !== 2 || status.weights !== `infer: stable=${stable?.weight} canary=${canary?.weight}`
      })
      seen = wrong
      return wrong.length === 0
    }, { timeout: 120_000, describe: () => JSON.stringify(seen) })
  }
  /** The definitions that are installed have the fields of a release's, no more and no fewer. */
  async function definitionsOf(release: string): Promise<void> {
    for (const name of ['modelroutes.modelroute.io', 'ratelimitpolicies.modelroute.io']) {
      const { spec } = parse(readFileSync(join(release, `crds/${name}.yaml`), 'utf8')) as Definition
      const installed = await cluster.api.get<Definition & { metadata: { annotations: Record<string, string> } }>(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`)
      assert.deepEqual(installed.spec.versions.map(fieldsOf), spec.versions.map(fieldsOf), name)
      assert.equal(installed.metadata.annotations['helm.sh/resource-policy'], 'keep')
    }
  }
  const edit = (name: string, stable: number) => cluster.api.patch(`${routes}/${name}`, { spec: route(name, stable).spec })
  /** While `change` goes on, routes are edited all the time. Then the statuses are right. */
  async function whileEditing(change: () => Promise<unknown>): Promise<void> {
    const found = await cluster.api.list(routes)
    const uids = new Map(found.map(({ metadata }) => [metadata.name, metadata.uid ?? '']))
    const done = new AbortController()
    const editing = (async () => {
      for (let turn = 0; !done.signal.aborted; turn++) {
        await edit(names[turn % names.length] ?? '', 1 + (turn * 7) % 98)
        await pause(200)
      }
    })()
    try {
      await change()
    } finally {
      done.abort()
      await editing
    }
    await wellTold(uids)
    for (const name of names) await edit(name, 50)
    await wellTold(uids)
    traffic.assertGood()
  }
  const setImage = async (side: 'controller' | 'gateway-default', container: string, version: string) => {
    await kubectl('-n', namespace, 'set', 'image', `deployment/modelroute-${side}`, `${container}=${image(version)}`)
    await kubectl('-n', namespace, 'rollout', 'status', `deployment/modelroute-${side}`, '--timeout=240s')
  }

  before(async () => {
    old = await previousRelease()
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster, { releases: { [image(previous.version)]: old } })
    await kubectl('create', 'namespace', namespace)
    await kubectl('create', 'namespace', 'ml')
    reader = mkdtempSync(join(cluster.folder, 'reader-'))
    mkdirSync(join(reader, 'charts'))
    symlinkSync(chart, join(reader, 'charts/modelroute'))
    writeFileSync(join(reader, 'values.yaml'), JSON.stringify(values))
    await cluster.helm('install', 'modelroute', join(old, 'charts/modelroute'), '-n', namespace, '-f', 'values.yaml', '--wait', '--timeout=240s', { cwd: reader, timeout: 250_000 })
    await cluster.apply([...model(), ...names.map((name) => route(name, 90))])
    await kubectl('-n', 'ml', 'wait', '--for=condition=Available', '--timeout=120s', 'deploy/model')
    await kubectl('-n', 'ml', 'wait', '--for=condition=Programmed', '--timeout=120s', 'modelroutes', '--all')
    assert.deepEqual(new Set(await versions()), new Set([image(previous.version)]))
    traffic = await startTraffic(cluster, kubelet)
  })
  after(async (context) => {
    if ('passed' in context && !context.passed) console.log(await kubelet?.describe())
    await traffic?.stop()
    await kubelet?.stop()
    await cluster?.stop()
  })

  test('helm upgrade brings the programs, the definitions and the chart of this release', { timeout: 280_000 }, async () => {
    await definitionsOf(old)
    await whileEditing(() => typed('Upgrade'))
    await all(current)
    await definitionsOf(root)
  })

  test('helm rollback brings those of the release before', { timeout: 280_000 }, async () => {
    await whileEditing(() => typed('Roll back'))
    await all(previous.version)
    await definitionsOf(old)
  })

  test('proxies of this release are fed by controllers of the one before', { timeout: 280_000 }, async () => {
    await whileEditing(() => setImage('gateway-default', 'proxy', current))
  })

  test('proxies of the release before are fed by controllers of this one', { timeout: 280_000 }, async () => {
    await whileEditing(() => Promise.all([setImage('controller', 'controller', current), setImage('gateway-default', 'proxy', previous.version)]))
    assert.equal((await versions()).filter((one) => one === image(previous.version)).length, 2)
  })

  test('no request and no stream failed in all of that', async (t) => {
    await traffic.stop()
    traffic.assertGood()
    const { requests, streams } = traffic.counts()
    t.diagnostic(`${requests} requests, ${streams} streams`)
    assert.ok(requests > 500 && streams > 20, `${requests} requests, ${streams} streams`)
  })
})

/** Requests and streams, each to a Pod that is ready when it begins. */
async function startTraffic(cluster: ControlPlane, kubelet: Kubelet) {
  const stop = new AbortController()
  const ready = new Map<string, readonly string[]>()
  const failures: string[] = []
  const counted = { requests: 0, streams: 0 }
  await new Promise<void>((resolve) => {
    const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=${encodeURIComponent('kubernetes.io/service-name=modelroute-gateway-default')}`
    void cluster.api.follow(path, (slice, gone) => {
      const endpoints = (slice['endpoints'] ?? []) as { addresses: string[]; conditions: { ready: boolean } }[]
      ready.set(slice.metadata.name, gone ? [] : endpoints.flatMap(({ addresses, conditions }) => (conditions.ready ? addresses : [])))
    }, stop.signal, resolve)
  })
  const someReady = async () => {
    const asked = kubelet.pods().filter(({ ip, labels }) => ip !== undefined && labels['modelroute.io/gateway'] === 'default')
      .map(({ ip }) => fetch(`http://${ip}:9904/readyz`, { signal: AbortSignal.timeout(30_000) }).then(({ ok }) => ok, () => false))
    return (await Promise.all(asked)).includes(true)
  }
  let turn = 0
  async function ask(path: string, init: RequestInit, whole: RegExp): Promise<boolean> {
    const addresses = [...ready.values()].flat()
    const address = addresses[turn++ % addresses.length]
    const began = performance.now()
    if (address === undefined) {
      // Probes that a machine without a free core answers too late are no Pod's doing: it says itself that it is ready.
      if (!await someReady()) failures.push(`${path}: no Pod is ready`)
      await pause(200)
      return false
    }
    try {
      const response = await fetch(`http://${address}:8080${path}`, { ...init, signal: AbortSignal.timeout(120_000) })
      const body = await response.text()
      if (response.status === 200 && whole.test(body)) return true
      // A machine that has not enough cores for all of this: who is told so tries again, and no Pod is to blame.
      if (response.headers.get('x-modelroute-error') === 'overloaded') return false
      failures.push(`${path} at ${address}: ${response.status} ${response.headers.get('x-modelroute-error')} ${body.slice(0, 100)}`)
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? ` ${error.cause.message}` : ''
      failures.push(`${path} at ${address} after ${Math.round(performance.now() - began)} ms: ${String(error)}${cause}`)
    }
    return false
  }
  const body = JSON.stringify({ inputs: [] })
  const requests = async () => {
    for (let at = 0; !stop.signal.aborted; at++) {
      if (await ask(`/v2/models/${names[at % names.length]}/infer`, { method: 'POST', body }, /^\{"outputs":\[\]\}$/)) counted.requests += 1
      await pause(40)
    }
  }
  const streams = async () => {
    while (!stop.signal.aborted) if (await ask(`/v2/models/${names[0]}/stream`, { method: 'POST', body }, /data: 39\n\ndata: end\n\n$/)) counted.streams += 1
  }
  const going = [requests(), requests(), streams(), streams(), streams()]
  return {
    counts: () => counted,
    assertGood: () => assert.deepEqual(failures.slice(0, 10), [], `${failures.length} failed of ${counted.requests + counted.streams}`),
    async stop() {
      stop.abort()
      await Promise.all(going)
    },
  }
}

/** Two Pods that answer at once, or with a stream of four seconds. */
function model(): object[] {
  const labels = { app: 'model' }
  const program = `import { createServer } from 'node:http'
    import { setTimeout as pause } from 'node:timers/promises'
    createServer(async (request, response) => {
      request.resume()
      if (!request.url.endsWith('/stream')) return response.end('{"outputs":[]}')
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (let i = 0; i < 40; i++) {
        response.write('data: ' + i + '\\n\\n')
        await pause(100)
      }
      response.end('data: end\\n\\n')
    }).listen(8000, '0.0.0.0')`
  const container = {
    name: 'model', image: 'model', command: ['node', '--input-type=module', '-e', program], ports: [{ containerPort: 8000 }],
    readinessProbe: { tcpSocket: { port: 8000 }, periodSeconds: 1 },
  }
  return [
    {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'model', namespace: 'ml' },
      spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
    },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'model', namespace: 'ml' }, spec: { selector: labels, ports: [{ name: 'http', port: 8000 }] } },
  ]
}
