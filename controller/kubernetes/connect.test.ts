import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { KubeConfig } from '@kubernetes/client-node'
import { FakeServer } from '../../test/fakes/api-server.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import type { Api } from './api.ts'
import { pathOf } from './api.ts'
import { sharedClock } from './clock.ts'
import { connect, loadConfig, loadUserConfig } from './connect.ts'
import { answered } from './trouble.ts'

let server: FakeServer
let api: Api

beforeEach(async () => {
  server = await new FakeServer().listen()
  api = server.connect()
})

afterEach(async () => {
  api.close()
  await server.close()
})

test('an answer that never comes, or stops half-way, is no answer once its time is over', async () => {
  server.intercept = () => true
  assert.deepEqual(await api.call({ path: '/hangs', deadline: 50 }), { status: 0, body: undefined, message: 'no answer within 0.05 s' })
  server.intercept = (_request, response) => {
    response.writeHead(200).write('{"items":[')
    return true
  }
  const { status, message } = await api.call({ path: '/stalls', deadline: 50 })
  assert.equal(status, 0)
  assert.match(message, /no answer within|aborted/)
})

test('an answer that is not what it should be is no answer', async () => {
  server.intercept = (_request, response) => {
    response.writeHead(200).end('<html>a login page</html>')
    return true
  }
  assert.deepEqual(await api.call({ path: '/' }), { status: 0, body: undefined, message: 'an answer that is not JSON' })
})

test('a refusal comes with the server\'s own words, also when they are no JSON', async () => {
  server.intercept = (_request, response) => {
    response.writeHead(503).end('not yet\n')
    return true
  }
  assert.deepEqual(await api.call({ path: '/' }), { status: 503, body: undefined, message: 'not yet' })
})

test('nobody there is a value, not an exception', async () => {
  await server.close()
  const { status, message } = await api.call({ path: '/' })
  assert.equal(status, 0)
  assert.match(message, /ECONNREFUSED/)
  server = await new FakeServer().listen()
})

test('cancelling ends a request at once, before and after it was sent', async () => {
  server.intercept = () => true
  const abort = new AbortController()
  const waiting = api.call({ path: '/hangs', signal: abort.signal })
  setTimeout(() => abort.abort(), 20)
  assert.equal((await waiting).status, 0)
  assert.equal((await api.call({ path: '/', signal: abort.signal })).status, 0)
})

test('a token that is refused is read again at once, wherever the clock stands', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'token-'))
  const tokenFile = join(folder, 'token')
  writeFileSync(tokenFile, 'expired')
  const config = new KubeConfig()
  config.loadFromOptions({
    clusters: [{ name: 'c', server: server.url, skipTLSVerify: true }],
    users: [{ name: 'u', authProvider: { name: 'tokenFile', config: { tokenFile } } }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  })
  const mine = connect(config)
  server.install({ group: '', version: 'v1', plural: 'services' })
  assert.equal((await mine.call({ path: '/api/v1/services' })).status, 401)
  writeFileSync(tokenFile, 'secret')
  assert.equal((await mine.call({ path: '/api/v1/services' })).status, 200)
  mine.close()
  rmSync(folder, { recursive: true })
})

test('the time of the server is told with each answer', async () => {
  const told: Date[] = []
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server: server.url, skipTLSVerify: true }, { name: 'u' })
  const mine = connect(config, undefined, (date) => told.push(date))
  await mine.call({ path: '/' })
  mine.close()
  assert.ok(Math.abs((told[0]?.getTime() ?? 0) - Date.now()) < 60_000)
})

test('a command tells what the cluster says from that it says nothing', async () => {
  server.intercept = (_request, response) => {
    response.writeHead(403).end('not you\n')
    return true
  }
  const refused = await api.call({ path: '/' })
  assert.throws(() => answered(refused), { message: 'the cluster says 403: not you' })
  assert.throws(() => answered({ status: 0, body: undefined, message: 'connect ECONNREFUSED 127.0.0.1:6443' }), { message: 'the cluster gives no answer: connect ECONNREFUSED 127.0.0.1:6443' })
})

test('whose clock is a day off goes by that of the API server, and seconds are no news', () => {
  const base = new FakeClock()
  const said: number[] = []
  const clock = sharedClock(base, (off) => said.push(off))
  const server = base.date().getTime() - 86_400_000
  clock.hear(new Date(server))
  clock.hear(new Date(server + 900))
  clock.hear(new Date(NaN))
  assert.equal(clock.date().getTime(), server)
  assert.equal(clock.now(), base.now(), 'what is measured is not set')
  base.stall(3_000)
  assert.equal(clock.date().getTime(), server + 3_000)
  clock.hear(new Date(base.date().getTime() - 2_000))
  assert.equal(clock.date().getTime(), base.date().getTime(), 'it was put right')
  assert.deepEqual(said, [-86_400_000, 0])
})

test('connections are kept for the next request', async () => {
  const ports = new Set<number | undefined>()
  server.intercept = (_request, response) => {
    ports.add(response.socket?.remotePort)
    response.end('{}')
    return true
  }
  for (let i = 0; i < 5; i++) await api.call({ path: '/' })
  assert.equal(ports.size, 1)
})

test('what stands in a path stays in its place', () => {
  const kind = { group: '', version: 'v1', plural: 'services' }
  assert.equal(pathOf(kind, '../kube-system', 'a/b?c', 'status'), '/api/v1/namespaces/..%2Fkube-system/services/a%2Fb%3Fc/status')
})

test('outside a cluster and without a kubeconfig the error says what to give', () => {
  const host = process.env['KUBERNETES_SERVICE_HOST']
  delete process.env['KUBERNETES_SERVICE_HOST']
  try {
    assert.throws(() => loadConfig(), /--kubeconfig FILE, or -f PATH/)
  } finally {
    if (host !== undefined) process.env['KUBERNETES_SERVICE_HOST'] = host
  }
})

test('where kubectl has no cluster selected, a command says so, and not what becomes of a guess', (t) => {
  const home = mkdtempSync(join(tmpdir(), 'home-'))
  const { HOME, KUBECONFIG } = process.env
  t.after(() => {
    rmSync(home, { recursive: true })
    for (const [name, value] of Object.entries({ HOME, KUBECONFIG })) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  process.env['HOME'] = home
  delete process.env['KUBECONFIG']
  assert.throws(() => loadUserConfig(undefined, ', or --control URL'), { message: 'no cluster is selected: KUBECONFIG is not set, and there is no ~/.kube/config; give --kubeconfig FILE, or --control URL' })
})
