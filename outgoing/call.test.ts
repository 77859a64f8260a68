import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { authority } from '../test/certificates.ts'
import { createOutgoing, ownPorts, type OutgoingDeps } from './call.ts'
import '../test/steady.ts'

const servers: Server[] = []
after(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
})

/** A server on this machine that counts who connects. */
async function listening(handler: RequestListener, host = '127.0.0.1') {
  const server = createServer(handler)
  servers.push(server)
  const seen = { connections: 0, requests: 0 }
  server.on('connection', () => seen.connections++).on('request', () => seen.requests++)
  server.listen(0, host)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, seen }
}

const secret = await listening((_request, response) => void response.end('secret'))

/** Names as a hostile zone has them; each question is answered with the next of the answers, the last for ever. */
function zone(names: Readonly<Record<string, readonly (readonly string[])[]>>): NonNullable<OutgoingDeps['lookup']> {
  const asked = new Map<string, number>()
  const lookup = (name: string, _options: object, callback: (error: Error | null, found: unknown) => void) => {
    const answers = names[name]
    if (!answers) return callback(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }), [])
    const turn = asked.get(name) ?? 0
    asked.set(name, turn + 1)
    const found = answers[Math.min(turn, answers.length - 1)] ?? []
    callback(null, found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })))
  }
  return lookup as unknown as NonNullable<OutgoingDeps['lookup']>
}

const get = { method: 'GET', maxBytes: 1000, timeout: 2000 } as const
const closedTo = (url: string) => ({ ...get, to: { url, loopback: false } })
const local = (port: number, path = '/') => ({ ...get, to: { url: `http://127.0.0.1:${port}${path}`, loopback: true } })

const here = secret.port
const literals = [
  '127.0.0.1', '127.1', '127.0.1', '127.255.255.254', '2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '0177.1', '017700000001',
  '127.0.0.1.', '%31%32%37.0.0.1', '①②⑦.⓪.⓪.①', '127。0。0。1', '[::1]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]',
  '[::ffff:0:127.0.0.1]', '[::127.0.0.1]', '[64:ff9b::127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]',
  '0.0.0.0', '0', '0x0', '[::]', '[::ffff:0.0.0.0]', '10.0.0.1', '10.96.0.1', '012.0.0.1', '0xa.1', '167772161', '172.16.0.1', '172.31.255.255',
  '192.168.0.1', '0300.0250.0.1', '3232235521', '[::ffff:192.168.0.1]', '100.64.0.1', '100.100.100.200', '169.254.169.254', '0251.0376.0251.0376',
  '2852039166', '0xa9fea9fe', '[::ffff:a9fe:a9fe]', '[64:ff9b::a9fe:a9fe]', '[fe80::1]', '[fd00:ec2::254]', '[fd20:ce::254]', '[fc00::1]', '192.0.0.192',
  '168.63.129.16', '198.18.0.1', '224.0.0.1', '255.255.255.255', '[ff02::1]', '[2001::1]',
]
const names: Record<string, readonly (readonly string[])[]> = {
  'localhost': [['127.0.0.1', '::1']],
  'localhost.': [['127.0.0.1', '::1']],
  'metadata.google.internal': [['169.254.169.254']],
  'kubernetes.default.svc': [['10.96.0.1']],
  'mapped.test': [['::ffff:127.0.0.1']],
  'nat64.test': [['64:ff9b::7f00:1']],
  'zoned.test': [['fe80::1%eth0']],
  'all-of-them.test': [['10.0.0.1', '127.0.0.1', '::1', '169.254.169.254']],
}

for (const host of [...literals, ...Object.keys(names)]) {
  test(`no call leads to ${host}`, async () => {
    const outgoing = createOutgoing({ lookup: zone(names) })
    const before = secret.seen.connections
    const outcome = await outgoing(closedTo(`http://${host}:${here}/`))
    assert.equal('failed' in outcome && outcome.failed, 'refused', JSON.stringify(outcome))
    assert.equal(secret.seen.connections, before)
  })
}

for (const url of [
  'file:///etc/passwd', 'gopher://127.0.0.1/', 'ftp://a.test/', 'data:text/plain,x', 'javascript:1', '//a.test', '', 'http://', 'http://[fe80::1%25eth0]/',
  'http://user:secret@a.test/', 'http://a.test:99999/', 'unix:/var/run/docker.sock',
]) {
  test(`${JSON.stringify(url)} is nothing to call`, async () => {
    const outcome = await createOutgoing({ lookup: zone({ 'a.test': [['93.184.216.34']] }) })(closedTo(url))
    assert.equal('failed' in outcome && outcome.failed, 'refused')
    assert.ok(!JSON.stringify(outcome).includes('secret'))
  })
}

test('DNS rebinding: a name is asked for with each call, and the answer of that moment is checked', async () => {
  const outgoing = createOutgoing({ lookup: zone({ 'rebind.test': [['127.0.0.1'], ['127.0.0.1'], ['169.254.169.254']] }) })
  const call = { ...get, to: { url: `http://rebind.test:${here}/`, loopback: true } }
  const first = await outgoing(call)
  assert.equal('status' in first && first.status, 200)
  // The same name and port, where loopback is not allowed.
  const second = await outgoing({ ...call, to: { ...call.to, loopback: false } })
  const third = await outgoing(call)
  assert.deepEqual([second, third].map((outcome) => 'failed' in outcome && outcome.failed), ['refused', 'refused'])
})

test('DNS rebinding: of several addresses only the open ones are tried', async () => {
  const outgoing = createOutgoing({ lookup: zone({ 'both.test': [['10.0.0.1', '169.254.169.254', '127.0.0.1']] }) })
  const outcome = await outgoing({ ...get, to: { url: `http://both.test:${here}/`, loopback: true } })
  assert.equal('status' in outcome && outcome.body.toString(), 'secret')
})

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect (${status}) is not followed`, async () => {
    const target = await listening((_request, response) => void response.end('followed'))
    const { port } = await listening((_request, response) => {
      response.writeHead(status, { location: `http://127.0.0.1:${target.port}/` }).end()
    })
    const outcome = await createOutgoing()(local(port))
    assert.equal('failed' in outcome && outcome.failed, 'redirected')
    assert.equal(target.seen.connections, 0)
  })
}

test('the ports of the gateway itself are closed to it, under every address of this machine', async () => {
  const outgoing = createOutgoing({ closed: ownPorts(() => [here]), lookup: zone({ 'self.test': [['127.0.0.1']], 'self6.test': [['::ffff:127.0.0.1']] }) })
  const before = secret.seen.connections
  for (const host of ['127.0.0.1', '127.0.0.2', '[::1]', '[::ffff:127.0.0.1]', 'self.test', 'self6.test']) {
    const outcome = await outgoing({ ...get, to: { url: `http://${host}:${here}/`, loopback: true } })
    assert.equal('failed' in outcome && outcome.failed, 'refused', host)
  }
  assert.equal(secret.seen.connections, before)
  const other = await listening((_request, response) => void response.end('other'))
  const outcome = await outgoing(local(other.port))
  assert.equal('status' in outcome && outcome.body.toString(), 'other')
})

test('an answer is bounded in bytes, announced or not', async () => {
  const { port } = await listening((request, response) => {
    if (request.url === '/announced') response.setHeader('content-length', 1001)
    response.write('x'.repeat(600))
    setImmediate(() => response.end('x'.repeat(401)))
  })
  for (const path of ['/announced', '/chunked']) {
    const outcome = await createOutgoing()(local(port, path))
    assert.equal('failed' in outcome && outcome.failed, 'too_large', path)
  }
})

test('an answer is bounded in time, before its head, between its bytes, and in all', async () => {
  const { port } = await listening((request, response) => {
    if (request.url === '/silent') return
    response.write('x')
    if (request.url === '/stuck') return
    const drip = setInterval(() => response.write('x'), 20)
    response.on('close', () => clearInterval(drip))
  })
  for (const path of ['/silent', '/stuck', '/dripping']) {
    const outcome = await createOutgoing()({ ...local(port, path), timeout: 150 })
    assert.equal('failed' in outcome && outcome.failed, 'timeout', path)
  }
})

test('a name server that never answers does not hold a call up', async () => {
  const outgoing = createOutgoing({ lookup: (() => {}) as unknown as NonNullable<OutgoingDeps['lookup']> })
  const outcome = await outgoing({ ...closedTo('http://silent.test/'), timeout: 100 })
  assert.equal('failed' in outcome && outcome.failed, 'timeout')
})

test('what is broken is a value: nobody there, a reset, no HTTP, an unknown name', async () => {
  const { port } = await listening((request) => void request.socket.destroy())
  const gone = await listening(() => {})
  servers.at(-1)?.close()
  for (const url of [`http://127.0.0.1:${port}/`, `http://127.0.0.1:${gone.port}/`, 'http://unknown.test/']) {
    const outcome = await createOutgoing({ lookup: zone({}) })({ ...get, to: { url, loopback: true } })
    assert.equal('failed' in outcome && outcome.failed, 'unreachable', url)
  }
})

test('a certificate of nobody whom this machine trusts is not accepted', async () => {
  const { cert, key } = authority('unknown').issue('localhost', ['127.0.0.1'])
  const server = createTlsServer({ cert, key }, (_request, response) => void response.end('secret'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  after(() => void server.close())
  const outcome = await createOutgoing()({ ...get, to: { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/`, loopback: true } })
  assert.equal('failed' in outcome && outcome.failed, 'unreachable')
})

test('what is sent is what was said, on a connection of its own', async () => {
  const { port, seen } = await listening((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => void (body += chunk.toString()))
    request.on('end', () => response.setHeader('x-a', 'b').end(`${request.method} ${request.url} ${request.headers['content-type']} ${body}`))
  })
  const outgoing = createOutgoing()
  for (let i = 0; i < 3; i++) {
    const outcome = await outgoing({
      ...local(port, '/token?x=1'), method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'a=b',
    })
    assert.ok('status' in outcome)
    assert.deepEqual([outcome.header('x-a'), outcome.body.toString()], ['b', 'POST /token?x=1 application/x-www-form-urlencoded a=b'])
  }
  assert.equal(seen.connections, 3)
})
