import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { testProxy } from './proxy.ts'
import { deadPort, eventually, httpUpstream, rawClient, rawUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

const table = (port: number, timeouts = {}) => active('1', [route({ rules: [rule({ timeouts })] })], { 'ml/s:80': [port] })
const key = 'dGhlIHNhbXBsZSBub25jZQ=='
const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const ask = (more = '', version = '13', given = key) =>
  `GET /chat?x=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: ${version}\r\nSec-WebSocket-Key: ${given}\r\n${more}\r\n`
const switching = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n`

async function echo(t: TestContext) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  await once(server, 'listening')
  server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })))
  t.after(() => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === 'object' && address ? address.port : 0, server }
}

test('1,000 tunnels at once carry every message, and end when either end does', { timeout: 200_000 }, async (t) => {
  const { port, server } = await echo(t)
  const proxy = await testProxy(t, table(port))
  const open = async (i: number) => {
    const socket = new WebSocket(`${proxy.url.replace('http', 'ws')}/chat`, { perMessageDeflate: false })
    await once(socket, 'open')
    const answer = once(socket, 'message')
    socket.send(`message ${i}`)
    const [data] = (await answer) as [Buffer]
    assert.equal(data.toString(), `message ${i}`)
    return socket
  }
  const sockets: WebSocket[] = []
  for (let at = 0; at < 1000; at += 100) sockets.push(...(await Promise.all(Array.from({ length: 100 }, (_, i) => open(at + i)))))
  assert.equal(server.clients.size, 1000)
  const from = performance.now()
  for (const socket of sockets.slice(0, 500)) socket.terminate()
  await eventually(() => server.clients.size === 500)
  const closed = Promise.all(sockets.slice(500).map((socket) => once(socket, 'close')))
  for (const socket of server.clients) socket.terminate()
  await closed
  assert.ok(performance.now() - from < 5000)
  await eventually(() => proxy.lines().length === 1000)
  for (const line of proxy.lines()) assert.deepEqual([line['status'], line['code'], line['route']], [101, undefined, 'ml/fraud'])
})

test('the request is rebuilt, the 101 checked and rebuilt, and early bytes are kept', { timeout: 120_000 }, async (t) => {
  let seen = ''
  const port = await rawUpstream(t, (socket) => {
    socket.once('data', (head) => {
      seen = head.toString('latin1')
      socket.write(`${switching}X-ModelRoute-Error: lie\r\nSec-WebSocket-Protocol: chat\r\n\r\nfirst`)
      socket.on('data', (more) => socket.write(`[${more.toString('latin1')}]`))
    })
  })
  const proxy = await testProxy(t, table(port))
  const client = await rawClient(t, proxy.url)
  client.send(`${ask('X-Forwarded-For: 6.6.6.6\r\nX-ModelRoute-Tier: gold\r\nCookie: a=1\r\n')}early`)
  const text = await client.until((all) => all.includes('[early]'))
  assert.match(text, /^HTTP\/1\.1 101 /)
  assert.match(text, /x-modelroute-variant: stable\r\n/)
  assert.doesNotMatch(text, /lie/)
  assert.ok(text.indexOf('first') < text.indexOf('[early]'))
  assert.match(seen, /^GET \/chat\?x=1 HTTP\/1\.1\r\n/)
  assert.match(seen, /x-forwarded-for: 127\.0\.0\.1\r\n/i)
  assert.doesNotMatch(seen, /6\.6\.6\.6|gold/)
})

test('smuggling: a tunnel opens only by a valid handshake', { timeout: 120_000 }, async (t) => {
  let reached = 0
  const port = await rawUpstream(t, (socket) => { socket.once('data', () => { reached++; socket.end('HTTP/1.1 426 No\r\nContent-Length: 2\r\nX-A: b\r\n\r\nno') }) })
  const proxy = await testProxy(t, table(port))
  const refused = [ask('', '1337'), ask('', '13', 'short'), ask('', '13', `${key}, ${key}`), ask().replace('Upgrade: websocket', 'Upgrade: h2c'),
    ask().replace('Upgrade: websocket', 'Upgrade: websocket, h2c')]
  for (const request of refused) {
    const client = await rawClient(t, proxy.url)
    client.send(`${request}GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n`)
    const { text } = await client.end()
    assert.match(text, /^HTTP\/1\.1 400 /, request)
    assert.equal(text.split('HTTP/1.1').length, 2, request)
  }
  assert.equal(reached, 0)
  // A backend that declines: its answer is relayed, and nothing that follows reaches it.
  const client = await rawClient(t, proxy.url)
  client.send(`${ask()}GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n`)
  const { text } = await client.end()
  assert.match(text, /^HTTP\/1\.1 426 [^]*x-a: b[^]*no$/)
  assert.equal(reached, 1)
})

test('other upgrades are ordinary requests without their Upgrade', { timeout: 120_000 }, async (t) => {
  const seen: (string | undefined)[] = []
  const port = await httpUpstream(t, (request, response) => {
    seen.push(request.headers.upgrade)
    request.resume().once('end', () => response.end('ok'))
  })
  const proxy = await testProxy(t, table(port))
  const posts = [`${ask().replace('GET', 'POST').replace('\r\n\r\n', '\r\nContent-Length: 2\r\n\r\n')}hi`, ask().replace('websocket', 'foo/2')]
  for (const request of posts) {
    const client = await rawClient(t, proxy.url)
    client.send(request)
    assert.match(await client.until((text) => text.endsWith('ok\r\n0\r\n\r\n') || text.endsWith('ok')), /^HTTP\/1\.1 200 /)
  }
  assert.deepEqual(seen, [undefined, undefined])
})

test('a 101 that does not answer our key, or none that is a WebSocket, gives 502', { timeout: 120_000 }, async (t) => {
  for (const answer of [switching.replace(accept, 'bm90IG91cnM='), switching.replace('Upgrade: websocket', 'Upgrade: h2c')]) {
    const port = await rawUpstream(t, (socket) => { socket.once('data', () => socket.write(`${answer}\r\nsecret`)) })
    const proxy = await testProxy(t, table(port))
    const client = await rawClient(t, proxy.url)
    client.send(ask())
    const { text } = await client.end()
    assert.match(text, /^HTTP\/1\.1 502 [^]*upstream_protocol/)
    assert.doesNotMatch(text, /secret|101/)
  }
})

test('half-close: what a backend still says to a client that is done arrives; a silent end is cut within a second', { timeout: 120_000 }, async (t) => {
  let backend: Socket | undefined
  const port = await rawUpstream(t, (socket) => {
    backend = socket
    socket.once('data', () => socket.write(`${switching}\r\n`))
    socket.once('end', () => socket.end('last words'))
  })
  const proxy = await testProxy(t, table(port))
  const client = await rawClient(t, proxy.url)
  client.send(ask())
  await client.until((text) => text.includes('\r\n\r\n'))
  client.socket.end()
  assert.match((await client.end()).text, /last words$/)
  const second = await rawClient(t, proxy.url)
  second.send(ask())
  await second.until((text) => text.includes('\r\n\r\n'))
  const from = performance.now()
  backend?.destroy()
  await second.end()
  await eventually(() => proxy.lines().length === 2)
  assert.ok(performance.now() - from < 1500)
})

test('streamIdle ends a tunnel in which nothing moves; a dead endpoint gives 502', { timeout: 120_000 }, async (t) => {
  const { port } = await echo(t)
  const proxy = await testProxy(t, table(port, { streamIdle: 1100 }))
  const client = await rawClient(t, proxy.url)
  client.send(ask())
  await client.end()
  await eventually(() => proxy.lines().length === 1)
  assert.deepEqual([proxy.lines()[0]?.['code'], proxy.lines()[0]?.['cause']], ['timeout', 'stream idle'])
  const dead = await testProxy(t, table(await deadPort()))
  const refused = await rawClient(t, dead.url)
  refused.send(ask())
  assert.match((await refused.end()).text, /^HTTP\/1\.1 502 [^]*upstream_connect_failed/)
})

test('drain: a tunnel has its time, then it is cut', { timeout: 120_000 }, async (t) => {
  const { port } = await echo(t)
  const proxy = await testProxy(t, table(port))
  const socket = new WebSocket(proxy.url.replace('http', 'ws'), { perMessageDeflate: false })
  await once(socket, 'open')
  const closed = once(socket, 'close')
  socket.on('error', () => {})
  assert.equal(await proxy.drain({ delay: 0, timeout: 300 }), false)
  await closed
})

test('the deadline of who asks for a tunnel is for its opening, and its backend hears of it', { timeout: 120_000 }, async (t) => {
  let seen = ''
  const port = await rawUpstream(t, (socket) => socket.once('data', (head) => { seen = head.toString('latin1') }))
  const rules = [rule({ deadlineHeader: 'x-request-deadline', timeouts: { request: 30_000, connect: 10_000 } })]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port] }))
  for (const [value, status] of [['150ms', 504], ['soon', 400]] as const) {
    const client = await rawClient(t, proxy.url)
    client.send(ask(`X-Request-Deadline: ${value}\r\n`))
    await client.until((text) => text.startsWith(`HTTP/1.1 ${status}`))
  }
  assert.match(seen, /x-request-deadline: \d{1,3}ms\r\n/i)
})

test('a tunnel goes on to further endpoints as often as retry says, and only where none has accepted it', { timeout: 120_000 }, async (t) => {
  const { port } = await echo(t)
  const dead = await Promise.all([deadPort(), deadPort()])
  const retry = { attempts: 2, reasons: ['connect-failure'], codes: [], budgetPercent: 10, backoff: 25 } as const
  for (const [more, status] of [[{}, '502'], [{ retry: { ...retry, reasons: [...retry.reasons], codes: [] } }, '101']] as const) {
    const proxy = await testProxy(t, active('1', [route({ rules: [rule(more)] })], { 'ml/s:80': [...dead, port] }))
    const client = await rawClient(t, proxy.url)
    client.send(ask())
    await client.until((text) => text.startsWith(`HTTP/1.1 ${status}`))
    client.socket.destroy()
  }
})
