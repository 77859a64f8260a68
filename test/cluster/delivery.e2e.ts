// A rollout on a real cluster, under 1,000 requests a second through three proxies, between two versions of a real Triton
// model: a candidate that begins to fail is taken back, and a healthy one arrives when its steps say; steered with the
// command line and as kubectl's plugin.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { createServer, request, Agent } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { after, afterEach, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { startLoad } from '../load.ts'
import type { Sample } from '../load.ts'
import { startTriton } from '../servers/servers.ts'
import type { Triton } from '../servers/servers.ts'
import { inTime, watchMachine } from '../machine.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { addAddress, outsideNamespace } from './netns.ts'
import { temporaryFolder } from './process.ts'
import { until } from './wait.ts'

const root = join(import.meta.dirname, '../..')
const namespace = 'gateway'
const rate = 1_000
/** Seconds. */
const interval = 2
/** Of the first, what 50 requests a second take to show that fewer than 1 % fail: docs/rollouts-analysis.md. */
const holds = [14, 6, 4]
const body = JSON.stringify({ inputs: ['A', 'B'].map((name) => ({ name, datatype: 'FP32', shape: [2], data: [1, 2] })) })
const answers: Readonly<Record<string, readonly number[]>> = { stable: [2, 4], canary: [1002, 1004] }

suite('a rollout under load', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let triton: Triton
  let front: Front
  let plugins: string

  const kubectl = (...args: string[]) => cluster.kubectl(...args)
  const proxies = () => kubelet.pods().filter(({ name, ip }) => ip !== undefined && name.startsWith('modelroute-gateway-default'))
    .map(({ ip }) => `http://${ip}:8080`).sort()
  const load = (limit: number) => startLoad({ targets: proxies(), path: '/v2/models/sum/infer', body, rate, limit })
  type Rule = { phase?: string; step?: number; message?: string; backends: { variant: string; effectiveWeight: number }[] }
  const rule = async (): Promise<Rule> =>
    (await cluster.api.get('/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes/triton')).status.rules[0]
  const weigh = (stable: number, canary: number) => kubectl('patch', 'modelroute', 'triton', '-n', 'ml', '--type=json', '-p', JSON.stringify([
    { op: 'replace', path: '/spec/rules/0/backendRefs/0/weight', value: stable },
    { op: 'replace', path: '/spec/rules/0/backendRefs/1/weight', value: canary },
  ]))
  const rollout = async (...words: string[]) => (await promisify(execFile)(
    process.execPath, [join(root, 'cli/modelroute.js'), 'rollout', ...words, '-n', 'ml', '--kubeconfig', cluster.kubeconfig],
  )).stdout

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    await kubectl('create', 'namespace', namespace)
    await kubectl('create', 'namespace', 'ml')
    await cluster.helm(
      'install', 'modelroute', join(root, 'charts/modelroute'), '-n', namespace, '--wait', '--timeout', '120s',
      '--set', 'controller.allowUnmanagedEndpointSlices=true', '--set', 'gateways[0].name=default', '--set', 'gateways[0].replicas=3',
    )
    triton = await startTriton({ host: addAddress() })
    front = await startFront(triton.http, addAddress())
    await cluster.apply([...at('triton', new URL(triton.http)), ...at('triton-next', front.url), route()])
    await kubectl('wait', '--for=condition=Programmed', 'modelroute/triton', '-n', 'ml', '--timeout=30s')
    plugins = temporaryFolder('plugins')
    symlinkSync(join(root, 'cli/modelroute.js'), join(plugins, 'kubectl-modelroute'))
  })
  after(async () => {
    front?.server.close()
    await triton?.stop()
    await kubelet?.stop()
    await cluster?.stop()
  })
  afterEach(async (context) => {
    if ('passed' in context && !context.passed) console.log(await kubelet.describe())
  })

  test('a candidate that begins to fail one request of five at 25 % has none of them two intervals later', async (t) => {
    const machine = watchMachine()
    const run = load(60_000)
    await weigh(0, 100)
    await until('the second step', async () => (await rule()).step === 2, { timeout: 120_000 })
    await until('its traffic', () => shareOf(run.samples.slice(-400)) > 0.2)
    const begin = performance.now()
    front.failing = true
    await until('the abort', async () => (await rule()).phase === 'Aborted', { timeout: 120_000 })
    const taken = await until('traffic without the candidate', () => {
      const late = run.samples.filter(({ at }) => at > performance.now() - 500)
      return late.length > 200 && shareOf(late) === 0
    })
    assert.ok(taken)
    const samples = await run.stop()
    front.failing = false
    assert.ok(samples.length > rate * 5, `${samples.length} requests`)
    const last = Math.max(...samples.filter(({ headers }) => headers['x-modelroute-variant'] === 'canary').map(({ at }) => at)) - begin
    const bad = samples.filter((sample) => !isRight(sample))
    const figures = `last request to the candidate ${(last / 1000).toFixed(1)} s after it began to fail; ` +
      `${bad.length} of ${samples.length} requests affected (${((100 * bad.length) / samples.length).toFixed(2)} %)`
    t.diagnostic(figures)
    inTime(t, figures, last, 2 * interval * 1000, machine())
    assert.ok(bad.every(({ status }) => status === 500), JSON.stringify(bad.slice(0, 3)))
    const { message = '', backends } = await rule()
    assert.match(message, /error-rate/)
    assert.deepEqual(backends.map(({ variant, effectiveWeight }) => [variant, effectiveWeight]), [['stable', 1_000_000], ['canary', 0]])
  })

  test('kubectl and its plugin show what happened', async () => {
    assert.match(await kubectl('get', 'mr', '-n', 'ml'), /triton\s+infer: stable=100 canary=0/)
    const { stdout } = await promisify(execFile)(cluster.binaries.kubectl, ['modelroute', 'rollout', 'status', 'triton', '-n', 'ml'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: `${plugins}:${process.env['PATH'] ?? ''}` },
    })
    assert.match(stdout, /ml\/triton {2}in force on 3 of 3 proxies/)
    assert.match(stdout, /infer {2}Aborted/)
    assert.match(stdout, /stable {2}█{20} {1,2}100 % of 0 %/)
    assert.match(await kubectl('get', 'events', '-n', 'ml'), /error-rate/)
    await assert.rejects(rollout('promote', 'triton', 'inferr'), /has no rule inferr; it has infer/)
  })

  test('a healthy candidate reaches its target when its steps say, within an interval', async (t) => {
    const machine = watchMachine()
    const run = load(60_000)
    const begin = performance.now()
    await rollout('retry', 'triton')
    const line = await rollout('status', 'triton', '-w', '--timeout', '60s')
    const took = (performance.now() - begin) / 1000
    const samples = await run.stop()
    const wanted = holds.reduce((sum, hold) => sum + hold, 0)
    const bad = samples.filter((sample) => !isRight(sample))
    const figures = `${took.toFixed(1)} s to the target, by its steps ${wanted} s; ${bad.length} of ${samples.length} failed`
    t.diagnostic(figures)
    assert.match(line, /infer Stable .*canary=100 %/)
    assert.ok(took >= wanted - interval - 1, figures)
    inTime(t, figures, 1000 * took, 1000 * (wanted + interval + 1), machine())
    assert.equal(bad.length, 0, `${figures}: ${JSON.stringify(bad[0])}`)
    assert.equal(shareOf(samples.slice(-100)), 1)
  })
})

function shareOf(samples: readonly Sample[]): number {
  return samples.filter(({ headers }) => headers['x-modelroute-variant'] === 'canary').length / Math.max(1, samples.length)
}

/** 200, with the sum as the version that the header names has it. */
function isRight({ status, headers, body }: Sample): boolean {
  if (status !== 200) return false
  const { outputs } = JSON.parse(body) as { outputs: { data: number[] }[] }
  return outputs[0]?.data.join() === answers[String(headers['x-modelroute-variant'])]?.join()
}

type Front = { server: Server; url: URL; failing: boolean }

/** Before the candidate: what it passes on fails one time in five, once it is told so. */
async function startFront(to: string, host: string): Promise<Front> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  let count = 0
  const server = createServer((incoming, response) => {
    if (front.failing && incoming.method === 'POST' && count++ % 5 === 0) {
      incoming.resume()
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"out of memory"}')
      return
    }
    const { method, headers, url = '/' } = incoming
    const call = request(new URL(url, to), { agent, method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    call.on('error', () => response.destroy())
    incoming.pipe(call)
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const front: Front = { server, url: new URL(`http://${host}:${(server.address() as AddressInfo).port}`), failing: false }
  return front
}

function route(): object {
  const backend = (variant: string, name: string, version: string, weight: number) =>
    ({ variant, name, port: 8000, weight, model: { name: 'add', version } })
  return {
    apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'triton', namespace: 'ml' },
    spec: {
      rules: [{
        name: 'infer',
        matches: [{ path: { value: '/v2/models/sum' } }],
        backendRefs: [backend('stable', 'triton', '1', 100), backend('canary', 'triton-next', '2', 0)],
        rollout: {
          candidate: 'canary',
          steps: [5, 25, 50].map((percent, i) => ({ percent, hold: `${holds[i]}s` })),
          analysis: { interval: `${interval}s`, minRequests: 50, metrics: [{ name: 'error-rate', max: '0.01' }] },
        },
      }],
    },
  }
}

/** A Service without a selector, and the slice that says where it is. */
function at(name: string, { hostname, port }: URL): object[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'ml' }, spec: { ports: [{ name: 'http', port: 8000 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
      metadata: { name, namespace: 'ml', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4', ports: [{ name: 'http', port: Number(port) }], endpoints: [{ addresses: [hostname], conditions: { ready: true } }],
    },
  ]
}
