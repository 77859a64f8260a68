import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient, rawUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

/** Each is a whole request, or the whole of what a client sends; all of them are refused and none reaches a backend. */
const refused: readonly [hazard: string, bytes: string, status?: number][] = [
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['two equal Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'],
  ['no Host in HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n'],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['a Host with user info', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
  ['a Host list', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n'],
  ['absolute-form for another host', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['absolute-form of another scheme', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['authority-form', 'GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['asterisk-form', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ['a fragment in the target', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a fragment in the query', 'GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a dot segment behind an escaped slash', 'GET /a%2f..%2fadmin HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a zero byte in the path', 'GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a backslash in the path', 'GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['Transfer-Encoding: gzip, chunked', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['Transfer-Encoding: identity, chunked', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n'],
  ['Transfer-Encoding: identity', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n'],
  ['Transfer-Encoding: chunked twice', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['Transfer-Encoding with a tab', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n'],
  ['Transfer-Encoding in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['CL.TE', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG'],
  ['TE.CL', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG'],
  ['two Content-Lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  ['two equal Content-Lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na'],
  ['a Content-Length list', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na'],
  ['a negative Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n'],
  ['a signed Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na'],
  ['a hexadecimal Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na'],
  ['a Content-Length beyond counting', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n'],
  ['Content_Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n'],
  ['Transfer_Encoding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n'],
  ['Connection: Transfer-Encoding', 'POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['Connection: Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nConnection: close, content-length\r\nContent-Length: 0\r\n\r\n'],
  ['Connection: Host', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n'],
  ['Connection: Authorization', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: authorization\r\nAuthorization: x\r\n\r\n'],
  ['Connection: X-Api-Key', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: x-api-key\r\nX-Api-Key: x\r\n\r\n'],
  ['Upgrade: h2c', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n'],
  ['HTTP/2.0 in an HTTP/1 line', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n'],
  ['a folded header', 'GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n'],
  ['a space before the colon', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\na'],
  ['a bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n'],
  ['bare LF line ends', 'GET / HTTP/1.1\nHost: a\n\n'],
  ['a NUL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n'],
  ['a chunk size that is none', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n'],
  ['a chunk longer than it says', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n'],
  ['a negative chunk size', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n'],
  ['101 headers', `GET / HTTP/1.1\r\nHost: a\r\n${'X-A: b\r\n'.repeat(100)}\r\n`, 431],
  ['1,001 headers, with the length beyond what Node keeps', `POST / HTTP/1.1\r\n${'A: b\r\n'.repeat(1000)}Host: a\r\nContent-Length: 1\r\n\r\na`, 431],
  ['a head of more than 16 KiB', `GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'b'.repeat(17_000)}\r\n\r\n`, 431],
]

for (const [hazard, bytes, status = 400] of refused) {
  test(`${hazard}: ${status}, the connection closes, and no request goes on`, { timeout: 120_000 }, async (t) => {
    let reached = 0
    const port = await httpUpstream(t, (request, response) => { reached++; request.resume(); response.end('reached') })
    const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
    const client = await rawClient(t, proxy.url)
    client.send(bytes)
    const { text } = await client.end()
    assert.match(text, new RegExp(`^HTTP/1.1 ${status} `), text)
    assert.equal(text.match(/HTTP\/1\.1 /g)?.length, 1, 'one answer')
    // A chunk that is wrong comes after headers that were right: then a request may begin, but never be whole.
    if (!/chunk/.test(hazard)) assert.equal(reached, 0)
  })
}

test('what is smuggled behind a refused request is never answered', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('reached') })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send('GET /a#b HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n')
  const { text } = await client.end()
  assert.ok(!text.includes('reached'), text)
})

for (const [what, bytes] of [
  ['broken', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'], ['refused', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'], ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n'],
] as const) {
  test(`a client that goes on sending after a ${what} request is cut off`, { timeout: 120_000 }, async (t) => {
    const proxy = await testProxy(t, active('1', [route()], {}))
    const client = await rawClient(t, proxy.url)
    client.send(bytes)
    await client.end()
    const sending = setInterval(() => client.send('x'), 50)
    t.after(() => clearInterval(sending))
    await new Promise((resolve) => { client.socket.once('close', resolve) })
  })
}

/** What an upstream is sent for a request, byte for byte. */
async function forwarded(t: Parameters<typeof testProxy>[0], bytes: string, more = ''): Promise<string> {
  let got = ''
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', (chunk) => {
      got += chunk.toString('latin1')
      if (got.includes('\r\n\r\n') && got.endsWith(more)) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send(bytes)
  await client.until((text) => text.endsWith('ok'))
  return got
}

test('headers are rebuilt: hop-by-hop and nominated ones end here, the rest goes on', { timeout: 120_000 }, async (t) => {
  const got = await forwarded(t, 'GET /x?y=%7e HTTP/1.1\r\nHost: Models.Example.com:8080\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n'
    + 'Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: x\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: secret\r\n'
    + 'Upgrade: websocket\r\nX-End: 1\r\nx-end: 2\r\n__proto__: x\r\nAuthorization: Bearer t\r\n\r\n')
  const lines = got.split('\r\n')
  assert.equal(lines[0], 'GET /x?y=%7e HTTP/1.1')
  assert.ok(lines.includes('host: Models.Example.com:8080'))
  assert.deepEqual(lines.filter((line) => line.startsWith('x-end')), ['x-end: 1', 'x-end: 2'])
  assert.ok(lines.includes('__proto__: x') && lines.includes('authorization: Bearer t'))
  assert.ok(!/x-hop|timeout=5|trailer|proxy-|secret|upgrade|websocket/i.test(got), got)
  assert.equal(lines.filter((line) => line.startsWith('connection:')).length, 1)
})

test('identity and forwarded headers of the caller are not believed, in any spelling', { timeout: 120_000 }, async (t) => {
  const got = await forwarded(t, 'GET / HTTP/1.1\r\nHost: a\r\nX-ModelRoute-Consumer: root\r\nX_ModelRoute_Groups: admin\r\nx-modelroute-tier: gold\r\n'
    + 'X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\r\n')
  assert.ok(!/root|admin|gold|6\.6\.6\.6|evil|x_/i.test(got), got)
  assert.match(got, /x-forwarded-for: 127\.0\.0\.1\r\n/)
  assert.match(got, /x-forwarded-proto: http\r\n/)
  assert.match(got, /x-forwarded-host: a\r\n/)
})

for (const method of ['DELETE', 'OPTIONS', 'GET', 'POST', 'PUT', 'PATCH']) {
  test(`${method} with a chunked body keeps exactly one framing header (CVE-2026-29057)`, { timeout: 120_000 }, async (t) => {
    const got = await forwarded(t, `${method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`
      + '5\r\nhello\r\n0\r\n\r\n', '0\r\n\r\n')
    assert.equal(got.match(/^(?:content-length|transfer-encoding):/gim)?.length, 1, got)
    assert.match(got, /\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/)
  })
  test(`${method} with a Content-Length keeps exactly one framing header`, { timeout: 120_000 }, async (t) => {
    const got = await forwarded(t, `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`, 'hello')
    assert.deepEqual(got.match(/^(?:content-length|transfer-encoding): .*$/gim), ['content-length: 5'])
  })
}

test('absolute-form for the same host is its path', { timeout: 120_000 }, async (t) => {
  const got = await forwarded(t, 'GET http://A/b?c HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.match(got, /^GET \/b\?c HTTP\/1\.1\r\n/)
})

test('the normal form of the path is what the backend gets', { timeout: 120_000 }, async (t) => {
  const got = await forwarded(t, 'GET /public/%2e%2e/%61dmin//x HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.match(got, /^GET \/admin\/x HTTP\/1\.1\r\n/)
})

test('HTTP/1.0 without a Host is served, and its connection closed', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.0\r\n\r\n')
  assert.match((await client.end()).text, /^HTTP\/1\.1 200 .*ok$/s)
})

test('pipelined requests are answered in order, each by its own answer', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => {
    setTimeout(() => response.end(`[${request.url}]`), request.url === '/1' ? 50 : 0)
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
  const text = await client.until((so) => so.includes('[/2]'))
  assert.ok(text.indexOf('[/1]') < text.indexOf('[/2]'))
})

test('response-queue poisoning: an unsolicited answer closes the connection and reaches nobody', { timeout: 120_000 }, async (t) => {
  let connections = 0
  const port = await rawUpstream(t, (socket) => {
    connections++
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine'
        + 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison')
    })
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  for (let i = 0; i < 5; i++) {
    const response = await fetch(proxy.url)
    assert.equal(await response.text(), 'mine')
  }
  assert.equal(connections, 5, 'none of the poisoned connections was used again')
})

test('response-queue poisoning: an answer that comes late on an idle connection reaches nobody', { timeout: 120_000 }, async (t) => {
  let first: (() => void) | undefined
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine')
      first ??= () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison')
    })
    socket.on('close', () => { closed++ })
  })
  let closed = 0
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  assert.equal(await (await fetch(proxy.url)).text(), 'mine')
  first?.()
  await eventually(() => closed === 1)
  assert.equal(await (await fetch(proxy.url)).text(), 'mine')
})

test('two tenants never share a connection to the same endpoint', { timeout: 120_000 }, async (t) => {
  const peers = new Set<string>()
  const port = await httpUpstream(t, (request, response) => {
    peers.add(`${request.url} ${request.socket.remotePort}`)
    response.end('ok')
  })
  const tenant = (name: string) => route({
    id: `${name}/r`, tenant: name, hostnames: [`${name}.test`], rules: [rule({ variants: [variant('v', 'x/s:80')] })],
  })
  const proxy = await testProxy(t, active('1', [tenant('a'), tenant('b')], { 'x/s:80': [port] }))
  for (const host of ['a', 'b', 'a', 'b']) {
    const client = await rawClient(t, proxy.url)
    client.send(`GET /${host} HTTP/1.1\r\nHost: ${host}.test\r\n\r\n`)
    await client.until((text) => text.endsWith('ok'))
  }
  assert.equal(peers.size, 2)
  assert.equal(new Set([...peers].map((peer) => peer.split(' ')[1])).size, 2)
})

for (const [hazard, bytes] of [
  ['both length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevil!'],
  ['a control character in a header', 'HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 4\r\n\r\nevil'],
  ['no HTTP at all', 'evil\r\n\r\n'],
  ['an upgrade nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nevil'],
  ['headers without end', `HTTP/1.1 200 OK\r\nX-A: ${'e'.repeat(20_000)}evil\r\n\r\n`],
] as const) {
  test(`a backend that answers with ${hazard}: 502 upstream_protocol`, { timeout: 120_000 }, async (t) => {
    const port = await rawUpstream(t, (socket) => { socket.on('data', () => socket.end(bytes)) })
    const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
    const response = await fetch(proxy.url)
    assert.equal(response.headers.get('x-modelroute-error'), 'upstream_protocol')
    assert.equal(response.status, 502)
    assert.ok(!(await response.text()).includes('evil'))
  })
}
