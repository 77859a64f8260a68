import assert from 'node:assert/strict'
import { createSecureServer as createHttp2Tls, createServer as createHttp2, type Http2SecureServer, type Http2Server } from 'node:http2'
import { createServer, type ServerOptions } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import { connect } from 'node:net'
import test, { type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { Active } from '../../dataplane/store.ts'
import type { BackendTls } from '../../table/backend.ts'
import type { Secret } from '../../table/secrets.ts'
import { authority, type Certified } from '../certificates.ts'
import { testProxy } from './proxy.ts'
import { active, route, rule, variant } from './table.ts'

const ca = authority('ours')
const theirs = authority('theirs')
const base64 = (text: string) => Buffer.from(text).toString('base64')

async function listen(t: TestContext, server: Server | Http2Server | Http2SecureServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    if ('closeAllConnections' in server && typeof server.closeAllConnections === 'function') server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Answers with what it saw of the connection. */
function tell(request: IncomingMessage, response: ServerResponse): void {
  const socket = request.socket as TLSSocket
  response.setHeader('connection', 'close')
  response.end(JSON.stringify({
    asked: socket.servername, client: socket.getPeerCertificate().subject?.CN ?? null, http: request.httpVersion, host: request.headers.host,
  }))
}

const backend = (t: TestContext, { cert, key }: Certified, more: ServerOptions = {}) => listen(t, createServer({ cert, key, ...more }, tell))

function table(port: number, tls: BackendTls, secrets: readonly Secret[], more: { http2?: true } = {}): Active {
  const over = variant('stable', '', { target: { kind: 'endpoints', set: 'ml/s:443', tls, ...more } })
  const routes = [route({ rules: [rule({ variants: [over] })] })]
  return { ...active('1', routes, { 'ml/s:443': [port] }), secrets: new Map(secrets.map((one) => [one.id, one])) }
}

const caSecret = (of: Certified): Secret => ({ id: 'ml/ca', data: { 'ca.crt': base64(of.cert) } })
const pairSecret = (of: Certified): Secret => ({ id: 'ml/client', data: { 'tls.crt': base64(of.cert), 'tls.key': base64(of.key) } })
const tls: BackendTls = { serverName: 's.ml.svc', ca: { secret: 'ml/ca', key: 'ca.crt' } }

async function ask(url: string, host = 'models.example.com') {
  const response = await fetch(url, { headers: { host } })
  const text = await response.text()
  return { status: response.status, error: response.headers.get('x-modelroute-error'), ...(response.status === 200 && (JSON.parse(text) as object)) }
}

test('an endpoint is spoken to over TLS, by the name of its Service whatever the caller\'s Host says', async (t) => {
  const port = await backend(t, ca.issue('s', ['s.ml.svc']))
  const proxy = await testProxy(t, table(port, tls, [caSecret(ca)]))
  const { port: own } = new URL(proxy.url)
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await ask(proxy.url), { status: 200, error: null, asked: 's.ml.svc', client: null, http: '1.1', host: `127.0.0.1:${own}` })
  }
})

for (const [what, certified, terms] of [
  ['of another authority', theirs.issue('s', ['s.ml.svc']), tls],
  ['for another name', ca.issue('s', ['other.ml.svc']), tls],
  ['that no public authority signed', ca.issue('s', ['s.ml.svc']), { serverName: 's.ml.svc' }],
] as const) {
  test(`a certificate ${what} is not accepted`, async (t) => {
    const proxy = await testProxy(t, table(await backend(t, certified), terms, [caSecret(ca)]))
    assert.deepEqual(await ask(proxy.url), { status: 502, error: 'upstream_connect_failed' })
  })
}

test('the gateway shows its own certificate, and another one for the next connection once it is replaced', async (t) => {
  const port = await backend(t, ca.issue('s', ['s.ml.svc']), { ca: ca.cert, requestCert: true, rejectUnauthorized: true })
  const terms = { ...tls, client: 'ml/client' }
  const proxy = await testProxy(t, table(port, terms, [caSecret(ca), pairSecret(ca.issue('first'))]))
  const client = async () => Reflect.get(await ask(proxy.url), 'client')
  assert.equal(await client(), 'first')
  proxy.activate(table(port, terms, [caSecret(ca), pairSecret(ca.issue('second'))]))
  assert.equal(await client(), 'second')
})

test('without its secrets (a table from disk) a backend is not called at all, and is once they arrive', async (t) => {
  let connections = 0
  const server = createServer(ca.issue('s', ['s.ml.svc']), tell).on('connection', () => connections++)
  const port = await listen(t, server)
  const proxy = await testProxy(t, table(port, tls, []))
  assert.deepEqual(await ask(proxy.url), { status: 503, error: 'no_endpoints' })
  assert.equal(connections, 0)
  proxy.activate(table(port, tls, [caSecret(ca)]))
  assert.equal((await ask(proxy.url)).status, 200)
})

test('an authority that is replaced is believed from the next connection on, without a session of the old one', async (t) => {
  const port = await backend(t, ca.issue('s', ['s.ml.svc']))
  const proxy = await testProxy(t, table(port, tls, [caSecret(ca)]))
  assert.equal((await ask(proxy.url)).status, 200)
  proxy.activate(table(port, tls, [caSecret(theirs)]))
  assert.equal((await ask(proxy.url)).status, 502)
})

test('HTTP/2 to a backend that speaks nothing else: over TLS by ALPN, and plain by prior knowledge', async (t) => {
  const seen: string[] = []
  const over = async (port: number, share: Active) => {
    const proxy = await testProxy(t, share)
    const response = await fetch(`${proxy.url}/x`, { method: 'POST', body: 'hello', headers: { host: 'models.example.com' } })
    assert.equal(await response.text(), `got hello on ${port}`)
    assert.equal(response.status, 200)
  }
  const answer = (stream: { on(event: 'data', listener: (part: Buffer) => void): unknown; respond(): void; end(text: string): void }, port: () => number) => {
    stream.on('data', (part) => { stream.respond(); stream.end(`got ${part.toString()} on ${port()}`) })
  }
  const { cert, key } = ca.issue('s', ['s.ml.svc'])
  let securePort = 0
  const secure = createHttp2Tls({ cert, key, allowHTTP1: false })
  secure.on('stream', (stream) => { seen.push(`${stream.session?.alpnProtocol}`); answer(stream, () => securePort) })
  securePort = await listen(t, secure)
  await over(securePort, table(securePort, tls, [caSecret(ca)], { http2: true }))
  let plainPort = 0
  const plain = createHttp2()
  plain.on('stream', (stream) => { seen.push(`${stream.session?.alpnProtocol}`); answer(stream, () => plainPort) })
  plainPort = await listen(t, plain)
  const clear = variant('stable', '', { target: { kind: 'endpoints', set: 'ml/s:80', http2: true } })
  await over(plainPort, active('1', [route({ rules: [rule({ variants: [clear] })] })], { 'ml/s:80': [plainPort] }))
  assert.deepEqual(seen, ['h2', 'h2c'])
})

test('a tunnel goes over the same TLS', async (t) => {
  const server = createServer({ ...ca.issue('s', ['s.ml.svc']), ca: ca.cert, requestCert: true })
  server.on('upgrade', (request: IncomingMessage, socket) => {
    const accept = process.getBuiltinModule('node:crypto').createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\nhello ${String(CN)}`)
    socket.on('error', () => {})
    t.after(() => socket.destroy())
  })
  const port = await listen(t, server)
  const proxy = await testProxy(t, table(port, { ...tls, client: 'ml/client' }, [caSecret(ca), pairSecret(ca.issue('gateway'))]))
  const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n')
  let text = ''
  for await (const part of socket) {
    text += String(part)
    if (text.includes('hello')) break
  }
  assert.match(text, /^HTTP\/1\.1 101[\s\S]*hello gateway$/)
})
