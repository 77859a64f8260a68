import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { connect, type ConnectionOptions } from 'node:tls'
import type { Active } from '../../dataplane/store.ts'
import type { Route } from '../../table/route.ts'
import type { Secret } from '../../table/secrets.ts'
import { authority, type Certified } from '../certificates.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route } from './table.ts'

const ca = authority('ours')

function secret(id: string, { cert, key }: Certified): Secret {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  return { id, data: { 'tls.crt': base64(cert), 'tls.key': base64(key) } }
}

function table(routes: readonly Route[], secrets: readonly Secret[], port: number): Active {
  return { ...active('1', routes, { 'ml/s:80': [port] }), secrets: new Map(secrets.map((one) => [one.id, one])) }
}

/** The common name of the certificate shown; undefined where the handshake failed. */
function shown(port: number, servername: string, options: ConnectionOptions = {}): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false, ...options }, () => {
    resolve(/CN=(.*)/.exec(socket.getPeerX509Certificate()?.subject ?? '')?.[1])
    socket.destroy()
  })
  socket.on('error', () => resolve(undefined))
  return promise
}

const at = (id: string, created: string, hostnames: string[], ...certificates: string[]) =>
  route({ id, tenant: id.split('/')[0] ?? '', created, hostnames, ...(certificates.length > 0 && { certificates }) })

async function front(t: TestContext, routes: readonly Route[], secrets: readonly Secret[], files?: Certified, clientCa?: Certified) {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-sni-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const [cert, key, authorityFile] = ['crt', 'key', 'ca'].map((name) => join(folder, name)) as [string, string, string]
  if (files) for (const [file, text] of [[cert, files.cert], [key, files.key]] as const) writeFileSync(file, text)
  if (clientCa) writeFileSync(authorityFile, clientCa.cert)
  const upstream = await httpUpstream(t, (request, response) => { response.end(`for ${request.headers.host}`) })
  const proxy = await testProxy(t, table(routes, secrets, upstream), {
    https: {
      bind: { host: '127.0.0.1', port: 0 },
      ...(files && { files: { cert, key, ...(clientCa && { clientCa: authorityFile }) } }),
    },
  })
  const port = Number(new URL(proxy.urls.https ?? '').port)
  return { proxy, port, put: (next: readonly Route[], with_: readonly Secret[]) => proxy.activate(table(next, with_, upstream)) }
}

test('a name gets the certificate of its route: exact before wildcard, the longest wildcard, and no other route\'s', async (t) => {
  const names = ['a.example.com', 'any.example.com', 'deep.example.com']
  const [a, any, deep] = names.map((name) => secret(`ml/${name}`, ca.issue(name, [name]))) as [Secret, Secret, Secret]
  const { port } = await front(t, [
    at('ml/a', '1', ['a.example.com'], a.id),
    at('ml/any', '2', ['*.example.com'], any.id),
    at('ml/deep', '3', ['*.deep.example.com'], deep.id),
    at('other/plain', '4', ['plain.example.org']),
  ], [a, any, deep])
  assert.equal(await shown(port, 'a.example.com'), 'a.example.com')
  assert.equal(await shown(port, 'A.Example.COM'), 'a.example.com')
  assert.equal(await shown(port, 'b.example.com'), 'any.example.com')
  assert.equal(await shown(port, 'x.deep.example.com'), 'deep.example.com')
  assert.equal(await shown(port, 'plain.example.org'), undefined, 'a name whose route brings none has none')
  assert.equal(await shown(port, 'example.com'), undefined)
  assert.equal(await shown(port, ''), undefined)
})

test('the oldest route with a certificate decides over a name, and one for any host answers for the rest', async (t) => {
  const [old, young, rest] = ['old', 'young', 'rest'].map((name) => secret(`ml/${name}`, ca.issue(name, ['a.example.com']))) as [Secret, Secret, Secret]
  const { port } = await front(t, [
    at('ml/young', '2', ['a.example.com'], young.id),
    at('ml/rest', '3', [], rest.id),
    at('ml/old', '1', ['a.example.com'], old.id),
  ], [old, young, rest])
  assert.equal(await shown(port, 'a.example.com'), 'old')
  assert.equal(await shown(port, 'else.example.org'), 'rest')
  assert.equal(await shown(port, ''), 'rest')
})

test('of several certificates a name gets the one that is for it', async (t) => {
  const [a, b] = ['a.example.com', 'b.example.com'].map((name) => secret(`ml/${name}`, ca.issue(name, [name]))) as [Secret, Secret]
  const { port } = await front(t, [at('ml/both', '1', ['a.example.com', 'b.example.com'], a.id, b.id)], [a, b])
  assert.equal(await shown(port, 'a.example.com'), 'a.example.com')
  assert.equal(await shown(port, 'b.example.com'), 'b.example.com')
})

test('a certificate is replaced without a restart, an unusable one is told and not shown, and one that is gone is gone', async (t) => {
  const routes = [at('ml/a', '1', ['a.example.com'], 'ml/tls')]
  const [first, second] = [ca.issue('first', ['a.example.com']), ca.issue('second', ['a.example.com'])]
  const { port, put, proxy } = await front(t, routes, [secret('ml/tls', first)])
  assert.equal(await shown(port, 'a.example.com'), 'first')
  put(routes, [secret('ml/tls', second)])
  assert.equal(await shown(port, 'a.example.com'), 'second')
  put(routes, [secret('ml/tls', { cert: first.cert, key: second.key })])
  assert.equal(await shown(port, 'a.example.com'), undefined)
  assert.match(proxy.text(), /"secret":"ml\/tls".*"why":"[^"]*key values mismatch/)
  assert.ok(!proxy.text().includes('PRIVATE'))
  put(routes, [])
  assert.equal(await shown(port, 'a.example.com'), undefined)
  put(routes, [secret('ml/tls', first)])
  assert.equal(await shown(port, 'a.example.com'), 'first')
})

test('beside a certificate from files, and with its client authority', async (t) => {
  const own = secret('ml/tls', ca.issue('route', ['a.example.com']))
  const { port } = await front(t, [at('ml/a', '1', ['a.example.com'], own.id)], [own], ca.issue('files', ['gateway']), ca)
  const client = ca.issue('client')
  assert.equal(await shown(port, 'a.example.com', client), 'route')
  assert.equal(await shown(port, 'else.example.com', client), 'files')
  const answered = (options: ConnectionOptions) => {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const socket = connect({ port, host: '127.0.0.1', servername: 'a.example.com', rejectUnauthorized: false, ...options })
    socket.on('data', () => { resolve(true); socket.destroy() }).on('error', () => resolve(false)).on('close', () => resolve(false))
    socket.write('GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n')
    return promise
  }
  assert.equal(await answered(client), true)
  assert.equal(await answered({}), false, 'a name of a route does not let strangers in')
  assert.equal(await answered(authority('theirs').issue('client')), false)
})

test('HTTP/2 is spoken by ALPN under a name of a route', async (t) => {
  const own = secret('ml/tls', ca.issue('route', ['a.example.com']))
  const { port } = await front(t, [at('ml/a', '1', ['a.example.com'], own.id)], [own])
  const session = connectHttp2(`https://a.example.com:${port}`, {
    ca: ca.cert, lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
  })
  t.after(() => session.destroy())
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  session.on('error', reject)
  session.request({ ':path': '/' }).on('response', (headers) => resolve(headers[':status'])).resume()
  assert.equal(await promise, 200)
  assert.equal(session.alpnProtocol, 'h2')
})

test('a port that waits opens with the first certificate', async (t) => {
  const own = secret('ml/tls', ca.issue('route', ['a.example.com']))
  const routes = [at('ml/a', '1', ['a.example.com'], own.id)]
  const upstream = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const proxy = await testProxy(t, table(routes, [], upstream), { https: { bind: { host: '127.0.0.1', port: 0 }, wait: true } })
  assert.equal(proxy.urls.https, undefined)
  proxy.activate(table(routes, [own], upstream))
  await eventually(() => proxy.text().includes('"name":"https"'))
  const url = /"name":"https","url":"([^"]+)"/.exec(proxy.text())?.[1] ?? ''
  assert.equal(await shown(Number(new URL(url).port), 'a.example.com'), 'route')
})
