// Keys and certificates out of Secrets: in force and revoked within a second, replaced without a restart, kept from a
// controller that may not read them, and known to a proxy that starts while no controller runs.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, afterEach, before, suite, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { authority, type Certified } from '../certificates.ts'
import { inTime, watchMachine } from '../machine.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { addAddress, outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

const chart = join(import.meta.dirname, '../../charts/modelroute')
const namespace = 'gateway'
const ca = authority('test')

suite('secrets in a cluster', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let seen: Readonly<Record<string, string | string[] | undefined>> = {}
  const backend = createServer((request, response) => {
    seen = request.headers
    response.end('ok')
  })
  const kubectl = (...args: string[]) => cluster.kubectl(...args)
  const proxies = () => kubelet.pods().filter(({ name, ip }) => ip !== undefined && name.startsWith('modelroute-gateway-default'))
  const programmed = (name: string, of = 'ml') =>
    kubectl('wait', '--for=condition=Programmed', `modelroute/${name}`, '-n', of, '--timeout=30s')

  /** On every proxy; the status where they agree. */
  async function ask(path: string, headers: Record<string, string> = {}): Promise<number> {
    const all = await Promise.all(proxies().map(async ({ ip }) => {
      const response = await fetch(`http://${ip}:8080${path}`, { headers, signal: AbortSignal.timeout(5000) })
      await response.text()
      return response.status
    }))
    return new Set(all).size === 1 ? all[0] ?? 0 : 0
  }

  /** Milliseconds from the answer to the edit until every proxy holds to it. */
  async function lag(what: string, edit: () => Promise<unknown>, holds: () => Promise<boolean>): Promise<number> {
    await edit()
    const begin = performance.now()
    await until(what, holds, { every: 10, timeout: 60_000 })
    return performance.now() - begin
  }

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    for (const name of [namespace, 'ml', 'closed']) await kubectl('create', 'namespace', name)
    await cluster.helm('install', 'modelroute', chart, '-n', namespace, '--wait', '--timeout', '90s',
      '--set', 'controller.allowUnmanagedEndpointSlices=true', '--set', 'secretNamespaces={ml}',
      '--set', 'keyRotationNamespaces={ml}', '--set', 'gatewayDefaults.portal=true',
      '--set', 'gatewayDefaults.extraArgs={--admin-host=0.0.0.0}')
    const host = addAddress()
    await new Promise<void>((resolve) => backend.listen(0, host, resolve))
    await cluster.apply([
      ...['ml', 'closed'].flatMap((of) => service(of, host, (backend.address() as AddressInfo).port)),
      route('ml', 'fraud', { auth: { anyOf: [{ apiKey: { in: 'Header', name: 'x-api-key' } }] } }),
    ])
    await programmed('fraud')
  })
  after(async () => {
    backend.closeAllConnections()
    backend.close()
    await kubelet?.stop()
    await cluster?.stop()
  })
  afterEach(async (context) => {
    if ('passed' in context && !context.passed) console.log(await kubelet.describe())
  })

  test('a key works within a second of its Secret, and is revoked within a second of its deletion', async (t) => {
    const withKey = () => ask('/fraud', { 'x-api-key': 'first-key' })
    assert.equal(await ask('/fraud'), 401)
    assert.equal(await withKey(), 401)
    const figures: string[] = []
    for (let round = 0; round < 5; round++) {
      const machine = watchMachine()
      const known = await lag('the key to work', () => cluster.apply([key('acme', 'first-key')]), async () => await withKey() === 200)
      assert.equal(seen['x-modelroute-consumer'], 'acme')
      assert.equal(seen['x-modelroute-tier'], 'pro')
      const revoked = await lag('the key to be revoked', () => kubectl('delete', 'secret', 'acme', '-n', 'ml'), async () => await withKey() === 401)
      figures.push(`${known.toFixed(0)}/${revoked.toFixed(0)}`)
      inTime(t, `in force and revoked after ${figures.join(', ')} ms`, Math.max(known, revoked), 1000, machine())
    }
    t.diagnostic(`in force/revoked after the API server's answer, ms: ${figures.join(', ')}`)
  })

  test('a holder replaces a key in the portal: one Secret more, the new key works, and the old one goes on for a while', async () => {
    const withKey = (given: string) => ask('/fraud', { 'x-api-key': given })
    await cluster.apply([key('holder', 'old-key', { 'modelroute.io/self-service-rotation': '1h' })])
    await until('the key', async () => await withKey('old-key') === 200)
    const portal = `http://${proxies()[0]!.ip}:8080/portal`
    const post = (to: string, form: Record<string, string>, headers: Record<string, string>) =>
      fetch(`${portal}/${to}`, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual', headers: { origin: new URL(portal).origin, ...headers } })
    const cookie = (await post('sign-in', { key: 'old-key' }, {})).headers.getSetCookie()[0]?.split(';')[0] ?? ''
    const page = await (await fetch(portal, { headers: { cookie } })).text()
    const token = /name="token" value="(?<token>[^"]+)"/.exec(page)?.groups?.['token'] ?? ''
    const fresh = /mr_[\w-]{43}/.exec(await (await post('rotate', { token }, { cookie })).text())?.[0] ?? ''
    await until('the new key', async () => await withKey(fresh) === 200)
    assert.equal(seen['x-modelroute-consumer'], 'holder')
    assert.equal(await withKey('old-key'), 200)
    const secrets = await kubectl('get', 'secrets', '-n', 'ml', '-l', 'modelroute.io/credential=api-key', '-o', 'json')
    assert.equal((JSON.parse(secrets) as { items: unknown[] }).items.length, 2)
    assert.ok(!secrets.includes(fresh) && !secrets.includes(Buffer.from(fresh).toString('base64')), 'a made Secret holds a digest')
    await kubectl('delete', 'secrets', '-n', 'ml', '-l', 'modelroute.io/credential=api-key')
    await until('both to be revoked', async () => await withKey(fresh) === 401 && await withKey('old-key') === 401)
  })

  test('the table shows digests of keys and names of secrets, and no value', async () => {
    await cluster.apply([key('canary', 'canary-of-a-key')])
    await until('the key', async () => await ask('/fraud', { 'x-api-key': 'canary-of-a-key' }) === 200)
    const [proxy] = proxies()
    const table = await (await fetch(`http://${proxy!.ip}:9901/table`)).text()
    assert.match(table, /"consumer":"canary"/)
    assert.ok(!table.includes('canary-of-a-key') && !table.includes(Buffer.from('canary-of-a-key').toString('base64')))
    assert.ok(!kubelet.logs(namespace, 'modelroute').includes('canary-of-a-key'))
    await kubectl('delete', 'secret', 'canary', '-n', 'ml')
  })

  test('a certificate is shown by its name, and a new one within a second, while connections go on', async (t) => {
    const first = ca.issue('first', ['fraud.example.com'])
    await cluster.apply([
      tlsSecret('fraud-tls', first),
      route('ml', 'tls', { hostnames: ['fraud.example.com'], tls: { certificateRefs: [{ name: 'fraud-tls' }] } }),
    ])
    await programmed('tls')
    await until('the certificate', async () => await shown('fraud.example.com') === 'first')
    assert.equal(await shown('other.example.com'), undefined)
    const kept = await handshake(proxies()[0]!.ip!, 'fraud.example.com')
    const second = ca.issue('second', ['fraud.example.com'])
    const machine = watchMachine()
    const after = await lag('the new certificate', () => cluster.apply([tlsSecret('fraud-tls', second)]), async () => await shown('fraud.example.com') === 'second')
    t.diagnostic(`a new certificate is shown ${after.toFixed(0)} ms after the API server's answer`)
    inTime(t, 'the new certificate', after, 1000, machine())
    kept?.write('GET /tls HTTP/1.1\r\nHost: fraud.example.com\r\n\r\n')
    const answer = await new Promise<string>((resolve) => kept?.once('data', (data: Buffer) => resolve(data.toString())))
    assert.match(answer, /^HTTP\/1\.1 200/)
    kept?.destroy()
  })

  test('a Secret that the controller may not read is RefNotPermitted, and nothing else is held up', async () => {
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'backend', namespace: 'closed' }, stringData: { token: 'x' } },
      route('closed', 'closed', {}, { credentials: { secretRef: { name: 'backend' } } }),
    ])
    type Condition = { type: string; reason: string; message: string }
    const condition = await until('the condition', async () => {
      const { status } = await cluster.api.get('/apis/modelroute.io/v1alpha1/namespaces/closed/modelroutes/closed')
      return (status as { conditions?: Condition[] } | undefined)?.conditions?.find(({ type }) => type === 'ResolvedRefs')
    })
    assert.equal(condition.reason, 'RefNotPermitted')
    assert.match(condition.message, /may not read Secrets of namespace closed; add it to secretNamespaces/)
    await until('its share to answer 500', async () => await ask('/closed') === 500)
    assert.equal(await ask('/fraud'), 401)
  })

  test('a proxy that starts while no controller runs knows the keys of its last table, and shows no certificate', async () => {
    await cluster.apply([key('acme', 'first-key')])
    await until('the key', async () => await ask('/fraud', { 'x-api-key': 'first-key' }) === 200)
    // The pepper was made after these Pods: from their start on they have it mounted.
    await kubectl('rollout', 'restart', 'deployment/modelroute-gateway-default', '-n', namespace)
    await kubectl('rollout', 'status', 'deployment/modelroute-gateway-default', '-n', namespace, '--timeout=60s')
    await until('the key on the new proxies', async () => proxies().length === 2 && await ask('/fraud', { 'x-api-key': 'first-key' }) === 200)
    await kubectl('scale', 'deployment/modelroute-controller', '-n', namespace, '--replicas=0')
    await until('the controller to be gone', () => kubelet.pods().every(({ name }) => !name.startsWith('modelroute-controller')))
    for (const { name } of proxies()) kubelet.kill(namespace, name, 'SIGKILL')
    await until('the key on restarted proxies', async () =>
      /serving the last good table from disk/.test(kubelet.logs(namespace, proxies()[0]!.name)) && await ask('/fraud', { 'x-api-key': 'first-key' }) === 200)
    assert.equal(await ask('/fraud', { 'x-api-key': 'another-key' }), 401)
    assert.equal(await shown('fraud.example.com'), undefined)
    await kubectl('scale', 'deployment/modelroute-controller', '-n', namespace, '--replicas=1')
    await until('the certificate again', async () => await shown('fraud.example.com') === 'second', { timeout: 60_000 })
  })

  /** The common name of the certificate that every proxy shows; undefined where none does. */
  async function shown(name: string): Promise<string | undefined> {
    const all = await Promise.all(proxies().map(async ({ ip }) => {
      const socket = await handshake(ip!, name)
      const subject = socket?.getPeerX509Certificate()?.subject ?? ''
      socket?.destroy()
      return /CN=(.*)/.exec(subject)?.[1]
    }))
    return new Set(all).size === 1 ? all[0] : 'not the same on each'
  }

  function handshake(host: string, servername: string): Promise<TLSSocket | undefined> {
    return new Promise((resolve) => {
      const socket = connect({ host, port: 8443, servername, ca: ca.cert, rejectUnauthorized: false }, () => resolve(socket))
      socket.on('error', () => resolve(undefined))
    })
  }
})

function route(of: string, name: string, more: object, backend: object = {}): object {
  const backendRefs = [{ variant: 'only', name: 'fraud', port: 8000, ...backend }]
  return {
    apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name, namespace: of },
    spec: { ...more, rules: [{ name: 'infer', matches: [{ path: { value: `/${name}` } }], backendRefs }] },
  }
}

function key(name: string, text: string, annotations: Record<string, string> = {}): object {
  return {
    apiVersion: 'v1', kind: 'Secret',
    metadata: {
      name, namespace: 'ml', labels: { 'modelroute.io/credential': 'api-key' },
      annotations: { 'modelroute.io/consumer': name, 'modelroute.io/tier': 'pro', ...annotations },
    },
    stringData: { key: text },
  }
}

function tlsSecret(name: string, { cert, key: own }: Certified): object {
  return {
    apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'ml' }, type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': cert, 'tls.key': own },
  }
}

/** A Service without a selector, and the slice that says where it is. */
function service(of: string, address: string, port: number): object[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'fraud', namespace: of }, spec: { ports: [{ name: 'http', port: 8000 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
      metadata: { name: 'fraud', namespace: of, labels: { 'kubernetes.io/service-name': 'fraud' } },
      addressType: 'IPv4', ports: [{ name: 'http', port }], endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
  ]
}
