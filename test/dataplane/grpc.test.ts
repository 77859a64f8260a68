import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { createServer, type Http2Server, type ServerHttp2Stream, type IncomingHttpHeaders } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { testProxy } from './proxy.ts'
import { active, route, rule } from './table.ts'

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, session: number) => void

async function backend(t: TestContext, serve: Serve): Promise<{ port: number; server: Http2Server; sessions: () => number }> {
  const server = createServer()
  const sessions: object[] = []
  server.on('session', (session) => { sessions.push(session); session.on('error', () => {}); t.after(() => session.destroy()) })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    serve(stream, headers, sessions.indexOf(stream.session ?? {}))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const address = server.address()
  return { port: typeof address === 'object' ? address?.port ?? 0 : 0, server, sessions: () => sessions.length }
}

/** The door's own version of HTTP does not matter here: what a gRPC call is, its content type says. */
function call(url: string, headers: Record<string, string> = {}, body = 'frame') {
  const sent = httpRequest(`${url}/inference.GRPCInferenceService/ModelInfer`, {
    method: 'POST', headers: { 'content-type': 'application/grpc', 'te': 'trailers', 'transfer-encoding': 'chunked', ...headers },
  })
  sent.end(body)
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string; trailers: Record<string, unknown>; broken: boolean }>((resolve, reject) => {
    sent.on('error', reject)
    sent.on('response', (response) => {
      let text = ''
      response.on('data', (chunk) => { text += String(chunk) })
      response.on('error', () => {})
      response.on('close', () => resolve({
        status: response.statusCode ?? 0, headers: response.headers, body: text, trailers: response.trailers, broken: !response.complete,
      }))
    })
  })
}

const ok = (stream: ServerHttp2Stream, body: string): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'fine' }))
  stream.end(body)
}

test('a unary call goes over HTTP/2 and its trailers come back', async (t) => {
  let seen: IncomingHttpHeaders = {}
  const { port } = await backend(t, (stream, headers) => {
    seen = headers
    let body = ''
    stream.on('data', (chunk) => { body += String(chunk) })
    stream.on('end', () => ok(stream, `echo ${body}`))
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const answer = await call(proxy.url, { 'grpc-timeout': '5S' })
  assert.equal(answer.body, 'echo frame')
  assert.equal(answer.trailers['grpc-status'], '0')
  assert.equal(answer.trailers['grpc-message'], 'fine')
  assert.deepEqual([seen.te, seen[':path'], seen[':method']], ['trailers', '/inference.GRPCInferenceService/ModelInfer', 'POST'])
  const left = /^(\d+)u$/.exec(String(seen['grpc-timeout']))?.[1]
  assert.ok(Number(left) > 4_000_000 && Number(left) < 5_000_000, String(seen['grpc-timeout']))
})

test('an answer that is all head stays one', async (t) => {
  const { port } = await backend(t, (stream) => {
    stream.resume()
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'no%20model' }, { endStream: true })
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const answer = await call(proxy.url)
  assert.deepEqual([answer.headers['grpc-status'], answer.headers['grpc-message'], answer.body], ['5', 'no%20model', ''])
})

for (const [name, cut] of [
  ['its connection', (stream: ServerHttp2Stream) => stream.session?.destroy()],
  ['its stream', (stream: ServerHttp2Stream) => stream.close(8)],
] as const) {
  test(`a backend that cuts ${name} in the middle never looks like an end`, async (t) => {
    const { port } = await backend(t, (stream) => {
      stream.resume()
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.write('half', () => setImmediate(() => cut(stream)))
    })
    const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
    const answer = await call(proxy.url)
    assert.equal(answer.broken, true)
  })
}

test('a connection that dies before any byte is UNAVAILABLE, and so is a port where nobody listens', async (t) => {
  const { port, server } = await backend(t, (stream) => stream.session?.destroy())
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const reset = await call(proxy.url)
  assert.deepEqual([reset.status, reset.headers['grpc-status'], reset.headers['x-modelroute-error']], [200, '14', 'upstream_reset'])
  server.close()
  const refused = await call(proxy.url)
  assert.deepEqual([refused.headers['grpc-status'], refused.headers['x-modelroute-error']], ['14', 'upstream_connect_failed'])
})

test('the deadline of the caller is DEADLINE_EXCEEDED, and cancels the stream', { timeout: 120_000 }, async (t) => {
  const cancelled = Promise.withResolvers<number>()
  const { port } = await backend(t, (stream) => { stream.on('close', () => cancelled.resolve(stream.rstCode)) })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const answer = await call(proxy.url, { 'grpc-timeout': '80m' })
  assert.deepEqual([answer.headers['grpc-status'], answer.headers['x-modelroute-error']], ['4', 'timeout'])
  assert.equal(await cancelled.promise, 8)
})

test('no route is UNIMPLEMENTED, no endpoint UNAVAILABLE', async (t) => {
  const proxy = await testProxy(t, active('1', [route({ rules: [rule()], hostnames: ['a.example'] })], { 'ml/s:80': [] }))
  assert.equal((await call(proxy.url)).headers['grpc-status'], '12')
  assert.equal((await call(proxy.url, { host: 'a.example' })).headers['grpc-status'], '14')
})

test('a refused stream is repeated on the same endpoint where its whole body is known', async (t) => {
  let tries = 0
  const { port } = await backend(t, (stream) => {
    stream.resume()
    if (++tries === 1) stream.close(7)
    else ok(stream, 'second')
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const answer = await new Promise<string>((resolve, reject) => {
    const sent = httpRequest(`${proxy.url}/x`, { method: 'POST', headers: { 'content-type': 'application/grpc', 'content-length': 5 } })
    sent.on('error', reject)
    sent.on('response', (response) => {
      let text = ''
      response.on('data', (chunk) => { text += String(chunk) })
      response.on('end', () => resolve(text))
    })
    sent.end('frame')
  })
  assert.deepEqual([answer, tries], ['second', 2])
})

for (const how of ['with a body', 'that is nothing but trailers'] as const) {
  test(`an answer ${how} that waits for its record in the audit log is still whole`, async (t) => {
    const { port } = await backend(t, (stream) => {
      if (how === 'with a body') ok(stream, 'echo')
      else stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' }, { endStream: true })
    })
    const proxy = await testProxy(t, active('1', [route({ rules: [rule({ audit: 'Strict' })] })], { 'ml/s:80': [port] }))
    for (let i = 0; i < 10; i++) {
      const { body, headers, trailers, broken } = await call(proxy.url)
      assert.deepEqual([body, headers['grpc-status'] ?? trailers['grpc-status'], broken], how === 'with a body' ? ['echo', '0', false] : ['', '5', false])
    }
    assert.equal(proxy.text().split('"msg":"audit"').length, 11)
  })
}
