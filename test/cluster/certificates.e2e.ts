// The push channel's certificates, made by the controllers themselves: with the chart's own rights against a real API
// server, and as `helm install` with default values brings them to real Pods.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { selfCertificates } from '../../controller/certificates/self.ts'
import type { Api } from '../../controller/kubernetes/api.ts'
import { systemClock } from '../../controller/kubernetes/clock.ts'
import { connect, loadConfig } from '../../controller/kubernetes/connect.ts'
import type { Credentials, CredentialSource } from '../../controller/push/credentials.ts'
import { authority as foreignAuthority } from '../certificates.ts'
import { controller, proxy, recorder, relay } from '../push/rig.ts'
import { fleets, route } from '../push/table.ts'
import { cannotRun } from './build.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

const chart = join(import.meta.dirname, '../../charts/modelroute')
const HOST = 'modelroute-controller.modelroute.svc'
const SECRETS = '/api/v1/namespaces/modelroute/secrets'
const DAY = 86_400_000

/** A Secret of the push channel, decoded. */
async function secret(cluster: ControlPlane, name: 'ca' | 'proxy') {
  const found = await cluster.api.find(`${SECRETS}/modelroute-controller-${name}`)
  if (found === undefined) return undefined
  const data = found['data'] as Record<string, string>
  const text = (field: string) => Buffer.from(data[field] ?? '', 'base64').toString()
  return { cert: text('tls.crt'), key: text('tls.key'), ca: text('ca.crt'), object: found }
}

/** What the push port of that address says to whoever shows this. */
function answerTo(url: string, ca: string, shown: { cert: string, key: string } | undefined): Promise<string> {
  const { port } = new URL(url)
  return new Promise((resolve) => {
    const session = connectHttp2(`https://${HOST}:${port}`, {
      createConnection: () => connectTls({
        host: '127.0.0.1', port: Number(port), servername: HOST, ALPNProtocols: ['h2'], ca, ...shown,
      }),
    })
    const timer = setTimeout(() => end('silence'), 5_000)
    const end = (what: string) => {
      clearTimeout(timer)
      session.destroy()
      resolve(what)
    }
    session.on('error', (error) => end(`refused: ${error.message}`))
    // A GET is no stream, which only somebody who was let in is told. An alert after the handshake shows here only.
    session.request({ ':path': '/v1/stream' })
      .on('response', (head) => end(`answered ${head[':status']}`))
      .on('error', (error) => end(`refused: ${error.message}`))
      .on('close', () => end('refused: closed'))
  })
}

suite('certificates of the controllers’ own making', { skip: await cannotRun() }, () => {
  let cluster: ControlPlane
  let kubeconfig: string
  /** Milliseconds that the controllers believe to be in the past, so that what they make is old before the test is. */
  let behind = 70 * DAY
  const replicas: Replica[] = []

  type Replica = Readonly<{
    api: Api
    notes: ReturnType<typeof recorder>
    source: CredentialSource
    held: { current: Credentials | undefined }
    listening: ReturnType<typeof controller>
  }>

  /** What `modelroute controller --self-certificates` starts, with a clock that a test can move. */
  function replica(): Replica {
    const api: Api = connect(loadConfig(kubeconfig))
    const notes = recorder()
    const clock = {
      ...systemClock,
      date: () => new Date(Date.now() - behind),
      after: (ms: number, run: () => void) => systemClock.after(Math.min(ms, 100), run),
    }
    const source = selfCertificates({ api, host: HOST, log: notes.log, clock })
    const held: { current: Credentials | undefined } = { current: undefined }
    const watched: CredentialSource = {
      ...source,
      start: async (onChange) => {
        held.current = await source.start((next) => {
          held.current = next
          onChange(next)
        })
        return held.current
      },
    }
    const one = { api, notes, source, held, listening: controller({ tls: watched }) }
    replicas.push(one)
    return one
  }

  /** Writes the proxies' Secret where a proxy reads it, whole as the kubelet does. */
  async function mount(folder: string) {
    const { cert, key, ca } = await until('the Secret of the proxies', () => secret(cluster, 'proxy'))
    mkdirSync(folder, { recursive: true })
    for (const [name, text] of Object.entries({ cert, key, ca })) {
      writeFileSync(join(folder, `${name}.new`), text)
      renameSync(join(folder, `${name}.new`), join(folder, name))
    }
    return { cert: join(folder, 'cert'), key: join(folder, 'key'), ca: join(folder, 'ca') }
  }

  /** A proxy that dials the Service's name, and finds these ports behind it. */
  function dialling(tls: { cert: string, key: string, ca: string }, ...urls: string[]) {
    const named = urls.map((url) => `https://${HOST}:${new URL(url).port}`)
    return proxy(named, { tls, resolve: async (url) => [{ url, address: '127.0.0.1' }] })
  }

  before(async () => {
    cluster = await startControlPlane()
    await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'modelroute' } })
    const parts = ['rbac', 'serviceaccount'].flatMap((part) => ['-s', `templates/controller/${part}.yaml`])
    await cluster.apply(await cluster.helm('template', 'modelroute', chart, '-n', 'modelroute', ...parts))
    kubeconfig = cluster.kubeconfigFor(await cluster.token('modelroute', 'modelroute-controller'), 'modelroute')
  })
  after(async () => {
    for (const { api, source, listening } of replicas) {
      source.close()
      await listening.then((one) => one.close(), () => {})
      api.close()
    }
    await cluster?.stop()
  })

  test('two controllers that start at once have one authority, and a proxy its table from each', async (t) => {
    const started = [replica(), replica()]
    const [a, b] = await Promise.all(started.map(({ listening }) => listening))
    assert.ok(a && b)
    const tls = await mount(join(cluster.folder, 'both'))
    for (const { publisher, url } of [a, b]) {
      publisher.publish(fleets([route('ml/a')]))
      const p = dialling(tls, url)
      t.after(() => p.close())
      await until('the table to be in force', () => p.store.ready, { describe: () => p.notes.text() })
    }
    assert.equal(started[0]?.held.current?.ca, started[1]?.held.current?.ca)
    assert.notEqual(started[0]?.held.current?.key, started[1]?.held.current?.key)
    const created = started.filter(({ notes }) => notes.text().includes('authority of the push channel created'))
    assert.equal(created.length, 1)
    for (const name of ['ca', 'proxy'] as const) {
      const object = (await secret(cluster, name))?.object
      assert.equal(object?.['type'], 'kubernetes.io/tls')
      assert.deepEqual(object.metadata.labels, { 'app.kubernetes.io/managed-by': 'modelroute-controller' })
    }
  })

  test('whoever has no certificate of the authority for a client is refused', async () => {
    const own = await secret(cluster, 'proxy')
    const { held, listening } = replicas[0]!
    const { url, notes } = await listening
    assert.ok(own && held.current)
    assert.equal(await answerTo(url, own.ca, own), 'answered 405')
    assert.match(await answerTo(url, own.ca, undefined), /^refused/)
    assert.match(await answerTo(url, own.ca, foreignAuthority('modelroute-controller').issue('proxy')), /^refused/)
    // The right authority, and the purpose of a server.
    assert.match(await answerTo(url, own.ca, held.current), /^refused/)
    await until('the reasons', () => ['did not return a certificate', 'unable_to_verify|self_signed|signature', 'purpose'].every(
      (why) => new RegExp(`TLS handshake failed .*(${why})`, 'i').test(notes.text())), { describe: () => notes.text() })
    // The other way round, the proxies' certificate is that of servers for sidecars, and never the controller's.
    const impostor = await controller({ tls: { mutual: true, start: async () => own, close: () => {} } })
    const answer = await answerTo(impostor.url, own.ca, own)
    await impostor.close()
    assert.match(answer, /^refused.*modelroute-controller\.modelroute\.svc\. is not in the cert's altnames/i)
  })

  test('renewal reaches both ends without a restart', async (t) => {
    const { held, listening } = replicas[0]!
    const { url, publisher } = await listening
    const wire = await relay(url)
    const folder = join(cluster.folder, 'renewed')
    const p = dialling(await mount(folder), wire.url)
    t.after(() => Promise.all([p.close(), wire.close()]))
    await until('the table to be in force', () => p.store.ready, { describe: () => p.notes.text() })
    const old = { server: held.current?.cert, proxy: (await secret(cluster, 'proxy'))?.cert }
    const authority = (await secret(cluster, 'ca'))?.cert
    const connections = publisher.proxies().length

    behind = 0
    await until('every controller to have another', () =>
      replicas.every(({ held }) => held.current && new X509Certificate(held.current.cert).validFromDate.getTime() > Date.now() - 2 * DAY))
    const renewed = await until('the proxies to have another', async () => {
      const now = await secret(cluster, 'proxy')
      return now?.cert === old.proxy ? undefined : now
    })
    assert.notEqual(held.current?.cert, old.server)
    assert.equal((await secret(cluster, 'ca'))?.cert, authority)
    assert.equal(replicas.filter(({ notes }) => notes.text().includes('certificate of the proxies renewed')).length, 1)
    assert.equal(publisher.proxies().length, connections, 'what is connected stays connected')

    const seen = await new Promise<string>((resolve, reject) => {
      const { port } = new URL(url)
      const socket = connectTls({
        host: '127.0.0.1', port: Number(port), servername: HOST, ca: renewed.ca, cert: renewed.cert, key: renewed.key, ALPNProtocols: ['h2'],
      }, () => {
        resolve(socket.getPeerX509Certificate()?.toString() ?? '')
        socket.destroy()
      })
      socket.on('error', reject)
    })
    assert.equal(seen, new X509Certificate(held.current?.cert ?? '').toString(), 'new connections see the new one')

    await mount(folder)
    wire.cut()
    publisher.publish(fleets([route('ml/a', 500_000)]))
    await until('the next table, over a new connection', () =>
      p.store.active?.routes.get('ml/a')?.rules[0]?.variants[0]?.weight === 500_000, { describe: () => p.notes.text() })
  })

  test('a controller that starts while the API server is away takes proxies once it is back', async () => {
    await cluster.apiServer.kill()
    const late = replica()
    await until('a try', () => late.notes.text().includes('trying again'))
    assert.equal(late.held.current, undefined)
    await cluster.apiServer.start()
    const { url } = await late.listening
    const own = await secret(cluster, 'proxy')
    assert.ok(own)
    assert.equal(await answerTo(url, own.ca, own), 'answered 405')
  })

  test('with no rights it says so, and what it does have goes on', async () => {
    const role = '/apis/rbac.authorization.k8s.io/v1/namespaces/modelroute/rolebindings/modelroute-controller'
    const binding = await cluster.api.find(role)
    assert.ok(binding)
    await cluster.kubectl('-n', 'modelroute', 'delete', 'rolebinding', 'modelroute-controller')
    const { notes, listening } = replicas[0]!
    await until('the reason', () => /403 secrets .*forbidden/.test(notes.text()))
    const own = await secret(cluster, 'proxy')
    assert.ok(own)
    assert.equal(await answerTo((await listening).url, own.ca, own), 'answered 405')
  })

  test('no key is in any log', async () => {
    const keys = [(await secret(cluster, 'ca'))?.key, (await secret(cluster, 'proxy'))?.key, ...replicas.map(({ held }) => held.current?.key)]
    for (const key of keys) {
      const line = key?.split('\n')[1] ?? ''
      assert.ok(line.length > 40)
      for (const { notes, listening } of replicas) {
        const text = notes.text() + (await listening).notes.text()
        assert.ok(!text.includes(line) && !text.includes('PRIVATE'))
      }
    }
  })
})

suite('the chart with default values', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
  })
  after(async () => {
    await kubelet?.stop()
    await cluster?.stop()
  })

  test('installs with mutual TLS where there is no cert-manager', async () => {
    await cluster.helm('install', 'modelroute', chart, '-n', 'modelroute', '--create-namespace', '--set', 'controller.replicas=2')
    const wait = cluster.kubectl('-n', 'modelroute', 'wait', '--for=condition=Available', '--timeout=60s', 'deploy', '--all')
    await wait.catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
    const log = kubelet.logs('modelroute', 'modelroute-controller')
    assert.match(log, /"name":"push","url":"https:/)
    assert.equal(log.match(/authority of the push channel created/g)?.length, 1)
    assert.doesNotMatch(`${log}${kubelet.logs('modelroute', 'modelroute-gateway')}`, /PRIVATE KEY/)
    const created = await cluster.kubectl('-n', 'modelroute', 'get', 'secrets', '-o', 'name', '-l', 'app.kubernetes.io/managed-by=modelroute-controller')
    assert.deepEqual(created.trim().split('\n'), ['secret/modelroute-controller-ca', 'secret/modelroute-controller-proxy', 'secret/modelroute-pepper'])
  })
})
