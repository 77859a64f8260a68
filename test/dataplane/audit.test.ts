import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { failure } from '../../dataplane/pipeline/errors.ts'
import { anonymous, type Authenticate } from '../../dataplane/pipeline/principal.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient, rawUpstream } from './sockets.ts'
import { active, match, route, rule } from './table.ts'

type Records = () => Record<string, unknown>[]

function auditFile(t: TestContext): { folder: string; file: string; records: Records } {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'audit')
  return { folder, file, records: () => linesOf(existsSync(file) ? readFileSync(file, 'utf8') : '') }
}

const linesOf = (text: string) => text.split('\n').filter((line) => line.includes('"msg":"audit"')).map((line) => JSON.parse(line) as Record<string, unknown>)

const authenticate: Authenticate = (exchange) => {
  if (exchange.header('x-api-key') === 'canary-good') {
    return { ...anonymous, via: 'apiKey', consumer: 'ann', groups: ['a'], tier: 'pro', credential: 'ml/ann-key' }
  }
  exchange.cause = 'no key of this set'
  return failure('unauthenticated', 'The key is not valid.')
}
const filterDeps = { authenticators: () => authenticate }
const guarded = { auth: { anyOf: [], anonymous: false } }

test('each decision is one line that says who, what and how it ended, and nothing else', async (t) => {
  const port = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('ok')) })
  const { file, records } = auditFile(t)
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ ...guarded, matches: [match('/v2')] })] })], { 'ml/s:80': [port] }), { filterDeps, audit: file })
  const ask = (key: string) => fetch(`${proxy.url}/v2/models/fraud/infer?key=canary-query`, {
    method: 'POST', body: 'canary-body', headers: { 'x-api-key': key, cookie: 'canary-cookie', authorization: 'Bearer canary-token', 'x-request-id': key.slice(-4),
      ...(key === 'canary-good' && { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00' }),
    },
  })
  await (await ask('canary-good')).text()
  await (await ask('canary-evil')).text()
  await (await fetch(`${proxy.url}/nowhere`)).text()
  await eventually(() => records().length === 3)
  assert.ok(!readFileSync(file, 'utf8').includes('canary'))
  const [allowed, denied, lost] = records().map(({ time, latency_ms, host, ...rest }) => {
    assert.ok(typeof time === 'string' && Number(latency_ms) > 0 && host === '127.0.0.1')
    return rest
  })
  const what = { msg: 'audit', client: '127.0.0.1', method: 'POST', path: '/v2/models/fraud/infer', route: 'ml/fraud', rule: 'infer', model: 'fraud' }
  assert.deepEqual(allowed, {
    ...what, request_id: 'good', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', consumer: 'ann', groups: ['a'], tier: 'pro', via: 'apiKey', credential: 'ml/ann-key',
    variant: 'stable', outcome: 'allowed', status: 200,
  })
  assert.deepEqual(denied, { ...what, request_id: 'evil', outcome: 'denied', code: 'unauthenticated', cause: 'no key of this set', status: 401 })
  assert.deepEqual([lost?.['outcome'], lost?.['code'], lost?.['route']], ['denied', 'no_route', undefined])
})

test('without a file the log has the records of what asks who calls, and of nothing else', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end('ok'))
  const rules = [rule({ name: 'open' }), rule({ ...guarded, name: 'guarded', matches: [match('/g')] }), rule({ name: 'told', audit: 'Buffered', matches: [match('/t')] })]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port] }), { filterDeps })
  for (const path of ['/', '/g', '/t']) await (await fetch(proxy.url + path)).text()
  await eventually(() => proxy.lines().length === 3)
  assert.deepEqual(linesOf(proxy.text()).map((line) => [line['rule'], line['outcome']]), [['guarded', 'denied'], ['told', 'allowed']])
})

for (const [name, answer] of [
  ['a body', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'],
  ['no body', 'HTTP/1.1 204 No Content\r\n\r\n'],
] as const) {
  test(`Strict: an answer with ${name} goes out after its record is on disk, and whole`, async (t) => {
    const port = await rawUpstream(t, (socket) => socket.on('data', () => socket.write(answer)))
    const { file, records } = auditFile(t)
    const proxy = await testProxy(t, active('1', [route({ rules: [rule({ audit: 'Strict' })] })], { 'ml/s:80': [port] }), { audit: file })
    const client = await rawClient(t, proxy.url)
    for (let i = 1; i <= 20; i++) {
      client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
      await client.until((text) => text.split('HTTP/1.1 20').length === i + 1)
      assert.equal(records().length, i)
      if (name !== 'no body') await client.until((text) => text.split('hello').length === i + 1)
    }
    await eventually(() => proxy.lines().length === 20)
    assert.ok(records().every(({ outcome, status }) => outcome === 'allowed' && status === (name === 'no body' ? 204 : 200)))
    assert.equal(records().length, 20, 'once each')
  })
}

test('Strict: what cannot be recorded is refused, at first before the answer and then before the backend is asked', async (t) => {
  let served = 0
  const port = await httpUpstream(t, (_, response) => {
    served++
    response.end('secret answer')
  })
  const { folder, file, records } = auditFile(t)
  const rules = [rule({ audit: 'Strict' }), rule({ name: 'open', matches: [match('/open')] })]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port] }), { audit: file })
  renameSync(folder, `${folder}-gone`)
  t.after(() => rmSync(`${folder}-gone`, { recursive: true, force: true }))
  for (let i = 0; i < 3; i++) {
    const answer = await fetch(proxy.url)
    assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [503, 'audit_unavailable'])
    assert.ok(!(await answer.text()).includes('secret'))
  }
  assert.equal(served, 1)
  assert.equal((await fetch(`${proxy.url}/open`)).status, 200, 'who is not strict goes on')
  renameSync(`${folder}-gone`, folder)
  assert.equal((await fetch(proxy.url)).status, 503, 'the refusal finds out that it can be written again')
  assert.equal((await fetch(proxy.url)).status, 200)
  assert.ok(records().some(({ outcome, code }) => outcome === 'denied' && code === 'audit_unavailable'))
})

test('Strict: a refusal waits for its record too, and so does a tunnel', async (t) => {
  const port = await rawUpstream(t, () => {})
  const { file, records } = auditFile(t)
  const strict = route({ rules: [rule({ ...guarded, audit: 'Strict' }), rule({ name: 'ws', audit: 'Strict', matches: [match('/ws')], variants: [{ ...rule().variants[0]!, target: { kind: 'endpoints', set: 'ml/ws:80' } }] })] })
  const echo = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.after(() => echo.close())
  echo.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  await once(echo, 'listening')
  const wsPort = (echo.address() as { port: number }).port
  const proxy = await testProxy(t, active('1', [strict], { 'ml/s:80': [port], 'ml/ws:80': [wsPort] }), { filterDeps, audit: file })
  const answer = await fetch(proxy.url)
  assert.deepEqual([answer.status, records().length, records()[0]?.['code']], [401, 1, 'unauthenticated'])
  const socket = new WebSocket(`${proxy.url.replace('http', 'ws')}/ws`)
  const heard = new Promise((resolve) => { socket.on('message', (data: Buffer) => resolve(data.toString())) })
  socket.on('open', () => socket.send('hello'))
  assert.equal(await heard, 'hello')
  assert.deepEqual([records().length, records()[1]?.['status']], [2, 101])
  socket.close()
})
