import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { test } from 'node:test'
import { testProxy } from './proxy.ts'
import { deadPort, eventually, httpUpstream, rawClient, rawUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

const one = (port: number) => active('1', [route()], { 'ml/s:80': [port] })

test('events go out as they come, and the headers before the first of them', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    request.on('data', () => response.write('data: next\n\n'))
    request.on('end', () => response.end())
  })
  const proxy = await testProxy(t, one(port))
  const client = await rawClient(t, proxy.url)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
  // Each event is asked for by a piece of the request, so one that is held back stops the test.
  await client.until((text) => text.includes('text/event-stream'))
  for (let n = 1; n <= 5; n++) {
    await client.until((text) => text.split('data: next').length > n)
    client.send('1\r\nx\r\n')
  }
  client.send('0\r\n\r\n')
  await client.until((text) => text.endsWith('0\r\n\r\n'))
})

test('headers that come long before the body are not held back', { timeout: 120_000 }, async (t) => {
  let socket: Socket | undefined
  const port = await rawUpstream(t, (upstream) => {
    upstream.on('data', () => {
      socket = upstream
      upstream.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n')
    })
  })
  const proxy = await testProxy(t, one(port))
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until((text) => text.includes('\r\n\r\n'))
  socket?.write('late')
  await client.until((text) => text.endsWith('late'))
})

const MiB = 1024 * 1024

/** Reads at a pace of its own, and tells how far it has come. */
async function readSlowly(stream: IncomingMessage, onRead: (total: number) => void): Promise<void> {
  let total = 0
  for await (const chunk of stream) {
    total += (chunk as Buffer).length
    onRead(total)
    if (total % (4 * MiB) < 65_536) await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
}

/** Writes as fast as it is let, and tells how far it has come. */
function writeAll(stream: Writable, size: number, onWrite: (total: number) => void): void {
  const piece = Buffer.alloc(65_536, 'x')
  let total = 0
  const more = () => {
    while (total < size) {
      total += piece.length
      onWrite(total)
      if (!stream.write(piece)) {
        stream.once('drain', more)
        return
      }
    }
    stream.end()
  }
  more()
}

test('64 MiB up through a slow backend and down to a slow client: every byte, and little of it on the way', { timeout: 200_000 }, async (t) => {
  const size = 64 * MiB
  const up = { sent: 0, got: 0, held: 0 }
  const down = { sent: 0, got: 0, held: 0 }
  const sent = (way: typeof up) => (total: number) => {
    way.sent = total
    way.held = Math.max(way.held, way.sent - way.got)
  }
  const got = (way: typeof up) => (total: number) => { way.got = total }
  const port = await httpUpstream(t, (request, response) => {
    void readSlowly(request, got(up)).then(() => writeAll(response, size, sent(down)))
  })
  const proxy = await testProxy(t, one(port))
  const client = httpRequest(proxy.url, { method: 'POST' })
  writeAll(client, size, sent(up))
  const [response] = await once(client, 'response') as [IncomingMessage]
  await readSlowly(response, got(down))
  assert.equal(up.got, size)
  assert.equal(down.got, size)
  // The sockets' own buffers, of two connections, are most of it.
  for (const { held } of [up, down]) assert.ok(held < 24 * MiB, `${Math.round(held / MiB)} MiB were on the way`)
})

test('a client that stops reading stops the backend', { timeout: 120_000 }, async (t) => {
  let written = 0
  let stuck = 0
  const port = await httpUpstream(t, (_request, response) => {
    const piece = Buffer.alloc(65_536)
    const more = () => {
      while (response.write(piece)) written += piece.length
      stuck = performance.now()
      response.once('drain', () => { stuck = 0; more() })
    }
    more()
  })
  const proxy = await testProxy(t, one(port))
  const client = await rawClient(t, proxy.url)
  client.socket.pause()
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => stuck > 0 && performance.now() - stuck > 200)
  assert.ok(written < 32 * MiB, `${written} bytes were taken for a client that reads none`)
})

test('connections to the backend are used again', { timeout: 120_000 }, async (t) => {
  const peers = new Set<number | undefined>()
  const port = await httpUpstream(t, (request, response) => { peers.add(request.socket.remotePort); response.end('ok') })
  const proxy = await testProxy(t, one(port))
  for (let i = 0; i < 20; i++) {
    await (await fetch(proxy.url, { method: i % 2 ? 'POST' : 'GET', ...(i % 2 ? { body: 'x' } : {}) })).text()
  }
  assert.equal(peers.size, 1)
})

for (const [what, reply, expected] of [
  ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', /content-length: 5\r\n/],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', /^HTTP\/1\.1 204 (?!.*content-length)/s],
  ['304', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n', /etag: "x"\r\n.*content-length: 5/s],
] as const) {
  test(`${what} has no body, and the next answer on the connection is its own`, { timeout: 120_000 }, async (t) => {
    const port = await rawUpstream(t, (socket) => {
      socket.on('data', (bytes) => socket.write(bytes.toString().includes('/next') ? 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext' : reply))
    })
    const proxy = await testProxy(t, one(port))
    const client = await rawClient(t, proxy.url)
    client.send(`${what === 'HEAD' ? 'HEAD' : 'GET'} / HTTP/1.1\r\nHost: a\r\n\r\n`)
    assert.match(await client.until((text) => text.includes('\r\n\r\n')), expected)
    client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n')
    const text = await client.until((so) => so.endsWith('next'))
    assert.equal(text.match(/HTTP\/1\.1 /g)?.length, 2)
  })
}

test('a 204 with a body is not passed on, and its connection not used again', { timeout: 120_000 }, async (t) => {
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'))
  })
  const proxy = await testProxy(t, one(port))
  for (let i = 0; i < 3; i++) {
    const response = await fetch(proxy.url)
    assert.equal(response.status, 204)
    assert.equal(await response.text(), '')
  }
})

test('trailers go on', { timeout: 120_000 }, async (t) => {
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n'
      + '2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Type: text/evil\r\nX-ModelRoute-Variant: other\r\n\r\n'))
  })
  const proxy = await testProxy(t, one(port))
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n')
  const text = await client.until((so) => so.endsWith('\r\n\r\n') && so.includes('\r\n0\r\n'))
  assert.match(text, /\r\n0\r\nx-sum: 7\r\n\r\n$/i)
})

test('interim answers stay on their hop', { timeout: 120_000 }, async (t) => {
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  })
  const proxy = await testProxy(t, one(port))
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.match(await client.until((text) => text.endsWith('ok')), /^HTTP\/1\.1 200 OK/)
})

test('Expect: 100-continue is answered once a backend is to have the body, not by a refusal', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => { request.pipe(response) })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ matches: [{ path: { type: 'Prefix', value: '/in' }, headers: [], query: [] }] })] })], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send('POST /in HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  await client.until((text) => text === 'HTTP/1.1 100 Continue\r\n\r\n')
  client.send('hello')
  await client.until((text) => text.includes('hello'))

  const other = await rawClient(t, proxy.url)
  other.send('POST /out HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
  const { text } = await other.end()
  assert.match(text, /^HTTP\/1\.1 404 /)
})

test('a backend that answers before it has the whole body: the answer arrives and the connection goes on', { timeout: 120_000 }, async (t) => {
  const port = await rawUpstream(t, (socket) => {
    socket.once('data', () => {
      socket.pause()
      setTimeout(() => socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'), 100)
    })
  })
  const proxy = await testProxy(t, one(port))
  const client = await rawClient(t, proxy.url)
  // More than the sockets on the way can hold, so that everything has come to a halt when the answer comes.
  const size = 64 * MiB
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size / 2)}`)
  await client.until((text) => text.startsWith('HTTP/1.1 403') && text.endsWith('no'))
  client.send('x'.repeat(size / 2))
  client.send('GET /after HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until((text) => text.split('HTTP/1.1 403').length === 3)
})

test('a client that leaves cancels the request to the backend, in every phase', { timeout: 120_000 }, async (t) => {
  const states = new Map<string, string>()
  const port = await httpUpstream(t, (request, response) => {
    const { url = '' } = request
    states.set(url, 'arrived')
    request.resume()
    response.once('close', () => states.set(url, response.writableFinished ? 'finished' : 'cancelled'))
    if (url === '/streaming') {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
    }
  })
  const proxy = await testProxy(t, one(port))
  for (const [path, bytes] of [
    ['/waiting', 'GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['/streaming', 'GET /streaming HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['/uploading', 'POST /uploading HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n'],
  ] as const) {
    const client = await rawClient(t, proxy.url)
    client.send(bytes)
    await eventually(() => states.get(path) === 'arrived')
    if (path === '/streaming') await client.until((text) => text.includes('data: 1'))
    client.socket.destroy()
    await eventually(() => states.get(path) === 'cancelled')
  }
  await eventually(() => proxy.lines().length === 3)
  for (const line of proxy.lines()) assert.deepEqual([line['status'], line['code']], [499, 'client_closed'])
})

const truncated: readonly [string, string][] = [
  ['Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'],
  ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ['chunked, within a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello'],
  ['chunked, before the last line', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n'],
  ['events', 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
]
for (const [what, bytes] of truncated) {
  for (const how of ['ends', 'resets'] as const) {
    test(`a backend that ${how} in the middle (${what}) breaks the client's answer, never ends it`, { timeout: 120_000 }, async (t) => {
      const port = await rawUpstream(t, (socket) => {
        socket.on('data', () => socket.write(bytes, () => {
          if (how === 'ends') socket.end()
          else setTimeout(() => socket.resetAndDestroy(), 20)
        }))
      })
      const proxy = await testProxy(t, one(port))
      const client = await rawClient(t, proxy.url)
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      const { text } = await client.end()
      assert.ok(!text.includes('\r\n0\r\n'), 'no clean end of chunks')
      if (what === 'Content-Length') assert.match(text, /content-length: 10\r\n/)
      await eventually(() => proxy.lines().length === 1)
      assert.match(String(proxy.lines()[0]?.['code']), /^upstream_(?:reset|protocol)$/)
    })
  }
}

test('a reset of an answer that would end with its connection is a break, not the end', { timeout: 120_000 }, async (t) => {
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello', () => { setTimeout(() => socket.resetAndDestroy(), 20) }))
  })
  const proxy = await testProxy(t, one(port))
  await assert.rejects(async () => (await fetch(proxy.url)).text())
})

test('a backend that dies before it answers: 502 upstream_reset, and the request is not sent twice', { timeout: 120_000 }, async (t) => {
  let requests = 0
  const port = await rawUpstream(t, (socket) => { socket.on('data', () => { requests++; socket.destroy() }) })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port, port] }))
  const response = await fetch(proxy.url, { method: 'POST', body: 'x' })
  assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [502, 'upstream_reset'])
  assert.equal(requests, 1)
})

for (const [what, body] of [['no', undefined], ['a small', 'x'], ['a large', 'x'.repeat(300_000)]] as const) {
  test(`an endpoint that refuses the connection: another one is tried, with ${what} body`, { timeout: 120_000 }, async (t) => {
    const port = await httpUpstream(t, (request, response) => {
      let size = 0
      request.on('data', (chunk: Buffer) => { size += chunk.length })
      request.on('end', () => response.end(String(size)))
    })
    const dead = await deadPort()
    const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [dead, port] }))
    for (let i = 0; i < 4; i++) {
      const response = await fetch(proxy.url, { method: 'POST', ...(body ? { body } : {}) })
      assert.deepEqual([response.status, await response.text()], [200, String(body?.length ?? 0)])
    }
    await eventually(() => proxy.lines().length === 4)
    for (const line of proxy.lines()) assert.equal(line['bytes_in'], body?.length ?? 0)
  })
}

test('no endpoint accepts: 502 upstream_connect_failed, after one other was tried', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [await deadPort(), await deadPort(), await deadPort()] }))
  const response = await fetch(proxy.url, { method: 'POST', body: 'x'.repeat(100_000) })
  assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [502, 'upstream_connect_failed'])
})

test('more requests than an endpoint may have waiting: 503 overloaded', { timeout: 120_000 }, async (t) => {
  const waiting: (() => void)[] = []
  const port = await httpUpstream(t, (_request, response) => { waiting.push(() => response.end('ok')) })
  const proxy = await testProxy(t, one(port), { limits: { connections: 2, pending: 2 } })
  const answers = Array.from({ length: 5 }, () => fetch(proxy.url))
  const first = await Promise.race(answers)
  assert.deepEqual([first.status, first.headers.get('x-modelroute-error')], [503, 'overloaded'])
  for (let done = 0; done < 4; done++) {
    await eventually(() => waiting.length > 0)
    waiting.shift()?.()
  }
  const statuses = (await Promise.all(answers)).map(({ status }) => String(status)).sort()
  assert.deepEqual(statuses, ['200', '200', '200', '200', '503'])
})

test('the gateway says who served it, whatever the backend claims', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => {
    response.writeHead(200, { 'X-Request-Id': 'theirs', 'X-ModelRoute-Variant': 'theirs', 'X-ModelRoute-Error': 'no_route', Connection: 'x-hop', 'X-Hop': '1' })
    response.end('ok')
  })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('canary', 'ml/s:80', { model: { name: 'm', version: '3' } })] })] })], { 'ml/s:80': [port] }))
  const { headers } = await fetch(`${proxy.url}/v2/models/x/infer`, { headers: { 'x-request-id': 'mine-1' } })
  assert.equal(headers.get('x-request-id'), 'mine-1')
  assert.equal(headers.get('x-modelroute-variant'), 'canary')
  assert.equal(headers.get('x-modelroute-model-version'), '3')
  assert.equal(headers.get('x-modelroute-error'), null)
  assert.equal(headers.get('x-hop'), null)
  const made = (await fetch(proxy.url, { headers: { 'x-request-id': 'a"b {}' } })).headers.get('x-request-id')
  assert.match(String(made), /^[0-9a-f-]{36}$/)
})
