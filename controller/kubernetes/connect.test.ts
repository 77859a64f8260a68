import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { FakeServer } from '../../test/fakes/api-server.ts'
import type { Api } from './api.ts'
import { pathOf } from './api.ts'
import { loadConfig } from './connect.ts'

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
