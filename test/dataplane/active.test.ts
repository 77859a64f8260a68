import assert from 'node:assert/strict'
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import type { ActiveHealth, ServedModel } from '../../table/resilience.ts'
import type { Rule } from '../../table/route.ts'
import { framed } from '../../dataplane/protocols/grpc_frames.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

const check = (more: Partial<ActiveHealth> = {}): ActiveHealth =>
  ({ type: 'HTTP', path: '/ready', interval: 100, timeout: 1000, healthy: 1, unhealthy: 2, ...more })

const table = (version: string, more: Partial<Rule>, ...ports: number[]) => active(version, [route({ rules: [rule(more)] })], { 'ml/s:80': ports })

/** A model server whose readiness is what a test says it is. */
async function server(t: TestContext, ready = true) {
  const state = { ready, requests: 0, checks: 0, port: 0, headers: [] as string[] }
  state.port = await httpUpstream(t, (request, response) => {
    if (request.url?.endsWith('/ready')) {
      state.checks++
      state.headers = request.rawHeaders
      response.writeHead(state.ready ? 200 : 503).end('{}')
      return
    }
    state.requests++
    response.end('{}')
  })
  return state
}

async function statuses(url: string, count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, async () => (await fetch(`${url}/v2/models/fraud/infer`, { method: 'POST', body: '{}' })).status))
}

test('an endpoint that says it is not ready gets nothing, and has its share again when it is', { timeout: 120_000 }, async (t) => {
  const [good, bad] = [await server(t), await server(t, false)]
  const proxy = await testProxy(t, table('1', { health: { active: check() } }, good.port, bad.port))
  assert.deepEqual(await statuses(proxy.url, 20), Array(20).fill(200))
  assert.equal(bad.requests, 0)
  bad.ready = true
  await eventually(() => proxy.text().includes('"an endpoint is healthy"'))
  await statuses(proxy.url, 20)
  assert.equal(bad.requests, 10)
  bad.ready = false
  await eventually(() => proxy.text().split('"an endpoint is unhealthy"').length === 3)
  await statuses(proxy.url, 20)
  assert.equal(bad.requests, 10)
  assert.match(proxy.text(), /"msg":"an endpoint is unhealthy","tenant":"ml","endpoint":"127\.0\.0\.1:\d+","why":"it answered 503"/)
})

test('the first requests wait for the first answer, and where all are bad they are refused', { timeout: 120_000 }, async (t) => {
  const good = await server(t)
  const proxy = await testProxy(t, table('1', { health: { active: check() } }, good.port))
  assert.deepEqual(await statuses(proxy.url, 5), Array(5).fill(200), 'no sooner than there is a table')
  const bad = await server(t, false)
  proxy.activate(table('2', { health: { active: check() } }, bad.port))
  const answers = await Promise.all([fetch(proxy.url), fetch(proxy.url)])
  assert.deepEqual(answers.map(({ status, headers }) => `${status} ${headers.get('x-modelroute-error')}`), Array(2).fill('503 no_endpoints'))
  assert.equal(bad.requests, 0)
})

test('a variant whose model is not ready gets no traffic, though its server is ready and serves the other one', { timeout: 120_000 }, async (t) => {
  const paths: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    if (request.method === 'GET') {
      response.writeHead(request.url === '/v2/models/fraud/versions/1/ready' ? 200 : 400).end('{}')
      return
    }
    paths.push(request.url ?? '')
    response.end('{}')
  })
  const served = (version: string): ServedModel => ({ protocol: 'V2', name: 'fraud', version })
  const variants = ['1', '2'].map((version) => variant(`v${version}`, 'ml/s:80', { weight: 500_000, model: { version }, served: served(version) }))
  const proxy = await testProxy(t, table('1', { variants, health: { active: check({ type: 'Model' }) } }, port))
  const answers = await statuses(proxy.url, 20)
  assert.equal(answers.filter((status) => status === 200).length, 10)
  assert.equal(answers.filter((status) => status === 503).length, 10)
  assert.deepEqual(new Set(paths), new Set(['/v2/models/fraud/versions/1/infer']))
})

test('gRPC: a server that is not serving gets nothing', { timeout: 120_000 }, async (t) => {
  let serving = 1
  let calls = 0
  const grpc = createHttp2Server()
  grpc.on('stream', (stream: ServerHttp2Stream, headers) => {
    if (headers[':path'] === '/grpc.health.v1.Health/Check') {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(framed(Buffer.from([8, serving])))
      return
    }
    calls++
    stream.respond({ ':status': 200 })
    stream.end('{}')
  })
  grpc.listen(0, '127.0.0.1')
  await once(grpc, 'listening')
  t.after(() => grpc.close())
  const { port } = grpc.address() as { port: number }
  const variants = [variant('stable', '', { target: { kind: 'endpoints', set: 'ml/s:80', http2: true } })]
  const proxy = await testProxy(t, table('1', { variants, health: { active: check({ type: 'GRPC' }) } }, port))
  assert.deepEqual(await statuses(proxy.url, 4), Array(4).fill(200))
  serving = 2
  await eventually(() => proxy.text().includes('"why":"it is not serving"'))
  assert.deepEqual(await statuses(proxy.url, 4), Array(4).fill(503))
  assert.equal(calls, 4)
})

test('a server that takes connections and says nothing, or answers rubbish, is not ready', { timeout: 120_000 }, async (t) => {
  const silent = await rawUpstream(t, () => {})
  const rubbish = await rawUpstream(t, (socket) => socket.on('data', () => socket.write('SSH-2.0\r\n\r\n')))
  const good = await server(t)
  const proxy = await testProxy(t, table('1', { health: { active: check({ timeout: 200 }) } }, silent, good.port, rubbish))
  assert.deepEqual(await statuses(proxy.url, 20), Array(20).fill(200))
  await eventually(() => /"why":"it did not answer in time"/.test(proxy.text()) && /"why":"it could not be asked: UPSTREAM_PROTOCOL"/.test(proxy.text()))
})

test('nobody is asked on behalf of a table that is gone, and two rules ask once', { timeout: 120_000 }, async (t) => {
  const [first, second] = [await server(t), await server(t)]
  const health = { active: check({ interval: 200 }) }
  const two = [rule({ name: 'a', health }), rule({ name: 'b', health, matches: [{ path: { type: 'Prefix', value: '/b' }, headers: [], query: [] }] })]
  const proxy = await testProxy(t, active('1', [route({ rules: two })], { 'ml/s:80': [first.port] }))
  await eventually(() => first.checks > 0)
  proxy.activate(active('2', [route({ rules: [rule({ name: 'a', health })] })], { 'ml/s:80': [first.port, second.port] }))
  await eventually(() => second.checks > 0 && first.checks > 1)
  proxy.activate(table('3', {}, first.port, second.port))
  const { checks } = first
  const began = performance.now()
  await eventually(() => performance.now() - began > 500)
  assert.ok(first.checks <= checks + 1, `asked ${first.checks - checks} times more`)
})

test('who was put out by requests is back as soon as it has been unhealthy and is healthy again', { timeout: 120_000 }, async (t) => {
  const state = { up: true, fail: true, requests: 0 }
  const port = await httpUpstream(t, (request, response) => {
    if (request.url === '/ready') response.writeHead(state.up ? 200 : 503).end()
    else {
      state.requests++
      response.writeHead(state.fail ? 500 : 200).end()
    }
  })
  const good = await server(t)
  const health = { active: check(), passive: { consecutiveErrors: 2, window: 10_000, ejectFor: 60_000, maxEjectedPercent: 50 } }
  const proxy = await testProxy(t, table('1', { health }, port, good.port))
  while (state.requests < 2) await statuses(proxy.url, 1)
  await statuses(proxy.url, 10)
  assert.equal(state.requests, 2, 'healthy by its own answers, and yet out')
  state.up = state.fail = false
  await eventually(() => proxy.text().includes('"an endpoint is unhealthy"'))
  state.up = true
  await eventually(() => proxy.text().includes('"an endpoint is asked again"'))
  await statuses(proxy.url, 10)
  assert.equal(state.requests, 7)
})

test('no copy goes to a variant whose model is not ready', { timeout: 120_000 }, async (t) => {
  let copies = 0
  const good = await server(t)
  const shadow = await httpUpstream(t, (request, response) => {
    if (request.url?.endsWith('/ready')) response.writeHead(503)
    else copies++
    response.end()
  })
  const variants = [variant('stable', 'ml/s:80'), variant('shadow', 'ml/shadow:80', { weight: 0 })]
  const rules = [rule({ variants, mirror: { variant: 'shadow', percent: 100 }, health: { active: check() } })]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [good.port], 'ml/shadow:80': [shadow] }))
  assert.deepEqual(await statuses(proxy.url, 10), Array(10).fill(200))
  const told = async () => (await (await fetch(`${proxy.urls.admin}/mirrors`)).text())
  while (!/"no_endpoints":1[0-9]*/.test(await told())) await statuses(proxy.url, 1)
  assert.equal(copies, 0)
})
