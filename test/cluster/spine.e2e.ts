// Manifests in, canary traffic out: the chart installed with Helm, its Pods run with its own service accounts, real
// EndpointSlices, and a load whose every answer is checked while things are edited, added, removed and killed.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { after, afterEach, before, suite, test } from 'node:test'
import { percentile, startLoad } from '../load.ts'
import type { Sample } from '../load.ts'
import { startTriton } from '../servers/servers.ts'
import type { Triton } from '../servers/servers.ts'
import { inTime, watchMachine } from '../machine.ts'
import type { KubeObject } from './api.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { addAddress, outsideNamespace } from './netns.ts'
import { pause, until } from './wait.ts'

const chart = join(import.meta.dirname, '../../charts/modelroute')
const namespace = 'gateway'
const question = JSON.stringify({ inputs: [{ name: 'amount', datatype: 'FP32', shape: [1], data: [120] }] })
/** What each version of the tour's model answers to it. */
const scores: Readonly<Record<string, number>> = { stable: 0.12, canary: 0.4512 }

suite('the spine', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let triton: Triton

  const kubectl = (...args: string[]) => cluster.kubectl(...args)
  const pods = (app: string) => kubelet.pods().filter(({ name, ip }) => ip !== undefined && name.startsWith(app))
  const proxies = () => pods('modelroute-gateway-default').map(({ ip }) => `http://${ip}:8080`).sort()
  const getJson = async <T>(url: string): Promise<T> => (await fetch(url, { signal: AbortSignal.timeout(5000) })).json() as Promise<T>
  const programmed = (name: string) => kubectl('wait', '--for=condition=Programmed', `modelroute/${name}`, '-n', 'ml', '--timeout=30s')
  const status = async (name: string) => (await cluster.api.get(`/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes/${name}`)).status

  /** Access log lines of every proxy since a moment (`Date.now()`). */
  type Line = { time: string; msg: string; status: number; route?: string; endpoint?: string; table: string; duration_ms: number }
  const requestsSince = (since: number): Line[] =>
    kubelet.logs(namespace, 'modelroute-gateway').split('\n').flatMap((line) => {
      const at = line.indexOf('{')
      if (at === -1 || !line.includes('"msg":"request"')) return []
      const entry = JSON.parse(line.slice(at)) as Line
      return Date.parse(entry.time) - entry.duration_ms >= since ? [entry] : []
    })

  /** Each answer is complete and right: 200, and the score of the version that the header names. */
  const wrong = (sample: Sample): boolean => {
    if (sample.status !== 200) return true
    const answer = JSON.parse(sample.body) as { outputs: { data: number[] }[] }
    return answer.outputs[0]?.data[0] !== scores[String(sample.headers['x-modelroute-variant'])]
  }
  const assertGood = (samples: readonly Sample[], atLeast: number) => {
    assert.ok(samples.length >= atLeast, `${samples.length} requests, fewer than ${atLeast}`)
    const bad = samples.filter(wrong)
    const shown = bad.slice(0, 5).map(({ status, error, body, headers }) => ({ status, error, body: body.slice(0, 200), code: headers['x-modelroute-error'] }))
    assert.equal(bad.length, 0, `${bad.length} of ${samples.length} failed: ${JSON.stringify(shown)}`)
  }
  const load = (rate: number, limit: number) =>
    startLoad({ targets: proxies(), path: '/v2/models/fraud/infer', body: question, rate, limit })
  const weights = (stable: number, canary: number) =>
    JSON.stringify([
      { op: 'replace', path: '/spec/rules/0/backendRefs/0/weight', value: stable },
      { op: 'replace', path: '/spec/rules/0/backendRefs/1/weight', value: canary },
    ])
  const split = (stable: number, canary: number) =>
    kubectl('patch', 'modelroute', 'fraud', '-n', 'ml', '--type=json', '-p', weights(stable, canary))

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    await kubectl('create', 'namespace', namespace)
    await kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted')
    await kubectl('create', 'namespace', 'ml')
    await cluster.helm(
      'install', 'modelroute', chart, '-n', namespace, '--wait', '--timeout', '90s',
      '--set', 'controller.allowUnmanagedEndpointSlices=true',
      // For this test to read the tables in force.
      '--set', 'gatewayDefaults.extraArgs={--admin-host=0.0.0.0}',
    )
    await cluster.apply([...model('fraud-v1', '1'), ...model('fraud-v2', '2'), route('fraud')])
    await kubectl('rollout', 'status', 'deployment/fraud-v1', '-n', 'ml', '--timeout=60s')
    await kubectl('rollout', 'status', 'deployment/fraud-v2', '-n', 'ml', '--timeout=60s')
    await programmed('fraud')
  })
  after(async () => {
    await triton?.stop()
    await kubelet?.stop()
    await cluster?.stop()
  })
  afterEach(async (context) => {
    if ('passed' in context && !context.passed) console.log(await kubelet.describe())
  })

  test('kubectl shows the weights, waits for proxies, and explains the fields', async () => {
    const table = await kubectl('get', 'mr', '-n', 'ml')
    assert.match(table, /NAME\s+HOSTNAMES\s+WEIGHTS\s+ROLLOUT\s+PROGRAMMED\s+AGE/)
    assert.match(table, /fraud\s+infer: stable=90 canary=10\s+Stable\s+True/)
    const { dataPlane, observedGeneration } = await status('fraud')
    assert.deepEqual([dataPlane.programmed, dataPlane.total, dataPlane.rejected], [2, 2, 0])
    assert.equal(observedGeneration, 1)
    await until('the counts of endpoints', async () => {
      const { backends } = (await status('fraud')).rules[0] as { backends: { endpoints: number }[] }
      return backends.map(({ endpoints }) => endpoints).join() === '2,1'
    })
    assert.match(await kubectl('explain', 'modelroute.spec.rules.backendRefs'), /weight/)
    assert.match(await kubectl('get', 'ml', '-n', 'ml'), /modelroute.modelroute.io\/fraud/)
  })

  test('500 requests at 90/10 on one proxy are 450 and 50, within one', async () => {
    const [target = ''] = proxies()
    const run = startLoad({ targets: [target], path: '/v2/models/fraud/infer', body: question, rate: 250, limit: 500 })
    await until('500 answers', () => run.samples.length === 500)
    assertGood(await run.stop(), 500)
    const stable = run.samples.filter(({ headers }) => headers['x-modelroute-variant'] === 'stable').length
    assert.ok(Math.abs(stable - 450) <= 1, `${stable} of 500 went to stable`)
  })

  test('twenty weight edits under 200 requests/s: none fails, and each is in force on every proxy within 250 ms', async (t) => {
    const accepted: { at: number; variant: string }[] = []
    const stop = new AbortController()
    let generation = 0
    const watching = cluster.api.follow('/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes', (object) => {
      const next = Number(object.metadata['generation'])
      if (object.metadata.name !== 'fraud' || next === generation) return
      generation = next
      const [first] = (object as KubeObject & { spec: { rules: { backendRefs: { weight: number }[] }[] } }).spec.rules[0]!.backendRefs
      accepted.push({ at: performance.now(), variant: first!.weight > 0 ? 'stable' : 'canary' })
    }, stop.signal)
    await until('the watch', () => generation > 0)
    accepted.length = 0
    const machine = watchMachine()
    const begin = Date.now()
    const run = load(200, 6000)
    for (let edit = 0; edit < 20; edit++) {
      const before = run.samples.length
      await (edit % 2 === 0 ? split(0, 100) : split(100, 0))
      await until('traffic on the edit', () => run.samples.length > before + 60)
    }
    await pause(300)
    const samples = await run.stop()
    stop.abort()
    await watching
    assertGood(samples, 1000)
    assert.equal(accepted.length, 20)
    // On each proxy: how long after an edit was accepted did a request still start that the old table answered?
    const lags = accepted.flatMap(({ at, variant }, i) => {
      const until = accepted[i + 1]?.at ?? Infinity
      return proxies().map((_, target) => {
        const late = samples.filter((s) => s.target === target && s.at > at && s.at < until && s.headers['x-modelroute-variant'] !== variant)
        return Math.max(0, ...late.map((s) => s.at - at))
      })
    })
    const versions = new Set(requestsSince(begin).map(({ table }) => table))
    assert.ok(!versions.has(''), 'every request names the one table that served it')
    const figures = `edit in force: p50 ${percentile(lags, 0.5).toFixed(0)} ms, p99 ${percentile(lags, 0.99).toFixed(0)} ms; ` +
      `${samples.length} requests, ${versions.size} table versions, 0 failed`
    t.diagnostic(figures)
    inTime(t, figures, percentile(lags, 0.99), 250, machine())
    await split(90, 10)
  })

  test('an endpoint that goes is not used 500 ms later, and one that comes is used within 500 ms', async (t) => {
    const seen = new Map<string, number>()
    const lost = new Map<string, number>()
    const stop = new AbortController()
    const path = '/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices?labelSelector=kubernetes.io/service-name%3Dfraud-v1'
    const watching = cluster.api.follow(path, (slice) => {
      type Endpoint = { addresses: string[]; conditions: { ready: boolean } }
      for (const { addresses: [ip = ''], conditions } of (slice['endpoints'] ?? []) as Endpoint[]) {
        if (conditions.ready && !seen.has(ip)) seen.set(ip, Date.now())
        if (!conditions.ready && seen.has(ip) && !lost.has(ip)) lost.set(ip, Date.now())
      }
    }, stop.signal)
    await until('both endpoints', () => seen.size === 2)
    const machine = watchMachine()
    const begin = Date.now()
    const run = load(200, 6000)
    const [victim] = pods('fraud-v1')
    await kubectl('delete', 'pod', victim!.name, '-n', 'ml', '--wait=false')
    await until('the endpoint to be taken out', () => lost.has(victim!.ip!))
    const fresh = await until('a replacement', () => [...seen].find(([, at]) => at > begin))
    const uses = (ip: string) => requestsSince(begin).filter(({ endpoint }) => endpoint?.startsWith(`${ip}:`))
    await until('the replacement to be used', () => uses(fresh[0]).length > 0)
    await pause(1000)
    assertGood(await run.stop(), 200)
    stop.abort()
    await watching
    const startOf = ({ time, duration_ms }: Line) => Date.parse(time) - duration_ms
    const lastUse = Math.max(...uses(victim!.ip!).map(startOf)) - lost.get(victim!.ip!)!
    const firstUse = Math.min(...uses(fresh[0]).map(startOf)) - fresh[1]
    const figures = `removed endpoint last used ${lastUse.toFixed(0)} ms after its slice said so; added one first used after ${firstUse.toFixed(0)} ms`
    t.diagnostic(figures)
    inTime(t, figures, Math.max(lastUse, firstUse), 500, machine())
  })

  test('a canary between two versions of a real Triton model answers with the version that it names', async () => {
    const host = addAddress()
    triton = await startTriton({ host })
    await cluster.apply([...unmanaged('triton', host, Number(new URL(triton.http).port)), tritonRoute()])
    await programmed('triton')
    const body = JSON.stringify({
      inputs: ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [2], data: [1, 2] })),
    })
    const [target = ''] = proxies()
    const run = startLoad({ targets: [target], path: '/v2/models/sum/infer', body, rate: 100, limit: 200 })
    await until('200 answers', () => run.samples.length === 200)
    const samples = await run.stop()
    const count = { stable: 0, canary: 0 }
    for (const { status, headers, body } of samples) {
      assert.equal(status, 200, body)
      const answer = JSON.parse(body) as { model_version: string; outputs: { data: number[] }[] }
      const variant = headers['x-modelroute-variant'] as 'stable' | 'canary'
      count[variant]++
      assert.equal(answer.model_version, variant === 'stable' ? '1' : '2')
      assert.deepEqual(answer.outputs[0]?.data, variant === 'stable' ? [2, 4] : [1002, 1004])
      assert.equal(headers['x-modelroute-model-version'], answer.model_version)
    }
    assert.ok(Math.abs(count.canary - 40) <= 1, `${count.canary} of 200 at 20 %`)
  })

  test('what is refused says where and why, and leaves every other route as it was, byte for byte', async () => {
    type Table = { routes: { id: string }[] }
    const tables = () => Promise.all(pods('modelroute-gateway-default').map(({ ip }) => getJson<Table>(`http://${ip}:9901/table`)))
    const others = async () => JSON.stringify((await tables()).map(({ routes }) => routes.filter(({ id }) => id === 'ml/fraud' || id === 'ml/triton')))
    const before = await others()
    const reasons = async (name: string, type: string, reason: string) =>
      until(`${name} to be ${type} ${reason}`, async () => {
        const { conditions = [] } = (await status(name)) ?? {}
        const found = (conditions as { type: string; reason: string; message: string }[]).find((c) => c.type === type)
        return found?.reason === reason ? found.message : null
      }, { timeout: 10_000 })

    const regex = route('regex', { path: { type: 'RegularExpression', value: '/v2/(models' } })
    const unsupported = route('unsupported', { path: { value: '/unsupported' } }, {}, [{ variant: 'a', kind: 'URL', url: 'https://models.example.com' }])
    const missing = route('missing', { path: { value: '/missing' } }, {}, [{ variant: 'a', name: 'nobody', port: 80 }])
    const forbidden = route('forbidden', { path: { value: '/forbidden' } }, {}, [{ variant: 'a', name: 'modelroute-controller', namespace, port: 9902 }])
    const conflict = route('zz-conflict')
    await cluster.apply([regex, unsupported, missing, forbidden, conflict])
    assert.match(await reasons('regex', 'Accepted', 'Invalid'), /spec\.rules\[0\]\.matches\[0\]\.path/)
    assert.match(await reasons('unsupported', 'Accepted', 'UnsupportedValue'), /spec\.rules\[0\]\.backendRefs\[0\]\.url/)
    await reasons('missing', 'ResolvedRefs', 'BackendNotFound')
    const denied = await reasons('forbidden', 'ResolvedRefs', 'RefNotPermitted')
    assert.match(await reasons('zz-conflict', 'Accepted', 'Conflicted'), /ml\/fraud/)
    // A reference to what is missing in a foreign namespace reads exactly as one to what is there.
    const absent = route('forbidden', { path: { value: '/forbidden' } }, {}, [{ variant: 'a', name: 'nobody-at-all', namespace, port: 9902 }])
    await cluster.apply([absent])
    await until('the same words for a missing one', async () =>
      (await reasons('forbidden', 'ResolvedRefs', 'RefNotPermitted')).replaceAll('nobody-at-all', 'modelroute-controller') === denied)

    const [target = ''] = proxies()
    assert.equal((await fetch(`${target}/missing`)).status, 500)
    assert.equal((await fetch(`${target}/forbidden`)).headers.get('x-modelroute-error'), 'backend_unresolved')
    assert.equal((await fetch(`${target}/unsupported`)).status, 404)
    assert.equal(await others(), before)
    await until('an event', async () => /Accepted|UnsupportedValue/.test(await kubectl('get', 'events', '-n', 'ml')))

    for (const [bad, words] of [
      [{ ...route('typo'), spec: { rulez: [] } }, /unknown field "spec.rulez"/],
      [route('zero', {}, {}, [{ variant: 'a', name: 'fraud-v1', port: 8000, weight: 0 }]), /weight/],
      [route('twice', {}, {}, [{ variant: 'a', name: 'fraud-v1', port: 8000 }, { variant: 'a', name: 'fraud-v2', port: 8000 }]), /[Dd]uplicate/],
      [route('huge', { path: { type: 'RegularExpression', value: 'a'.repeat(1_000_000) } }), /too long|Too long/i],
    ] as const) {
      await assert.rejects(cluster.kubectl('create', '-f', '-', { stdin: JSON.stringify(bad) }), words)
    }
    await kubectl('delete', 'mr', '-n', 'ml', 'regex', 'unsupported', 'missing', 'forbidden', 'zz-conflict')
  })

  test('an edit that breaks a rule keeps its last good version, also over a restart of the controller', async () => {
    await split(70, 30)
    await programmed('fraud')
    type Revision = KubeObject & { revision: number; data: { spec: { rules: { backendRefs: { weight: number }[] }[] } } }
    const revisions = async () => ((await cluster.api.list('/apis/apps/v1/namespaces/ml/controllerrevisions')) as unknown as Revision[])
      .filter(({ metadata }) => metadata.name.startsWith('fraud')).sort((a, b) => b.revision - a.revision)
    await until('its revision', async () => (await revisions())[0]?.data.spec.rules[0]?.backendRefs[0]?.weight === 70)
    const latest = async () => (await revisions())[0]?.revision
    const good = await latest()
    await kubectl('patch', 'modelroute', 'fraud', '-n', 'ml', '--type=json', '-p',
      JSON.stringify([{ op: 'replace', path: '/spec/rules/0/matches/0/path', value: { type: 'RegularExpression', value: '(' } }]))
    await until('the fall back', async () =>
      ((await status('fraud')).conditions as { type: string; status: string }[]).some((c) => c.type === 'Accepted' && c.status === 'False'))
    const answered = async () => {
      const run = load(100, 100)
      await until('100 answers', () => run.samples.length === 100)
      assertGood(await run.stop(), 100)
    }
    await answered()
    kubelet.kill(namespace, 'modelroute-controller', 'SIGKILL')
    await until('the controller to end', () => controllerReady().then((ready) => !ready, () => true))
    await until('the controller to be back', controllerReady, { timeout: 60_000 })
    // A proxy that starts empty has nothing but what the restarted controller tells it.
    const proxy = pods('modelroute-gateway-default')[0]!
    await kubectl('delete', 'pod', proxy.name, '-n', namespace, '--wait=true')
    await kubectl('rollout', 'status', 'deployment/modelroute-gateway-default', '-n', namespace, '--timeout=60s')
    await until('two proxies', () => proxies().length === 2)
    await answered()
    assert.equal(await latest(), good)
    await cluster.apply([route('fraud')])
    await programmed('fraud')
  })

  const controllerReady = async () => {
    const [pod] = pods('modelroute-controller')
    return pod !== undefined && (await fetch(`http://${pod.ip}:9903/readyz`, { signal: AbortSignal.timeout(1000) })).ok
  }

  test('without its controller traffic goes on, and a proxy restarts from its last good table', async () => {
    const run = load(100, 6000)
    kubelet.kill(namespace, 'modelroute-controller', 'SIGKILL')
    await kubectl('scale', 'deployment/modelroute-controller', '-n', namespace, '--replicas=0')
    await until('the controller to be gone', () => pods('modelroute-controller').length === 0)
    const gone = run.samples.length
    await until('traffic without it', () => run.samples.length > gone + 50)
    assertGood(await run.stop(), 50)
    const [proxy, other] = pods('modelroute-gateway-default')
    const steady = startLoad({ targets: [`http://${other!.ip}:8080`], path: '/v2/models/fraud/infer', body: question, rate: 50, limit: 3000 })
    assert.equal(kubelet.kill(namespace, proxy!.name, 'SIGKILL'), 1)
    const ready = async () => (await fetch(`http://${proxy!.ip}:9904/readyz`, { signal: AbortSignal.timeout(500) })).ok
    await until('the proxy to end', () => ready().then((ok) => !ok, () => true), { every: 10 })
    await until('the proxy to be ready again', () => ready().catch(() => false), { timeout: 30_000 })
    const restarted = startLoad({ targets: [`http://${proxy!.ip}:8080`], path: '/v2/models/fraud/infer', body: question, rate: 100, limit: 100 })
    await until('100 answers', () => restarted.samples.length === 100)
    assertGood(await restarted.stop(), 100)
    assertGood(await steady.stop(), 20)
    assert.match(kubelet.logs(namespace, proxy!.name), /serving the last good table from disk/)
    await kubectl('scale', 'deployment/modelroute-controller', '-n', namespace, '--replicas=1')
    await split(60, 40)
    await until('the new controller to be heard', async () => (await status('fraud')).weights === 'infer: stable=60 canary=40', { timeout: 60_000 })
    await programmed('fraud')
  })

  test('a second controller converges with the first, and every proxy reports to both', async () => {
    await kubectl('scale', 'deployment/modelroute-controller', '-n', namespace, '--replicas=2')
    await until('two controllers that both see two proxies in force', async () => {
      const found = pods('modelroute-controller')
      if (found.length !== 2) return false
      type Status = { items: { metadata: { name: string }; status: { weights: string; dataPlane: { programmed: number; total: number; version: string } } }[] }
      const said = await Promise.all(found.map(async ({ ip }) =>
        (await getJson<Status>(`http://${ip}:9903/status`)).items.find(({ metadata }) => metadata.name === 'fraud')?.status))
      return said.every((s) => s?.dataPlane.programmed === 2 && s.dataPlane.total === 2 && s.dataPlane.version === said[0]?.dataPlane.version)
    }, { timeout: 60_000 })
    const run = load(100, 3000)
    // Whichever of them feeds a proxy: its end is noticed, and the other takes over.
    const [first] = pods('modelroute-controller')
    await kubectl('delete', 'pod', first!.name, '-n', namespace, '--wait=false')
    await split(50, 50)
    await until('the edit in the status', async () => (await status('fraud')).weights === 'infer: stable=50 canary=50', { timeout: 60_000 })
    await programmed('fraud')
    assertGood(await run.stop(), 50)
    await kubectl('scale', 'deployment/modelroute-controller', '-n', namespace, '--replicas=1')
  })

  test('API server and etcd die and come back: the controller recovers by itself, without a storm of lists', async (t) => {
    const run = load(50, 6000)
    await Promise.all([cluster.apiServer.kill(), cluster.etcd.kill()])
    await pause(3000)
    await cluster.etcd.start()
    await cluster.apiServer.start()
    const from = performance.now()
    await split(20, 80)
    const answers = () => run.samples.filter((s) => s.at > from)
    await until('the edit in the traffic', () => {
      const recent = answers().slice(-50)
      return recent.length === 50 && recent.filter((s) => s.headers['x-modelroute-variant'] === 'canary').length >= 38
    }, { timeout: 60_000 })
    await programmed('fraud')
    assertGood(await run.stop(), 100)
    // The counters began at 0 with the API server. One list a kind and page, and one more for what a watch may have missed.
    const metrics = String(await cluster.api.request<unknown>('GET', '/metrics'))
    const lists = ['modelroutes', 'ratelimitpolicies', 'endpointslices', 'controllerrevisions'].map((resource) => {
      const pattern = new RegExp(`^apiserver_request_total\\{[^}]*resource="${resource}"[^}]*verb="LIST"[^}]*\\} (\\d+)`, 'gm')
      return [resource, [...metrics.matchAll(pattern)].reduce((sum, m) => sum + Number(m[1]), 0)] as const
    })
    t.diagnostic(`lists after the restart, of every client: ${lists.map(([resource, n]) => `${resource} ${n}`).join(', ')}`)
    for (const [resource, n] of lists) assert.ok(n <= 8, `${n} lists of ${resource}`)
  })
})

function model(name: string, version: '1' | '2'): object[] {
  return [
    {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace: 'ml' },
      spec: {
        replicas: version === '1' ? 2 : 1,
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: {
            terminationGracePeriodSeconds: 5,
            containers: [{
              name: 'model', image: 'none', command: ['node', '/app/test/cluster/fixtures/model.ts'],
              env: [{ name: 'VERSION', value: version }],
              ports: [{ containerPort: 8000 }],
              readinessProbe: { httpGet: { path: '/v2/health/ready', port: 8000 }, periodSeconds: 1 },
            }],
          },
        },
      },
    },
    {
      apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'ml' },
      spec: { selector: { app: name }, ports: [{ name: 'http', port: 8000, targetPort: 8000 }] },
    },
  ]
}

function route(name: string, match: object = { path: { value: '/v2/models/fraud' } }, more: object = {}, backendRefs: object[] = [
  { variant: 'stable', name: 'fraud-v1', port: 8000, weight: 90 },
  { variant: 'canary', name: 'fraud-v2', port: 8000, weight: 10 },
]): object {
  return {
    apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name, namespace: 'ml' },
    spec: { rules: [{ name: 'infer', matches: [match], backendRefs, ...more }] },
  }
}

function tritonRoute(): object {
  const backend = (variant: string, version: string, weight: number) =>
    ({ variant, name: 'triton', port: 8000, weight, model: { name: 'add', version } })
  return route('triton', { path: { value: '/v2/models/sum' } }, {}, [backend('stable', '1', 80), backend('canary', '2', 20)])
}

/** A Service without a selector, and the slice that says where it is. */
function unmanaged(name: string, address: string, port: number): object[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'ml' }, spec: { ports: [{ name: 'http', port: 8000 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
      metadata: { name, namespace: 'ml', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4', ports: [{ name: 'http', port }], endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
  ]
}
