import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { startClient } from '../../dataplane/sidecar/main.ts'
import type { Rule } from '../../table/route.ts'
import { createLog } from '../../dataplane/telemetry/log.ts'
import { authority, type Certified } from '../certificates.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream, rawClient, rawUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

const ours = authority('ours')
/** Of RFC 6455 section 4. */
const key = 'dGhlIHNhbXBsZSBub25jZQ=='
const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
const upgrade = `GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`
const switching = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
const free = { host: '127.0.0.1', port: 0 }

type Pair = Readonly<{ as?: Certified; serverName?: string; backend?: number; rules?: readonly Rule[] }>

/** A gateway that takes sidecars, and the sidecar of an application; `as` is what that one shows. */
async function pair(t: TestContext, { as = ours.issue('sidecar'), serverName = 'fleet', backend, rules = [rule()] }: Pair = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-sidecar-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const put = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const gateway = ours.issue('gateway', ['fleet'])
  const ca = put('ca.crt', ours.cert)
  const port = backend ?? await httpUpstream(t, (incoming, response) => {
    if (incoming.url === '/broken') response.writeHead(200, { 'content-length': 100 }).write('half', () => response.destroy())
    else incoming.pipe(response)
  })
  let opened = ''
  const proxy = await testProxy(t, active('1', [route({ hostnames: [], rules })], { 'ml/s:80': [port] }), {
    sidecars: { bind: free, files: { cert: put('tls.crt', gateway.cert), key: put('tls.key', gateway.key), clientCa: ca } },
    announce: (name, url) => { if (name === 'sidecars') opened = url },
  })
  let text = ''
  const log = createLog({ sink: { write: (more, done) => { text += more; done() } } })
  const client = await startClient({
    bind: free, health: free, log,
    fleet: { url: new URL(opened), serverName, tls: { cert: put('side.crt', as.cert), key: put('side.key', as.key), ca } },
  })
  t.after(() => client.drain(0))
  return { client, proxy, fleet: new URL(opened), text: () => log.flush().then(() => text) }
}

const ask = (url: string, body: string) => fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(60_000) })

test("an application's plain requests come to the fleet over mutual TLS, HTTP/2 too, and however small its pieces", { timeout: 120_000 }, async (t) => {
  const { client, proxy, fleet } = await pair(t)
  const answer = await ask(`${client.urls.http}/v2/models/m/infer`, 'hello')
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-variant') !== null, await answer.text()], [200, true, 'hello'])

  const session = connectHttp2(client.urls.http)
  t.after(() => session.destroy())
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  session.request({ ':path': '/' }).on('response', (headers) => resolve(headers[':status'])).resume()
  assert.equal(await promise, 200)

  const socket = connect(Number(new URL(client.urls.http).port), '127.0.0.1')
  t.after(() => socket.destroy())
  for (const byte of 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n') socket.write(byte)
  let heard = ''
  for await (const chunk of socket) heard += String(chunk)
  assert.match(heard, /^HTTP\/1\.1 200 OK\r\n/)

  const counted = await (await fetch(`${client.urls.health}/metrics`)).text()
  assert.match(counted, /modelroute_sidecar_connections_total\{result="carried"\} 3\n/)
  assert.equal(proxy.lines().length, 3)

  // A stranger gets no further than the handshake.
  const stranger = connectTls({ port: Number(fleet.port), host: '127.0.0.1', servername: 'fleet', ca: ours.cert })
  t.after(() => stranger.destroy())
  stranger.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  await assert.rejects(new Promise((done, fail) => { stranger.on('data', done).on('error', fail).on('end', () => fail(new Error('ended'))) }))
})

test('an answer that breaks off is seen to have broken off', { timeout: 120_000 }, async (t) => {
  const { client } = await pair(t)
  const { promise, resolve } = Promise.withResolvers<string>()
  request(`${client.urls.http}/broken`, (response) => {
    response.on('end', () => resolve('whole')).on('error', () => resolve('broken')).resume()
  }).on('error', () => resolve('broken')).end()
  assert.equal(await promise, 'broken')
})

test('whoever has said all that they have to say closes their half, and still hears the other', { timeout: 120_000 }, async (t) => {
  const { client } = await pair(t, { backend: await rawUpstream(t, (socket) => {
    socket.once('data', () => socket.write(switching))
    // The last words are for somebody who has none left.
    socket.once('end', () => socket.end('last words'))
  }) })
  const tunnel = await rawClient(t, client.urls.http)
  tunnel.send(upgrade)
  await tunnel.until((text) => text.endsWith('\r\n\r\n'))
  tunnel.socket.end()
  const said = await tunnel.end()
  assert.deepEqual([said.text.endsWith('last words'), said.reset], [true, false])

  const short = await rawClient(t, client.urls.http)
  short.socket.end('GET /a HTTP/1.1\r\nHost')
  assert.match((await short.end()).text, /^HTTP\/1\.1 400 /)
})

test('an answer before the end of the body arrives, and the body is not in its way', { timeout: 120_000 }, async (t) => {
  const { client, proxy } = await pair(t, { rules: [rule({ sizeLimits: { request: 10 } })] })
  for (const url of [proxy.urls.http, client.urls.http]) {
    const asking = await rawClient(t, url)
    asking.send('POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n')
    await asking.until((text) => text.startsWith('HTTP/1.1 413 '))
    // Nobody reads it, and whoever only waits for the answer has it.
    asking.socket.end('x'.repeat(2_000_000))
    const said = await asking.end()
    assert.deepEqual([/"code":"request_too_large"/.test(said.text), said.reset], [true, false], url)
  }
})

test('an application that goes away in the middle takes nobody along', { timeout: 120_000 }, async (t) => {
  const { client } = await pair(t)
  const socket = connect(Number(new URL(client.urls.http).port), '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf')
  const carried = async () => / 1$/m.test((/^.*result="carried".*$/m.exec(await (await fetch(`${client.urls.health}/metrics`)).text()) ?? [''])[0])
  while (!await carried()) await new Promise((done) => { setTimeout(done, 5) })
  socket.resetAndDestroy()
  assert.equal((await ask(client.urls.http, 'x')).status, 200)
})

test('without a proxy to be trusted the application is told, and nothing of its request has left', { timeout: 120_000 }, async (t) => {
  const stranger = authority('stranger').issue('sidecar')
  for (const { name, ...given } of [{ name: 'another' }, { name: 'fleet', as: stranger }]) {
    const { client, proxy, text } = await pair(t, { ...given, serverName: name })
    const answer = await ask(client.urls.http, 'secret').catch((error: Error) => error)
    // TLS 1.3 tells a client late that its certificate was not taken: the connection then breaks.
    if (name === 'another') {
      assert.ok(answer instanceof Response)
      assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [502, 'upstream_connect_failed'])
      assert.match(await text(), /no proxy of the fleet can be reached/)
    } else assert.ok(answer instanceof Error)
    assert.equal(proxy.lines().length, 0)
  }
})

test('what is under way when the sidecar is told to end is finished, and nothing new is begun', { timeout: 120_000 }, async (t) => {
  const { client } = await pair(t)
  const { promise: answered, resolve } = Promise.withResolvers<number | undefined>()
  const slow = request(`${client.urls.http}/x`, { method: 'POST', agent: false }, (response) => response.resume().on('end', () => resolve(response.statusCode)))
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  slow.on('socket', (socket) => socket.on('connect', () => begin()))
  slow.write('half')
  await begun
  const before = await fetch(`${client.urls.health}/readyz`)
  await before.arrayBuffer()
  const ended = client.drain(10_000)
  const later = await fetch(`${client.urls.health}/readyz`)
  assert.deepEqual([before.status, later.status, await later.text()], [200, 503, 'not ready\n'])
  await assert.rejects(ask(client.urls.http, 'new'))
  slow.end(' and half')
  assert.equal(await answered, 200)
  await ended
})
