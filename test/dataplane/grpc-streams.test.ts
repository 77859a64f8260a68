import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  connect, createServer, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream,
} from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { test, type TestContext } from 'node:test'
import { testProxy, type TestProxy } from './proxy.ts'
import { eventually, rawUpstream } from './sockets.ts'
import { active, route } from './table.ts'

/** gRPC as its libraries speak it: HTTP/2 at both ends. */

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void
type Backend = Readonly<{ port: number; sessions: readonly ServerHttp2Session[] }>

async function backend(t: TestContext, serve: Serve): Promise<Backend> {
  const server = createServer({ settings: { maxConcurrentStreams: 1000 } })
  const sessions: ServerHttp2Session[] = []
  server.on('session', (session) => { sessions.push(session); session.on('error', () => {}) })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    serve(stream, headers)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  const address = server.address()
  return { port: typeof address === 'object' && address ? address.port : 0, sessions }
}

const answering = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
}
const echo: Serve = (stream) => {
  answering(stream)
  stream.on('data', (chunk: Buffer) => stream.write(chunk)).on('end', () => stream.end())
}

type Call = Readonly<{ stream: ClientHttp2Stream; text: () => string; status: () => string | undefined; ended: Promise<string | undefined> }>

/** One call of a client; `ended` resolves to its gRPC status, undefined where it was broken off. */
function call(session: ClientHttp2Session, headers: Record<string, string> = {}): Call {
  const stream = session.request(
    { ':method': 'POST', ':path': '/a.B/C', 'content-type': 'application/grpc', 'te': 'trailers', ...headers }, { endStream: false })
  let [text, status] = ['', undefined as string | undefined]
  stream.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
  stream.on('response', (head) => { status = head['grpc-status'] as string | undefined })
  stream.on('trailers', (trailers) => { status = trailers['grpc-status'] as string | undefined })
  stream.on('error', () => {})
  const ended = new Promise<string | undefined>((resolve) => { stream.on('close', () => resolve(status)) })
  return { stream, text: () => text, status: () => status, ended }
}

function client(t: TestContext, proxy: TestProxy): ClientHttp2Session {
  const session = connect(proxy.url)
  session.on('error', () => {})
  t.after(() => session.destroy())
  return session
}

test('300 streams both ways at once on one connection are spread over as many as the backend needs', { timeout: 120_000 }, async (t) => {
  const { port, sessions } = await backend(t, echo)
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const session = client(t, proxy)
  const calls = Array.from({ length: 300 }, () => call(session))
  // All of them are open before any is ended.
  for (const { stream } of calls) stream.write('one')
  await eventually(() => calls.every(({ text }) => text() === 'one'))
  assert.equal(sessions.length, 3)
  for (const { stream } of calls) stream.end('two')
  assert.deepEqual(new Set(await Promise.all(calls.map(({ ended }) => ended))), new Set(['0']))
  assert.ok(calls.every(({ text }) => text() === 'onetwo'))
})

test('a GOAWAY in the middle of a stream lets it go on to its end, and the next call takes another connection', { timeout: 120_000 }, async (t) => {
  const { port, sessions } = await backend(t, echo)
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const session = client(t, proxy)
  const long = call(session)
  long.stream.write('before')
  await eventually(() => long.text() === 'before')
  sessions[0]?.goaway(0, 1)
  for (let n = 1; sessions.length === 1; n++) {
    const next = call(session)
    next.stream.end('x')
    assert.equal(await next.ended, '0', `call ${n}`)
  }
  long.stream.end(' after')
  assert.equal(await long.ended, '0')
  assert.equal(long.text(), 'before after')
})

test('each call is balanced by itself, however few the connections of the client', { timeout: 120_000 }, async (t) => {
  const counts = [0, 0, 0]
  const backends = await Promise.all(counts.map((_, n) => backend(t, (stream, headers) => {
    counts[n] = (counts[n] ?? 0) + 1
    echo(stream, headers)
  })))
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': backends.map(({ port }) => port) }))
  const session = client(t, proxy)
  for (let n = 0; n < 30; n++) {
    const one = call(session)
    one.stream.end('x')
    assert.equal(await one.ended, '0')
  }
  assert.deepEqual(counts, [10, 10, 10])
})

for (const value of ['', 'x', '5', '5s', '-1S', '1.5S', '123456789m', '5 S', 'S', '1e3m']) {
  test(`a grpc-timeout that cannot be read is no limit, and left to the backend: ${JSON.stringify(value)}`, { timeout: 120_000 }, async (t) => {
    let seen: string | undefined
    const { port } = await backend(t, (stream, headers) => {
      seen = headers['grpc-timeout'] as string | undefined
      echo(stream, headers)
    })
    const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
    const one = call(client(t, proxy), { 'grpc-timeout': value })
    one.stream.end('x')
    assert.equal(await one.ended, '0')
    assert.equal(seen, value)
  })
}

test('a deadline of nothing is DEADLINE_EXCEEDED at once; one beyond what a timer holds is none', { timeout: 120_000 }, async (t) => {
  const { port } = await backend(t, (stream, headers) => {
    if (headers['grpc-timeout'] === '0u') stream.resume()
    else echo(stream, headers)
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const session = client(t, proxy)
  const none = call(session, { 'grpc-timeout': '0n' })
  none.stream.end('x')
  assert.equal(await none.ended, '4')
  const long = call(session, { 'grpc-timeout': '99999999H' })
  long.stream.end('x')
  assert.equal(await long.ended, '0')
})

test('the status of a call stands in the log, whether the backend gave it or the gateway', { timeout: 120_000 }, async (t) => {
  const { port } = await backend(t, (stream, headers) => {
    if (headers['x-want'] === undefined) echo(stream, headers)
    else stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(headers['x-want']) }, { endStream: true })
  })
  const proxy = await testProxy(t, active('1', [route({ hostnames: ['a'] })], { 'ml/s:80': [port] }))
  const session = client(t, proxy)
  for (const headers of [{ ':authority': 'a' }, { ':authority': 'a', 'x-want': '5' }, { ':authority': 'b' }] as Record<string, string>[]) {
    const one = call(session, headers)
    one.stream.end('x')
    await one.ended
  }
  await eventually(() => proxy.lines().length === 3)
  assert.deepEqual(proxy.lines().map((line) => line['grpc_status']), [0, 5, 12])
})

const quick = { after: 200, within: 100, again: 60_000 }
const limits = { connections: 256, pending: 1024, silence: quick }

test('a backend that falls silent with calls on its connection is noticed, and its calls are UNAVAILABLE', { timeout: 120_000 }, async (t) => {
  let begun = false
  const { port } = await backend(t, (stream) => {
    stream.resume()
    begun = true
  })
  // As a cable that was pulled: neither end hears that the other is gone.
  const cut: (() => void)[] = []
  const relay = await rawUpstream(t, (near) => {
    const far = connectTcp(port, '127.0.0.1')
    far.on('error', () => {})
    near.pipe(far).pipe(near)
    cut.push(() => { near.unpipe(far).resume(); far.unpipe(near).resume() })
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [relay] }), { limits })
  const one = call(client(t, proxy))
  one.stream.write('x')
  await eventually(() => begun)
  for (const pull of cut) pull()
  assert.equal(await one.ended, '14')
})

test('a backend that takes its time and answers questions is left alone', { timeout: 120_000 }, async (t) => {
  let pings = 0
  const { port, sessions } = await backend(t, (stream) => {
    stream.session?.on('ping', () => { pings++ })
    stream.resume()
    setTimeout(() => { answering(stream); stream.end('late') }, 1200)
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }), { limits })
  const one = call(client(t, proxy))
  one.stream.end('x')
  assert.equal(await one.ended, '0')
  assert.equal(one.text(), 'late')
  assert.deepEqual([sessions.length, pings], [1, 1], 'asked once, as servers of gRPC will have it')
})

test('a connection without a call is closed after a while, one with a call is not, and the next call has another', { timeout: 120_000 }, async (t) => {
  const { port, sessions } = await backend(t, echo)
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }), { limits: { connections: 256, pending: 1024, idle: 100 } })
  const session = client(t, proxy)
  const long = call(session)
  long.stream.write('a')
  await eventually(() => long.text() === 'a')
  const began = performance.now()
  await eventually(() => performance.now() - began > 300)
  assert.equal(sessions[0]?.closed, false)
  long.stream.end('b')
  assert.equal(await long.ended, '0')
  await eventually(() => sessions[0]?.destroyed === true)
  const next = call(session)
  next.stream.end('c')
  assert.equal(await next.ended, '0')
  assert.equal(sessions.length, 2)
})

test('an endpoint that is removed gets no new call, and its connection closes when the last one is over', { timeout: 120_000 }, async (t) => {
  const [old, fresh] = [await backend(t, echo), await backend(t, echo)]
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [old.port] }))
  const session = client(t, proxy)
  const long = call(session)
  long.stream.write('a')
  await eventually(() => long.text() === 'a')
  proxy.activate(active('2', [route()], { 'ml/s:80': [fresh.port] }))
  const next = call(session)
  next.stream.end('x')
  assert.equal(await next.ended, '0')
  assert.deepEqual([old.sessions.length, fresh.sessions.length, old.sessions[0]?.closed], [1, 1, false])
  long.stream.end('b')
  assert.equal(await long.ended, '0')
  assert.equal(long.text(), 'ab')
  await eventually(() => old.sessions[0]?.destroyed === true)
})
