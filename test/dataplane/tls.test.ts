import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { request } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { connect as connectTls, getCACertificates, setDefaultCACertificates, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { authority, type Certified } from '../certificates.ts'
import { WebSocket, WebSocketServer } from 'ws'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route } from './table.ts'

const ours = authority('ours')
const theirs = authority('theirs')
const server = () => ours.issue('gateway', ['localhost'])

async function front(t: TestContext, certified: Certified, clientCa?: Certified) {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-front-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key'), clientCa: join(folder, 'ca.crt') }
  const put = ({ cert, key }: Certified) => {
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key)
  }
  put(certified)
  if (clientCa) writeFileSync(files.clientCa, clientCa.cert)
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const { cert, key } = files
  const proxy = await testProxy(t, active('1', [route({ hostnames: [] })], { 'ml/s:80': [port] }), {
    https: { bind: { host: '127.0.0.1', port: 0 }, files: clientCa ? files : { cert, key } },
  })
  const { port: https } = new URL(proxy.urls.https ?? '')
  return { proxy, port: Number(https), put, trust: (cert: string) => writeFileSync(files.clientCa, cert) }
}

/** A handshake, and what came of it. */
function handshake(t: TestContext, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: ours.cert, ...options }, () => resolve(socket))
  socket.on('error', reject)
  t.after(() => socket.destroy())
  return promise
}

function ask(port: number, options: ConnectionOptions = {}): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  request({ port, host: '127.0.0.1', servername: 'localhost', ca: ours.cert, agent: false, ...options }, (response) => {
    response.resume().on('end', () => resolve(response.statusCode))
  }).on('error', reject).end()
  return promise
}

test('one port speaks HTTP/1.1 and HTTP/2, by ALPN', { timeout: 120_000 }, async (t) => {
  const { port } = await front(t, server())
  assert.equal(await ask(port), 200)
  assert.equal((await handshake(t, port, { ALPNProtocols: ['http/1.1'] })).alpnProtocol, 'http/1.1')
  const session = connectHttp2(`https://localhost:${port}`, { ca: ours.cert, lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]) })
  t.after(() => session.destroy())
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  session.request({ ':path': '/' }).on('response', (headers) => resolve(headers[':status'])).resume()
  assert.equal(await promise, 200)
  assert.equal(session.alpnProtocol, 'h2')
})

test('a client of HTTP/2 that closes its half has left, over TLS and without', { timeout: 120_000 }, async (t) => {
  const { proxy, port } = await front(t, server())
  const plain = connect({ port: Number(new URL(proxy.urls.http).port), host: '127.0.0.1' })
  t.after(() => plain.destroy())
  for (const socket of [plain, await handshake(t, port, { ALPNProtocols: ['h2'] })]) {
    const stream = connectHttp2('http://localhost', { createConnection: () => socket }).request({ ':path': '/' })
    await once(stream, 'response')
    await once(stream.resume(), 'close')
    socket.end()
    await once(socket, 'close')
  }
})

test('TLS 1.1 and ciphers without forward secrecy are refused', { timeout: 120_000 }, async (t) => {
  const { port } = await front(t, server())
  await assert.rejects(handshake(t, port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }))
  await assert.rejects(handshake(t, port, { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }))
})

test('with a client authority only its certificates are let in', { timeout: 120_000 }, async (t) => {
  const { port } = await front(t, server(), ours)
  const { cert, key } = ours.issue('client')
  assert.equal(await ask(port, { cert, key }), 200)
  await assert.rejects(ask(port))
  await assert.rejects(ask(port, theirs.issue('client')))
})

test('a replaced certificate is used without a restart, and an unusable one is not', { timeout: 120_000 }, async (t) => {
  const first = server()
  const { port, proxy, put } = await front(t, first)
  const kept = await handshake(t, port)
  const shown = async () => (await handshake(t, port)).getPeerX509Certificate()?.toString().trim()
  assert.equal(await shown(), first.cert.trim())
  const second = server()
  put({ cert: second.cert, key: first.key })
  await eventually(() => proxy.text().includes('"level":"error"'))
  assert.equal(await shown(), first.cert.trim())
  put(second)
  await eventually(() => proxy.text().includes('a new certificate is in force'))
  assert.equal(await shown(), second.cert.trim())
  // A connection that was there goes on.
  kept.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const { promise, resolve } = Promise.withResolvers<string>()
  kept.once('data', (data: Buffer) => resolve(data.toString()))
  assert.match(await promise, /^HTTP\/1\.1 200/)
})

for (const [what, certified, clientCa, why] of [
  ['of no certificate', { ...server(), cert: '' }, undefined, /tls\.crt holds no certificate in PEM$/],
  ['of no key', { ...server(), key: 'none' }, undefined, /tls\.key holds no private key in PEM, or one with a passphrase$/],
  ['of the key of another', { ...server(), key: server().key }, undefined, /tls\.key is not the key of .*tls\.crt$/],
  ['of no authority', server(), { cert: '', key: '' }, /ca\.crt holds no certificate of an authority in PEM$/],
] as const) {
  test(`files ${what} are an error at the start, which names the file`, { timeout: 120_000 }, async (t) => {
    await assert.rejects(front(t, certified, clientCa), why)
  })
}

test('an authority that is emptied lets in nobody whom the one before did not', { timeout: 120_000 }, async (t) => {
  const { port, proxy, trust } = await front(t, server(), ours)
  // Without an authority Node trusts all public ones, of which this is one now.
  const known = getCACertificates('default')
  setDefaultCACertificates([...known, theirs.cert])
  t.after(() => setDefaultCACertificates(known))
  trust('')
  await eventually(() => proxy.text().includes('ca.crt holds no certificate of an authority in PEM'))
  await assert.rejects(ask(port, theirs.issue('stranger')))
  assert.equal(await ask(port, ours.issue('client')), 200)
})

test('a WebSocket tunnel opens over TLS too, and carries what it is given both ways', { timeout: 120_000 }, async (t) => {
  const { proxy, port } = await front(t, server())
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  t.after(() => {
    for (const each of sockets.clients) each.terminate()
    sockets.close()
  })
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })))
  const address = sockets.address()
  proxy.activate(active('2', [route()], { 'ml/s:80': [typeof address === 'object' && address ? address.port : 0] }))
  const client = new WebSocket(`wss://localhost:${port}/chat`, { ca: ours.cert, family: 4 })
  await once(client, 'open')
  for (const body of [Buffer.from('hello'), Buffer.alloc(300_000, 'x')]) {
    const answer = once(client, 'message')
    client.send(body)
    const [data] = (await answer) as [Buffer]
    assert.ok(data.equals(body))
  }
  client.close()
  await eventually(() => proxy.lines().some((line) => line['status'] === 101))
})

test('a handshake that fails or never begins leaves nothing that a drain waits for', { timeout: 120_000 }, async (t) => {
  const { proxy, port } = await front(t, server())
  await assert.rejects(handshake(t, port, { ca: theirs.cert }))
  for (const bytes of ['', 'GET / HTTP/1.1\r\n\r\n']) {
    const socket = connect(port, '127.0.0.1').on('error', () => {}).resume()
    socket.end(bytes)
    await once(socket, 'close')
  }
  assert.equal(await ask(port), 200)
  assert.equal(await proxy.drain({ delay: 0, timeout: 60_000 }), true)
})
