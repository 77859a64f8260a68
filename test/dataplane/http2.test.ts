import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { testProxy, type TestProxy } from './proxy.ts'
import { eventually, httpUpstream, rawUpstream } from './sockets.ts'
import { active, route } from './table.ts'

const limit = { timeout: 120_000 }

async function front(t: TestContext, port: number): Promise<TestProxy> {
  return testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
}

async function session(t: TestContext, url: string): Promise<ClientHttp2Session> {
  const client = connect(url)
  client.on('error', () => {})
  t.after(() => client.destroy())
  await once(client, 'connect')
  return client
}

type Answer = { status: number; headers: Record<string, unknown>; body: Buffer; trailers: Record<string, unknown>; ended: boolean; code: number }

/** Everything that comes of a stream; `ended`: by END_STREAM, which only a whole answer may be. */
async function answer(stream: ClientHttp2Stream): Promise<Answer> {
  const so: Answer = { status: 0, headers: {}, body: Buffer.alloc(0), trailers: {}, ended: false, code: 0 }
  const chunks: Buffer[] = []
  stream.on('response', (headers) => { so.status = headers[':status'] ?? 0; so.headers = { ...headers } })
  stream.on('trailers', (trailers) => { so.trailers = { ...trailers } })
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('end', () => { so.ended = true })
  stream.on('error', () => {})
  await once(stream, 'close').catch(() => {})
  so.body = Buffer.concat(chunks)
  so.code = stream.rstCode ?? 0
  return so
}

function ask(client: ClientHttp2Session, headers: OutgoingHttpHeaders = {}, body?: string): Promise<Answer> {
  const stream = client.request({ ':path': '/', ...headers }, { endStream: body === undefined })
  const answered = answer(stream)
  if (body !== undefined) stream.end(body)
  return answered
}

test('HTTP/2 with prior knowledge and HTTP/1.1 are served on one port', limit, async (t) => {
  const seen: [string | undefined, string | undefined, string | undefined][] = []
  const port = await httpUpstream(t, (request, response) => {
    seen.push([request.headers.host, request.headers.cookie, request.headers['transfer-encoding']])
    response.writeHead(201, { 'set-cookie': ['a=1', 'b=2'], 'x-from': 'here' })
    request.pipe(response)
  })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  const got = await ask(client, { ':method': 'POST', ':authority': 'models.example', cookie: ['x=1', 'y=2'] }, 'hello')
  assert.deepEqual([got.status, got.body.toString(), got.ended, got.headers['x-from']], [201, 'hello', true, 'here'])
  assert.deepEqual(got.headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(got.headers['connection'], undefined)
  assert.deepEqual(seen, [['models.example', 'x=1; y=2', 'chunked']])
  const plain = await fetch(proxy.url, { method: 'POST', body: 'one' })
  assert.deepEqual([plain.status, await plain.text()], [201, 'one'])
  await eventually(() => proxy.lines().length === 2)
  assert.deepEqual(proxy.lines().map((line) => [line['status'], line['code']]), [[201, undefined], [201, undefined]])
})

test('a preface in pieces is still one, and so is a method in pieces', limit, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.end('ok') })
  const proxy = await front(t, port)
  const { hostname, port: at } = new URL(proxy.url)
  const raw = (): Promise<Socket> => new Promise((resolve) => {
    const socket = connectTcp(Number(at), hostname, () => resolve(socket)).setNoDelay(true)
    t.after(() => socket.destroy())
  })
  const pause = () => new Promise((resolve) => { setTimeout(resolve, 5) })
  const two = await raw()
  let bytes = Buffer.alloc(0)
  two.on('data', (chunk: Buffer) => { bytes = Buffer.concat([bytes, chunk]) })
  const start = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])])
  for (let i = 0; i < start.length; i += 5) {
    two.write(start.subarray(i, i + 5))
    await pause()
  }
  // The type of the first frame: SETTINGS.
  await eventually(() => bytes.length >= 9)
  assert.equal(bytes[3], 4)
  const one = await raw()
  let text = ''
  one.on('data', (chunk: Buffer) => { text += chunk.toString() })
  for (const piece of ['P', 'UT / HTTP/1.1\r\nHo', 'st: a\r\nContent-Length: 0\r\n\r\n']) {
    one.write(piece)
    await pause()
  }
  await eventually(() => text.endsWith('ok'))
})

const refused: readonly [hazard: string, headers: OutgoingHttpHeaders, status: number][] = [
  ['a Host that is not the authority', { ':authority': 'a', host: 'b' }, 400],
  ['a scheme that is not served', { ':scheme': 'ftp', ':authority': 'a' }, 400],
  ['asterisk-form', { ':method': 'OPTIONS', ':path': '*' }, 400],
  ['a dot segment behind an escaped slash', { ':path': '/a%2f..%2fadmin' }, 400],
  ['a fragment in the path', { ':path': '/a#b' }, 400],
  ['content_length', { content_length: '5' }, 400],
  ['101 headers', Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`x-${n}`, 'y'])), 431],
]

for (const [hazard, headers, status] of refused) {
  test(`refused over HTTP/2 with ${status}, and never forwarded: ${hazard}`, limit, async (t) => {
    let forwarded = 0
    const port = await httpUpstream(t, (_request, response) => { forwarded++; response.end() })
    const proxy = await front(t, port)
    const client = await session(t, proxy.url)
    const got = await ask(client, headers)
    assert.equal(got.status, status)
    assert.ok(got.ended)
    assert.equal((await ask(client, { ':path': '/fine' })).status, 200, 'the connection goes on')
    assert.equal(forwarded, 1)
  })
}

/** Written by hand, since no client library would send them. Literals without indexing (RFC 7541 section 6.2.2). */
const literal = (name: string, value: string) =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])
const get = [[':method', 'GET'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']] as const
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
const opening = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0))])
const headersFrame = (fields: readonly (readonly [string, string])[], stream = 1, flags = 5) =>
  frame(1, flags, stream, Buffer.concat(fields.map(([name, value]) => literal(name, value))))

/** Types of frames and what they carry, as they come. */
async function wire(t: TestContext, url: string) {
  const socket = connectTcp(Number(new URL(url).port), '127.0.0.1')
  let bytes = Buffer.alloc(0)
  const frames: { type: number; flags: number; stream: number; payload: Buffer }[] = []
  let closed = false
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const length = bytes.readUIntBE(0, 3)
      frames.push({ type: bytes[3] ?? 0, flags: bytes[4] ?? 0, stream: bytes.readUInt32BE(5), payload: bytes.subarray(9, 9 + length) })
      bytes = bytes.subarray(9 + length)
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => { closed = true })
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  socket.write(opening)
  return { socket, frames, closed: () => closed }
}

for (const [hazard, fields] of [
  ['Connection', [...get, ['connection', 'close']]],
  ['Keep-Alive', [...get, ['keep-alive', 'x']]],
  ['Proxy-Connection', [...get, ['proxy-connection', 'x']]],
  ['Transfer-Encoding', [...get, ['transfer-encoding', 'chunked']]],
  ['Upgrade', [...get, ['upgrade', 'websocket']]],
  ['TE other than trailers', [...get, ['te', 'gzip']]],
  ['an upper-case name', [...get, ['X-Upper', 'y']]],
  ['an authority with a path', [...get.slice(0, 3), [':authority', 'a/b']]],
  ['an authority with user info', [...get.slice(0, 3), [':authority', 'u@a']]],
  ['a line break in the path', [[':method', 'GET'], [':scheme', 'http'], [':path', '/ HTTP/1.1\r\nx: y'], [':authority', 'a']]],
  ['a space in the method', [[':method', 'GET /x'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']]],
  ['two paths', [...get, [':path', '/b']]],
  ['a pseudo-header after the headers', [[':method', 'GET'], [':scheme', 'http'], ['x', 'y'], [':path', '/'], [':authority', 'a']]],
  ['a pseudo-header that is none', [...get.slice(0, 3), [':x', 'y'], [':authority', 'a']]],
  ['no path', [[':method', 'GET'], [':scheme', 'http'], [':authority', 'a']]],
  ['no authority and no Host', [[':method', 'GET'], [':scheme', 'http'], [':path', '/']]],
  ['two Hosts', [[':method', 'GET'], [':scheme', 'http'], [':path', '/'], ['host', 'a'], ['host', 'a']]],
  ['a Content-Length with no body', [...get, ['content-length', '5']]],
  ['two Content-Lengths', [...get, ['content-length', '0'], ['content-length', '0']]],
  ['a Content-Length that is no number', [...get, ['content-length', '+1']]],
  ['CONNECT', [[':method', 'CONNECT'], [':authority', 'a:80']]],
] as [string, [string, string][]][]) {
  test(`refused over HTTP/2, and never forwarded: ${hazard}`, limit, async (t) => {
    let forwarded = 0
    const port = await httpUpstream(t, (_request, response) => { forwarded++; response.end() })
    const proxy = await front(t, port)
    const { socket, frames, closed } = await wire(t, proxy.url)
    socket.write(headersFrame(fields))
    // Answered with an error, its stream reset, or the connection ended: but something says no.
    const no = () => closed() || frames.some(({ type, stream }) => type === 7 || (stream === 1 && (type === 3 || type === 1)))
    await eventually(no)
    const head = frames.find(({ type, stream }) => type === 1 && stream === 1)
    // :status 400 in HPACK's static table; 405 and others are literals.
    if (head) assert.ok(head.payload[0] === 0x8c || head.payload.includes('405') || head.payload[0] !== 0x88, hazard)
    assert.equal(forwarded, 0)
  })
}

test('more or less body than its Content-Length never looks like a whole request to the backend', limit, async (t) => {
  const ends: boolean[] = []
  const port = await rawUpstream(t, (socket) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => { text += chunk.toString() })
    socket.on('close', () => ends.push(text.includes('\r\n0\r\n\r\n') || text.includes('abc')))
  })
  const proxy = await front(t, port)
  const { socket, frames, closed } = await wire(t, proxy.url)
  const post = [[':method', 'POST'], [':scheme', 'http'], [':path', '/'], [':authority', 'a'], ['content-length', '2']] as const
  socket.write(Buffer.concat([headersFrame(post, 1, 4), frame(0, 1, 1, Buffer.from('abc'))]))
  await eventually(() => closed() || frames.some(({ type, stream }) => type === 3 && stream === 1))
  assert.ok(!ends.includes(true))
})

test('a client that resets its upload in the middle never leaves a whole request behind', limit, async (t) => {
  for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL]) {
    let text = ''
    let gone = false
    const port = await rawUpstream(t, (socket) => {
      socket.on('data', (chunk: Buffer) => { text += chunk.toString() })
      socket.on('close', () => { gone = true })
    })
    const proxy = await front(t, port)
    const { socket } = await wire(t, proxy.url)
    const post = [[':method', 'POST'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']] as const
    socket.write(Buffer.concat([headersFrame(post, 1, 4), frame(0, 0, 1, Buffer.from('half'))]))
    await eventually(() => text.includes('half'))
    socket.write(frame(3, 0, 1, Buffer.from([0, 0, 0, code])))
    await eventually(() => gone)
    assert.ok(!text.includes('\r\n0\r\n\r\n'), `the upload was ended after a reset with ${code}`)
    await eventually(() => proxy.lines().length === 1)
    assert.equal(proxy.lines()[0]?.['code'], 'client_closed')
  }
})

test('a client that leaves cancels the upstream, and the other streams go on', limit, async (t) => {
  let cancelled = false
  const port = await httpUpstream(t, (request, response) => {
    if (request.url === '/other') {
      response.end('ok')
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    response.on('close', () => { cancelled = true })
  })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  const stream = client.request({ ':path': '/' })
  const [first] = await once(stream, 'data') as [Buffer]
  assert.equal(first.toString(), 'data: 1\n\n')
  stream.close(constants.NGHTTP2_CANCEL)
  await eventually(() => cancelled)
  assert.equal((await ask(client, { ':path': '/other' })).body.toString(), 'ok')
})

test('an upstream that dies in the middle resets the stream, never ends it, and the connection goes on', limit, async (t) => {
  const heads = ['Content-Length: 100\r\n', 'Transfer-Encoding: chunked\r\n', 'Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n']
  for (const head of heads) {
    const port = await rawUpstream(t, (socket) => {
      socket.once('data', (chunk: Buffer) => {
        if (chunk.toString().startsWith('GET /fine')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        else socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n5\r\nhello\r\n`, () => setTimeout(() => socket.destroy(), 20))
      })
    })
    const proxy = await front(t, port)
    const { socket, frames } = await wire(t, proxy.url)
    socket.write(headersFrame(get))
    await eventually(() => frames.some(({ type, stream }) => type === 3 && stream === 1))
    const reset = frames.find(({ type, stream }) => type === 3 && stream === 1)
    assert.equal(reset?.payload.readUInt32BE(0), constants.NGHTTP2_INTERNAL_ERROR)
    assert.ok(frames.some(({ type, stream }) => type === 0 && stream === 1), 'what came was sent on')
    assert.ok(!frames.some(({ type, flags, stream }) => stream === 1 && type <= 1 && (flags & 1) === 1), 'END_STREAM')
    socket.write(headersFrame([[':method', 'GET'], [':scheme', 'http'], [':path', '/fine'], [':authority', 'a']], 3))
    await eventually(() => frames.some(({ flags, stream }) => stream === 3 && (flags & 1) === 1))
  }
})

test('trailers reach the client', limit, async (t) => {
  const port = await rawUpstream(t, (socket) => {
    socket.once('data', () => socket.end(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 5\r\n\r\n'))
  })
  const proxy = await front(t, port)
  const got = await ask(await session(t, proxy.url))
  assert.deepEqual([got.body.toString(), got.trailers['grpc-status'], got.ended], ['ok', '5', true])
})

test('HEAD, 204, 304 and an empty body each end with their head or an empty body', limit, async (t) => {
  const port = await httpUpstream(t, (request, response) => {
    const status = Number(request.url?.slice(1))
    response.writeHead(status, status === 200 ? { 'content-length': 5 } : {})
    response.end(status === 200 ? 'hello' : undefined)
  })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  for (const [method, status, length] of [['HEAD', 200, '5'], ['GET', 204, undefined], ['GET', 304, undefined]] as const) {
    const got = await ask(client, { ':method': method, ':path': `/${status}` })
    assert.deepEqual([got.status, got.body.length, got.ended, got.headers['content-length']], [status, 0, true, length])
  }
})

test('an expected 100 is given, and events are not held back', limit, async (t) => {
  const port = await httpUpstream(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    request.on('data', (chunk: Buffer) => response.write(chunk))
    request.on('end', () => response.end())
  })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  const stream = client.request({ ':method': 'POST', ':path': '/', expect: '100-continue' }, { endStream: false })
  await once(stream, 'continue')
  for (let n = 0; n < 5; n++) {
    stream.write(`data: ${n}\n\n`)
    const [chunk] = await once(stream, 'data') as [Buffer]
    assert.equal(chunk.toString(), `data: ${n}\n\n`, 'each event comes before the next is sent')
  }
  stream.end()
  await once(stream, 'close')
})

test('an early answer to an upload ends the stream, and the connection goes on', limit, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.writeHead(403); response.end('no') })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  const stream = client.request({ ':method': 'POST', ':path': '/' }, { endStream: false })
  stream.write('never ends')
  const got = await answer(stream)
  assert.deepEqual([got.status, got.body.toString(), got.code], [403, 'no', constants.NGHTTP2_NO_ERROR])
  assert.equal((await ask(client)).status, 403)
})

test('a slow reader holds its own stream back and no other; little of it is held here', limit, async (t) => {
  const total = 64 * 1024 * 1024
  let written = 0
  const port = await httpUpstream(t, (request, response) => {
    if (request.url === '/other') {
      response.end('ok')
      return
    }
    const chunk = Buffer.alloc(65_536)
    const fill = () => {
      while (written < total) {
        written += chunk.length
        if (!response.write(chunk)) {
          response.once('drain', fill)
          return
        }
      }
      response.end()
    }
    fill()
  })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  const slow = client.request({ ':path': '/' })
  slow.pause()
  await once(slow, 'response')
  let before = -1
  await eventually(() => {
    const still = before === written && written > 0
    before = written
    return still
  })
  assert.equal((await ask(client, { ':path': '/other' })).body.toString(), 'ok')
  assert.ok(written < 16 * 1024 * 1024, `${written} bytes were taken from the backend`)
  let got = 0
  slow.on('data', (chunk: Buffer) => { got += chunk.length })
  slow.resume()
  await once(slow, 'end')
  assert.equal(got, total)
})

test('1,000 streams on one connection are all served', { timeout: 200_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => { request.pipe(response) })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  const all = await Promise.all(Array.from({ length: 1000 }, (_, n) => ask(client, { ':method': 'POST' }, `body ${n}`)))
  for (const [n, got] of all.entries()) assert.deepEqual([got.status, got.body.toString()], [200, `body ${n}`])
})

test('rapid resets end the connection (CVE-2023-44487)', limit, async (t) => {
  let forwarded = 0
  const port = await httpUpstream(t, () => { forwarded++ })
  const proxy = await front(t, port)
  const { socket, frames, closed } = await wire(t, proxy.url)
  const cancel = Buffer.from([0, 0, 0, 8])
  for (let n = 0; n < 5000 && !closed(); n++) {
    socket.write(Buffer.concat([headersFrame(get, n * 2 + 1), frame(3, 0, n * 2 + 1, cancel)]))
  }
  await eventually(() => closed() || frames.some(({ type }) => type === 7))
  assert.ok(forwarded <= 2000, `${forwarded} requests reached the backend`)
})

test('drain: what comes in the delay is served, then GOAWAY, streams finish, new connections are refused', limit, async (t) => {
  let finish: (() => void) | undefined
  const port = await httpUpstream(t, (request, response) => {
    if (request.url !== '/stream') {
      response.end('ok')
      return
    }
    response.write('first')
    finish = () => response.end('last')
  })
  const proxy = await front(t, port)
  const client = await session(t, proxy.url)
  const stream = client.request({ ':path': '/stream' })
  const whole = answer(stream)
  await once(stream, 'data')
  const { socket, frames } = await wire(t, proxy.url)
  socket.write(headersFrame(get, 1))
  await eventually(() => frames.some(({ stream: id }) => id === 1))
  const drained = proxy.drain({ delay: 100, timeout: 60_000 })
  // Still taken: the cluster may not know yet.
  socket.write(headersFrame(get, 3))
  await eventually(() => frames.some(({ stream: id, flags }) => id === 3 && (flags & 1) === 1))
  await eventually(() => frames.some(({ type }) => type === 7))
  const last = frames.find(({ type }) => type === 7)
  assert.deepEqual([last?.payload.readUInt32BE(0), last?.payload.readUInt32BE(4)], [3, constants.NGHTTP2_NO_ERROR])
  await eventually(() => finish !== undefined)
  finish?.()
  const got = await whole
  assert.deepEqual([got.body.toString(), got.ended], ['firstlast', true])
  assert.equal(await drained, true)
  await assert.rejects(fetch(proxy.url))
})

test('drain: a stream that is not done by the deadline is reset, and never ended', limit, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.write('never ends') })
  const proxy = await front(t, port)
  const { socket, frames, closed } = await wire(t, proxy.url)
  socket.write(headersFrame(get))
  await eventually(() => frames.some(({ type }) => type === 0))
  assert.equal(await proxy.drain({ delay: 0, timeout: 200 }), false)
  await eventually(closed)
  assert.ok(!frames.some(({ type, flags, stream }) => stream === 1 && type <= 1 && (flags & 1) === 1), 'END_STREAM')
})
