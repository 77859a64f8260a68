// A policy applied with kubectl, edited and renamed, while a proxy enforces it: what holds, how soon, and what is still counted.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, suite, test, type TestContext } from 'node:test'
import { startController, type Controller } from '../../controller/main.ts'
import { startDataplane, type Dataplane } from '../../dataplane/main.ts'
import { createLog } from '../../dataplane/telemetry/log.ts'
import { linkPair } from '../../table/link.ts'
import { inTime, watchMachine } from '../machine.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { define } from './definitions.ts'
import { addAddress, outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

const free = { host: '127.0.0.1', port: 0 }

suite('limits in a cluster', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let controller: Controller
  let proxy: Dataplane
  const backend = createServer((request, response) => {
    request.resume()
    response.end('served')
  })

  const ask = async () => {
    const answer = await fetch(`${proxy.urls.http}/v2/models/fraud/infer`, { method: 'POST', body: '{}' })
    await answer.text()
    return { status: answer.status, policy: answer.headers.get('ratelimit-policy') }
  }
  const apply = (object: object) => cluster.kubectl('apply', '-f', '-', { stdin: JSON.stringify(object) })
  const policy = (limit: string, requests: number, name = 'tiers') => ({
    apiVersion: 'modelroute.io/v1alpha1', kind: 'RateLimitPolicy', metadata: { name, namespace: 'ml' },
    spec: {
      targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'fraud' }],
      limits: [{ name: limit, rate: { requests, window: '24h' } }],
    },
  })
  /** Applies it, and waits until answers say so: at most a second after kubectl is done. */
  async function inForce(t: TestContext, object: object, expected: string): Promise<void> {
    const machine = watchMachine()
    await apply(object)
    const applied = performance.now()
    await until('the policy', async () => (await (await fetch(`${proxy.urls.admin}/table`)).text()).includes(expected))
    const took = performance.now() - applied
    inTime(t, 'to be in force', took, 1000, machine())
  }
  const condition = async (kind: string, name: string, type: string) =>
    cluster.kubectl('get', kind, name, '-n', 'ml', '-o', `jsonpath={.status.conditions[?(@.type=="${type}")].message}`)

  before(async () => {
    cluster = await startControlPlane()
    await define(cluster)
    await cluster.kubectl('create', 'namespace', 'ml')
    backend.listen(0, addAddress())
    await once(backend, 'listening')
    const { address, port } = backend.address() as AddressInfo
    await apply({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'fraud', namespace: 'ml' }, spec: { ports: [{ name: 'http', port: 8000 }] } })
    await apply({
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
      metadata: { name: 'fraud', namespace: 'ml', labels: { 'kubernetes.io/service-name': 'fraud' } },
      addressType: 'IPv4', ports: [{ name: 'http', port }], endpoints: [{ addresses: [address] }],
    })
    await apply({
      apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'fraud', namespace: 'ml' },
      spec: { rules: [{ name: 'infer', backendRefs: [{ variant: 'stable', name: 'fraud', port: 8000 }] }] },
    })
    const log = createLog({ level: 'error' })
    const [controllerEnd, proxyEnd] = linkPair()
    controller = await startController({
      source: { cluster: { kubeconfig: cluster.kubeconfig, namespaces: [], secretNamespaces: [], leaderElect: false } },
      control: free, allowUrls: [], allowUnmanagedEndpointSlices: true, log: (...line) => log.write(...line), listening: () => {},
    })
    controller.accept(controllerEnd)
    proxy = await startDataplane({ http: free, admin: free, feed: { link: proxyEnd }, gateway: 'default', node: 'p1', log })
    await until('the route', async () => (await ask()).status === 200)
  })
  after(async () => {
    await proxy?.close()
    await controller?.close()
    backend.close()
    await cluster?.stop()
  })

  test('kubectl apply is enforced within a second; an edit goes on counting, a rename begins anew', { timeout: 60_000 }, async (t) => {
    const statuses = async (times: number) => {
      const seen: number[] = []
      for (let i = 0; i < times; i++) seen.push((await ask()).status)
      return seen
    }
    await inForce(t, policy('daily', 3), '"amount":3')
    assert.deepEqual(await statuses(4), [200, 200, 200, 429])
    await inForce(t, policy('daily', 5), '"amount":5')
    assert.deepEqual(await statuses(3), [200, 200, 429])
    await inForce(t, policy('per-day', 2), '"per-day"')
    assert.deepEqual(await statuses(3), [200, 200, 429])
    assert.equal((await ask()).policy, '"per-day";q=2;w=86400')
  })

  test('both sides say which policy holds, and a policy that is deleted ends', { timeout: 60_000 }, async () => {
    await cluster.kubectl('wait', '--for=condition=Programmed', 'ratelimitpolicy/tiers', '-n', 'ml', '--timeout=20s')
    await apply(policy('per-day', 9, 'younger'))
    await until('the verdict', async () => /older/.test(await condition('ratelimitpolicy', 'younger', 'Accepted')))
    const told = 'Rule infer is limited by per-day of ml/tiers (before ml/younger)'
    await until('the condition', async () => (await condition('modelroute', 'fraud', 'modelroute.io/RateLimitPolicyAffected')) === told)
    assert.match(await cluster.kubectl('get', 'mrlp', '-n', 'ml'), /tiers\s+fraud\s+True\s+True/)
    await cluster.kubectl('delete', 'ratelimitpolicy', '--all', '-n', 'ml')
    await until('no limit', async () => (await ask()).policy === null)
    await until('no condition', async () => (await condition('modelroute', 'fraud', 'modelroute.io/RateLimitPolicyAffected')) === '')
  })
})
