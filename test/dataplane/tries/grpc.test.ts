import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { eventually } from '../sockets.ts'
import { metric, retry, ruleOver } from './rig.ts'

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void
const infer = '/inference.GRPCInferenceService/ModelInfer'
const message = Buffer.from([0, 0, 0, 0, 1, 1])

async function server(t: TestContext, serve: Serve): Promise<{ port: number; seen: IncomingHttpHeaders[] }> {
  const seen: IncomingHttpHeaders[] = []
  const backend = createServer()
  backend.on('session', (session) => {
    session.on('error', () => {})
    t.after(() => session.destroy())
  })
  backend.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    stream.resume().once('end', () => {
      seen.push(headers)
      serve(stream, headers)
    })
  })
  backend.listen(0, '127.0.0.1')
  await once(backend, 'listening')
  t.after(() => backend.close())
  const address = backend.address()
  return { port: typeof address === 'object' && address ? address.port : 0, seen }
}

const fine: Serve = (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.end(message)
}
const only = (status: number): Serve => (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(status) }, { endStream: true })
}
const late = (status: number): Serve => (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }))
  stream.end()
}
const breaks: Serve = (stream) => stream.close(2)

async function call(t: TestContext, url: string, path = infer, headers: Record<string, string> = {}, body = message): Promise<string> {
  const session = connect(url)
  t.after(() => session.destroy())
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', 'te': 'trailers', ...headers })
  stream.end(body)
  const [head] = (await once(stream, 'response')) as [IncomingHttpHeaders]
  let status = head['grpc-status']
  stream.on('trailers', (trailers: IncomingHttpHeaders) => { status ??= trailers['grpc-status'] })
  stream.resume()
  await once(stream, 'close')
  return String(status)
}

test('an error that is all of an answer is tried again by its code: UNAVAILABLE is 503', { timeout: 120_000 }, async (t) => {
  const cases: readonly (readonly [string, Serve, readonly number[], string])[] = [
    ['UNAVAILABLE', only(14), [503], '0'],
    ['RESOURCE_EXHAUSTED', only(8), [429], '0'],
    ['INTERNAL, which may have been acted on', only(13), [500], '13'],
    ['another code', only(14), [429], '14'],
    ['after the head has come', late(14), [503], '14'],
  ]
  for (const [what, serve, codes, expected] of cases) {
    const bad = await server(t, serve)
    const good = await server(t, fine)
    const proxy = await ruleOver(t, [bad.port, good.port], { retry: retry({ codes: [...codes] }) })
    assert.equal(await call(t, proxy.url), expected, what)
    assert.equal(good.seen.length, expected === '0' ? 1 : 0, what)
  }
})

test('a broken call is repeated where it only reads, or is inference that may be', { timeout: 120_000 }, async (t) => {
  const sequence = Buffer.concat([Buffer.from([0, 0, 0, 0, 11]), Buffer.from('sequence_id')])
  const compressed = Buffer.from([1, 0, 0, 0, 1, 1])
  const cases = [
    [infer, false, message, '14'], [infer, true, message, '0'], [infer, true, sequence, '14'], [infer, true, compressed, '14'],
    ['/inference.GRPCInferenceService/ServerReady', false, message, '0'], ['/grpc.health.v1.Health/Check', false, message, '0'],
    ['/inference.GRPCInferenceService/RepositoryModelLoad', true, message, '14'],
  ] as const
  for (const [path, inference, body, expected] of cases) {
    const bad = await server(t, breaks)
    const good = await server(t, fine)
    const proxy = await ruleOver(t, [bad.port, good.port], { retry: retry(inference ? { inference } : {}) })
    assert.equal(await call(t, proxy.url, path, {}, body), expected, `${path} ${inference} ${body.toString('latin1')}`)
  }
})

test('a call that the server refused untouched goes to another, whatever it is', { timeout: 120_000 }, async (t) => {
  const bad = await server(t, (stream) => stream.close(7))
  const good = await server(t, fine)
  // Without its length the message is a stream, of which nothing is kept unless the rule retries.
  assert.equal(await call(t, (await ruleOver(t, [bad.port, good.port])).url), '14')
  const proxy = await ruleOver(t, [bad.port, good.port], { retry: retry() })
  assert.equal(await call(t, proxy.url), '0')
  assert.match(String(await metric(proxy, 'modelroute_retries_total')), /reason="connect-failure"\} 1$/)
})

test('a slow call is asked of a second server, where it is inference', { timeout: 120_000 }, async (t) => {
  const slow = await server(t, () => {})
  const good = await server(t, fine)
  const proxy = await ruleOver(t, [slow.port, good.port], { hedge: { after: 20, budgetPercent: 100 } })
  assert.equal(await call(t, proxy.url), '0')
  assert.deepEqual([slow.seen.length, good.seen.length], [1, 1])
})

test('each try is told what is left of grpc-timeout', { timeout: 120_000 }, async (t) => {
  const bad = await server(t, (stream, headers) => setTimeout(() => only(14)(stream, headers), 60))
  const proxy = await ruleOver(t, [bad.port], { retry: retry({ attempts: 2, codes: [503] }) })
  assert.equal(await call(t, proxy.url, infer, { 'grpc-timeout': '900m' }), '14')
  const [first = 0, next = 0, last = 0] = bad.seen.map((headers) => Number.parseInt(String(headers['grpc-timeout']), 10) / 1000)
  assert.ok(first > 700 && first <= 900 && next <= first - 55 && last <= next - 55, `${first} ${next} ${last}`)
})

test('a static answer is none to a gRPC call', { timeout: 120_000 }, async (t) => {
  const proxy = await ruleOver(t, [], { fallbackResponse: { status: 200, contentType: 'application/json', body: '{}' } })
  assert.equal(await call(t, proxy.url), '14')
  await eventually(() => proxy.lines().length === 1)
  assert.equal(proxy.lines()[0]?.['fallback'], undefined)
})
