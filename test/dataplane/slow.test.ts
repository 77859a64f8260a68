import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2, constants, createServer } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PaceLimits } from '../../dataplane/door/pace.ts'
import { inTime, watchMachine } from '../machine.ts'
import { testProxy, type TestProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, route } from './table.ts'

/** Short, so that a test need not wait: 240 bytes a second over half a second, and something read in as long. */
const pace: PaceLimits = { bodyRate: 240, bodyOver: 500, readWithin: 500, soon: 100, every: 50 }
const mebibyte = Buffer.alloc(1024 * 1024)

type Seen = { begun: number; cancelled: number }

async function setUp(t: TestContext, options: Parameters<typeof testProxy>[2] = {}): Promise<{ proxy: TestProxy; seen: Seen }> {
  const seen = { begun: 0, cancelled: 0 }
  const port = await httpUpstream(t, (request, response) => {
    seen.begun++
    request.on('error', () => {})
    response.on('close', () => { if (!response.writableFinished) seen.cancelled++ })
    if (request.url === '/large') {
      const go = (): void => { while (response.write(mebibyte)); response.once('drain', go) }
      go()
    } else if (request.url === '/late') setTimeout(() => response.end('late'), 1500)
    else request.on('data', () => {}).on('end', () => response.end('ok'))
  })
  return { proxy: await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }), { pace, ...options }), seen }
}

for (const [name, head] of [['of known length', 'Content-Length: 1000000'], ['in chunks', 'Transfer-Encoding: chunked']] as const) {
  test(`a body ${name} that dribbles in is answered 400 and cut, and its backend is let go`, { timeout: 120_000 }, async (t) => {
    const { proxy, seen } = await setUp(t)
    const client = await rawClient(t, proxy.url)
    client.send(`POST /x HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n`)
    const timer = setInterval(() => client.send(head.startsWith('T') ? '1\r\na\r\n' : 'a'), 50)
    t.after(() => clearInterval(timer))
    const { text } = await client.end()
    clearInterval(timer)
    assert.match(text, /^HTTP\/1\.1 400 .*x-modelroute-error: invalid_request/s)
    await eventually(() => proxy.lines().length === 1 && seen.cancelled === seen.begun)
    const [line] = proxy.lines()
    assert.deepEqual([line?.['status'], line?.['code'], line?.['cause']], [400, 'invalid_request', 'the body came too slowly'])
  })
}

test('a small body that never comes is cut too', { timeout: 120_000 }, async (t) => {
  const { proxy } = await setUp(t)
  const client = await rawClient(t, proxy.url)
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab')
  assert.match((await client.end()).text, /^HTTP\/1\.1 400 /)
})

test('a body that comes at the least rate is served, however long it takes', { timeout: 120_000 }, async (t) => {
  const { proxy } = await setUp(t)
  const client = await rawClient(t, proxy.url)
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 600\r\n\r\n')
  // 400 bytes a second, also where a busy machine wakes this late.
  const begun = performance.now()
  for (let sent = 0; sent < 600;) {
    await sleep(50)
    const due = Math.min(600, Math.ceil((performance.now() - begun) * 0.4))
    client.send('a'.repeat(due - sent))
    sent = due
  }
  assert.match(await client.until((text) => text.includes('ok')), /^HTTP\/1\.1 200 /)
})

test('a client whose backend takes its time owes nothing meanwhile', { timeout: 120_000 }, async (t) => {
  const { proxy } = await setUp(t)
  assert.equal(await (await fetch(`${proxy.url}/late`, { method: 'POST', body: 'x' })).text(), 'late')
})

test('an answer that nobody takes is cut, its backend let go, and the log says who was slow', { timeout: 120_000 }, async (t) => {
  const { proxy, seen } = await setUp(t)
  const client = await rawClient(t, proxy.url)
  client.socket.pause()
  client.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => seen.cancelled === 1 && proxy.lines().length === 1)
  const [line] = proxy.lines()
  assert.deepEqual([line?.['status'], line?.['code'], line?.['cause']], [499, 'client_closed', 'the answer was taken too slowly'])
})

test('while places are scarce, an answer is waited for less long', { timeout: 120_000 }, async (t) => {
  const { proxy, seen } = await setUp(t, { pace: { ...pace, readWithin: 60_000 }, connections: { connections: 1, perAddress: 5 } })
  const client = await rawClient(t, proxy.url)
  client.socket.pause()
  client.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => seen.cancelled === 1)
})

test('a connection that is not used is kept, and gives its place back while places are scarce', { timeout: 120_000 }, async (t) => {
  const { proxy } = await setUp(t, { connections: { connections: 5, perAddress: 5 } })
  const clients = []
  for (let n = 0; n < 2; n++) {
    const client = await rawClient(t, proxy.url)
    client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.until((text) => text.includes('ok'))
    clients.push(client)
  }
  await sleep(pace.soon * 4)
  assert.ok(clients.every(({ socket }) => !socket.readableEnded))
  const third = await rawClient(t, proxy.url)
  const machine = watchMachine()
  const begun = performance.now()
  third.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na')
  await clients[0]?.end()
  inTime(t, 'to give its place back', performance.now() - begun, 2000, machine())
  third.send('b')
  assert.match(await third.until((text) => text.includes('ok')), / 200 /)
})

test('over HTTP/2 a stream that is not read is reset, and the others of its connection go on', { timeout: 120_000 }, async (t) => {
  const { proxy, seen } = await setUp(t)
  const session = connectHttp2(proxy.url)
  t.after(() => session.destroy())
  const stuck = session.request({ ':path': '/large' })
  stuck.on('error', () => {})
  stuck.pause()
  await eventually(() => seen.cancelled === 1)
  const good = session.request({ ':path': '/x' })
  let text = ''
  good.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  await once(good, 'end')
  assert.equal(text, 'ok')
})

test('over HTTP/2 a body that dribbles in is reset', { timeout: 120_000 }, async (t) => {
  const { proxy } = await setUp(t)
  const session = connectHttp2(proxy.url)
  t.after(() => session.destroy())
  const slow = session.request({ ':path': '/x', ':method': 'POST' }, { endStream: false })
  const timer = setInterval(() => { if (!slow.closed) slow.write('a') }, 50)
  t.after(() => clearInterval(timer))
  slow.on('error', () => {})
  await new Promise((resolve) => { slow.once('close', resolve) })
  assert.notEqual(slow.rstCode, constants.NGHTTP2_NO_ERROR)
  await eventually(() => proxy.lines()[0]?.['cause'] === 'the body came too slowly')
})

test('a gRPC stream may be silent for as long as it likes', { timeout: 120_000 }, async (t) => {
  const backend = createServer().listen(0, '127.0.0.1')
  backend.on('stream', (stream) => { stream.on('error', () => {}).resume() })
  await once(backend, 'listening')
  t.after(() => backend.close())
  const address = backend.address()
  const { proxy } = await setUp(t)
  proxy.activate(active('2', [route()], { 'ml/s:80': [typeof address === 'object' && address ? address.port : 0] }))
  const session = connectHttp2(proxy.url)
  t.after(() => session.destroy())
  const chat = session.request({ ':path': '/x', ':method': 'POST', 'content-type': 'application/grpc' }, { endStream: false })
  chat.on('error', () => {})
  chat.write('a')
  await sleep(pace.bodyOver * 3)
  assert.ok(!chat.closed)
})
