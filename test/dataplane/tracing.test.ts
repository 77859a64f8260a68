import assert from 'node:assert/strict'
import { registerHooks } from 'node:module'
import { test } from 'node:test'
import { Mirrors } from '../../dataplane/mirror/mirrors.ts'
import { anonymous, type Authenticate } from '../../dataplane/pipeline/principal.ts'
import type { ComposeStep } from '../../table/compose.ts'
import { policy } from './caching.ts'
import { otlpReceiver, sendTo, tracingOf } from './otlp.ts'
import { testProxy } from './proxy.ts'
import { deadPort, eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

/** Modules as they are loaded, once each. What this file imports has been by now: all of a proxy. */
const loaded: string[] = []
registerHooks({
  load(url, context, next) {
    loaded.push(url)
    return next(url, context)
  },
})

const caller = 'a1'.repeat(8)
let traces = 0
/** A trace of a caller's own. */
function traceparent(flags = '01'): { id: string; headers: { traceparent: string } } {
  const id = (++traces).toString(16).padStart(32, '5')
  return { id, headers: { traceparent: `00-${id}-${caller}-${flags}` } }
}
const parts = (header: unknown) => String(header).split('-')

const step = (name: string, more: Partial<ComposeStep> = {}): ComposeStep =>
  ({ name, variant: variant(name, `ml/${name}:80`), dependsOn: [], maxParallel: 8, onError: 'Fail', ...more })

const chat = 'data: {"model":"llama-3-8b","choices":[]}\n\ndata: {"usage":{"prompt_tokens":7,"completion_tokens":11}}\n\ndata: [DONE]\n\n'

test('a request that is composed, tried again and streamed is one tree of spans', { timeout: 120_000 }, async (t) => {
  assert.deepEqual(loaded.filter((url) => url.includes('@opentelemetry/')), [])
  const otlp = await otlpReceiver(t)
  process.env['OTEL_RESOURCE_ATTRIBUTES'] = 'deployment.environment.name=test'
  t.after(() => { delete process.env['OTEL_RESOURCE_ATTRIBUTES'] })
  const sent: Record<string, string[]> = { clean: [], answer: [] }
  const clean = await httpUpstream(t, (request, response) => {
    const first = sent['clean']?.push(String(request.headers['traceparent'])) === 1
    request.resume().once('end', () => response.writeHead(first ? 503 : 200, { 'content-type': 'application/json' }).end('{"ok":true}'))
  })
  /** The client has the beginning of the stream. */
  const begun = Promise.withResolvers<void>()
  const answer = await httpUpstream(t, (request, response) => {
    sent['answer']?.push(String(request.headers['traceparent']))
    request.resume().once('end', () => response.writeHead(200, { 'content-type': 'text/event-stream' })
      .write(chat.slice(0, 20), () => void begun.promise.then(() => setTimeout(() => response.end(chat.slice(20)), 2))))
  })
  const compose = { steps: [
    step('clean', { retry: { attempts: 1, reasons: [], codes: [503], budgetPercent: 100, backoff: 1 } }),
    step('answer', { dependsOn: ['clean'], input: 'request.body' }),
  ] }
  const rules = [rule({ matches: [match('/v1/chat')], variants: [], compose }), rule({ name: 'kept', matches: [match('/v1/embeddings')], variants: [variant('answer', 'ml/answer:80')], cache: policy() })]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/clean:80': [clean], 'ml/answer:80': [answer] }), { tracing: tracingOf() })
  assert.ok(loaded.some((url) => url.includes('@opentelemetry/sdk-node/')), 'the libraries are loaded when there is something to send')

  const { id, headers } = traceparent()
  const ask = (more: Record<string, string>, path = '/v1/chat/completions') => fetch(`${proxy.url}${path}?api_key=canary-query`, {
    method: 'POST', body: '{"model":"llama","messages":[{"content":"canary-body"}]}',
    headers: { ...more, 'content-type': 'application/json', authorization: 'Bearer canary-token', cookie: 'canary-cookie', 'x-api-key': 'canary-key', tracestate: 'vendor=1' },
  })
  const streamed = await ask(headers)
  begun.resolve()
  assert.equal(await streamed.text(), chat)
  await eventually(() => otlp.spans.filter(({ trace }) => trace === id).length >= 7)
  const spans = otlp.spans.filter(({ trace }) => trace === id)
  const named = (name: string) => spans.filter((span) => span.name === name)
  const [server] = named('POST ml/fraud/infer')
  assert.ok(server)
  const { attributes } = server
  assert.deepEqual([server.kind, server.parent, server.state, server.failed], [2, caller, 'vendor=1', false])
  assert.deepEqual(
    ['http.request.method', 'http.route', 'url.path', 'http.response.status_code', 'modelroute.route', 'modelroute.rule', 'client.address', 'error.type'].map((key) => attributes[key]),
    ['POST', 'ml/fraud/infer', '/v1/chat/completions', 200, 'ml/fraud', 'infer', '127.0.0.1', undefined],
  )
  assert.deepEqual(
    ['gen_ai.operation.name', 'gen_ai.provider.name', 'gen_ai.response.model', 'gen_ai.usage.input_tokens', 'gen_ai.usage.output_tokens'].map((key) => attributes[key]),
    ['chat', 'openai', 'llama-3-8b', 7, 11],
  )
  const steps = [...named('step clean'), ...named('step answer')]
  assert.deepEqual(steps.map(({ parent, attributes: of }) => [parent, of['modelroute.step.result']]), [[server.id, 'answered'], [server.id, 'answered']])
  const tries = [...named('chat clean')].sort((a, b) => Number(a.from - b.from))
  assert.deepEqual(tries.map(({ parent, kind, failed, attributes: of }) => [parent, kind, failed, of['http.response.status_code'], of['http.request.resend_count'], of['modelroute.retry.reason']]), [
    [steps[0]?.id, 3, true, 503, undefined, undefined], [steps[0]?.id, 3, false, 200, 1, '503'],
  ])
  const [last] = named('chat answer')
  assert.deepEqual([last?.parent, last?.attributes['gen_ai.usage.output_tokens'], last?.attributes['server.port'], last?.events], [steps[1]?.id, 11, answer, ['first byte']])
  // Each backend is told of the very try that it gets.
  assert.deepEqual([...sent['clean'] ?? [], ...sent['answer'] ?? []].map((header) => parts(header)), [...tries, ...(last ? [last] : [])].map((span) => ['00', id, span.id, '01']))
  for (const span of spans) assert.ok(span.from >= server.from && span.to >= span.from, `${span.name} has its time`)

  for (const [result, tokens, count] of [['miss', 11, 2], ['hit', undefined, 1]] as const) {
    const asked = traceparent()
    assert.equal(await (await ask(asked.headers, '/v1/embeddings')).text(), chat)
    const { 'POST ml/fraud/kept': whole, 'embeddings answer': call } = await otlp.trace(asked.id, count)
    assert.deepEqual([whole?.attributes['modelroute.cache'], whole?.attributes['gen_ai.usage.output_tokens'], call !== undefined], [result, tokens, result === 'miss'])
  }

  const line = proxy.lines().find((one) => one['trace_id'] === id)
  assert.equal(line?.['request_id'], attributes['modelroute.request_id'])
  assert.deepEqual([otlp.resource()['service.name'], otlp.resource()['deployment.environment.name']], ['modelroute', 'test'])
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  assert.match(metrics, /^modelroute_spans_total\{result="exported"\} \d+$/m)
  await proxy.close()
  assert.ok(!otlp.raw().includes('canary'), 'nothing of what callers keep secret is sent')
})

test('who decided before is followed, and what is not valid is not believed', { timeout: 120_000 }, async (t) => {
  const otlp = await otlpReceiver(t)
  const seen: Record<string, unknown>[] = []
  const port = await httpUpstream(t, (request, response) => {
    seen.push(request.headers)
    request.resume().once('end', () => response.end('ok'))
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }), { tracing: tracingOf({ protocol: 'http/json', sampling: { ratio: 0, parentBased: true } }) })
  const ask = async (headers: Record<string, string> = {}) => {
    await (await fetch(proxy.url, { headers })).text()
    return seen.at(-1) ?? {}
  }
  const kept = traceparent()
  const [, ofKept, tryOf] = parts((await ask({ ...kept.headers, tracestate: 'a=1,b=2', baggage: 'k=v' }))['traceparent'])
  const left = traceparent('00')
  const passed = await ask({ ...left.headers, tracestate: 'a=1' })
  const [version, own, , flags] = parts((await ask())['traceparent'])
  const broken = await ask({ traceparent: `00-${'0'.repeat(32)}-${caller}-01`, tracestate: 'a=1' })
  const large = await ask({ ...traceparent('00').headers, tracestate: `a=${'1'.repeat(600)}` })
  const many = await ask({ ...traceparent('00').headers, tracestate: Array.from({ length: 33 }, (_, i) => `a${i}=1`).join() })
  await proxy.close()

  assert.equal(ofKept, kept.id)
  assert.deepEqual(otlp.spans.map(({ trace, name }) => [trace, name]), [[kept.id, 'GET stable'], [kept.id, 'GET ml/fraud/infer']], 'of what is not kept nothing is sent')
  assert.equal(otlp.spans[0]?.id, tryOf)
  assert.deepEqual([seen[0]?.['tracestate'], seen[0]?.['baggage']], ['a=1,b=2', 'k=v'])
  assert.deepEqual([passed['traceparent'], passed['tracestate']], [left.headers.traceparent, 'a=1'])
  assert.deepEqual([version, own?.length, flags], ['00', 32, '00'], 'who is called hears that it is not kept')
  assert.deepEqual([parts(broken['traceparent'])[3], broken['tracestate']], ['00', undefined])
  assert.notEqual(parts(broken['traceparent'])[1], '0'.repeat(32))
  assert.deepEqual([large['tracestate'], many['tracestate']], [undefined, undefined])
  assert.deepEqual(proxy.lines().map((line) => line['trace_id']), seen.map((headers) => parts(headers['traceparent'])[1]))
})

test('filters that wait, refusals, copies, waits for a batch and clients that leave are seen', { timeout: 120_000 }, async (t) => {
  const otlp = await otlpReceiver(t)
  const copies: unknown[] = []
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      if (request.url === '/stream') response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
      else if (request.url === '/v1/models/m:predict') response.setHeader('content-type', 'application/json').end(JSON.stringify({ predictions: (JSON.parse(Buffer.concat(chunks).toString()) as { instances: unknown[] }).instances }))
      else response.end('ok')
    })
  })
  const shadow = await httpUpstream(t, (request, response) => {
    copies.push(request.headers['traceparent'])
    request.resume().once('end', () => response.end('ok'))
  })
  const authenticate: Authenticate = (exchange) => new Promise((resolve) => {
    setImmediate(() => resolve(exchange.header('x-who') === undefined ? { code: 'unauthenticated', detail: 'Who?' } : { ...anonymous, consumer: 'ann' }))
  })
  const rules = [
    rule({ name: 'auth', matches: [match('/auth')], auth: { anyOf: [], anonymous: false } }),
    rule({ name: 'copied', matches: [match('/copied')], variants: [variant('stable', 'ml/s:80'), variant('shadow', 'ml/t:80', { weight: 0 })], mirror: { variant: 'shadow', percent: 100 } }),
    rule({ name: 'batched', matches: [match('/v1/models')], batching: { maxSize: 2, maxDelay: 10_000, scope: 'Tenant' } }),
    rule({ name: 'stream', matches: [match('/stream')] }),
  ]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port], 'ml/t:80': [shadow] }), {
    tracing: tracingOf(), filterDeps: { authenticators: () => authenticate, mirrors: new Mirrors() },
  })
  const ask = async (path: string, headers: Record<string, string>, body?: string) => {
    const { id, headers: of } = traceparent()
    const response = await fetch(`${proxy.url}${path}`, { headers: { ...of, ...headers }, ...(body !== undefined && { method: 'POST', body }) })
    return { id, status: response.status, text: await response.text() }
  }

  const refused = await ask('/auth', {})
  const { auth, 'GET ml/fraud/auth': denied } = await otlp.trace(refused.id, 2)
  assert.deepEqual([auth?.parent, auth?.attributes['modelroute.filter'], auth?.attributes['error.type']], [denied?.id, 'auth', 'unauthenticated'])
  assert.deepEqual([denied?.attributes['http.response.status_code'], denied?.failed, denied?.attributes['error.type']], [401, false, undefined], 'what a caller did wrong is no failure of the server')

  const copied = await ask('/copied', {})
  const { 'copy shadow': copy, 'GET ml/fraud/copied': whole } = await otlp.trace(copied.id, 3)
  assert.deepEqual([copy?.parent, copy?.attributes['modelroute.copy'], parts(copies[0])[2]], [whole?.id, true, copy?.id])

  const json = { 'content-type': 'application/json' }
  const [one, two] = await Promise.all([1, 2].map((x) => ask('/v1/models/m:predict', json, `{"instances":[${x}]}`)))
  assert.deepEqual([one?.text, two?.text], ['{"predictions":[1]}', '{"predictions":[2]}'])
  const trees = [await otlp.trace(one?.id ?? '', 3), await otlp.trace(two?.id ?? '', 3)]
  for (const tree of trees) {
    assert.deepEqual([tree['batching']?.attributes['modelroute.batch.requests'], tree['batching wait']?.parent], [2, tree['batching']?.id])
  }
  const carrier = trees.find((tree) => tree['POST stable'] !== undefined)
  const other = trees.find((tree) => tree !== carrier)
  assert.equal(carrier?.['POST stable']?.parent, carrier?.['batching']?.id)
  assert.deepEqual([other?.['POST stable'], other?.['batching']?.links], [undefined, [carrier?.['POST ml/fraud/batched']?.id]])

  const { id, headers } = traceparent()
  const client = await rawClient(t, proxy.url)
  client.send(`GET /stream HTTP/1.1\r\nhost: a\r\ntraceparent: ${headers.traceparent}\r\n\r\n`)
  await client.until((text) => text.includes('data: 1'))
  client.socket.destroy()
  const { 'GET stable': cut, 'GET ml/fraud/stream': left } = await otlp.trace(id, 2)
  assert.deepEqual([left?.attributes['error.type'], left?.attributes['http.response.status_code'], left?.failed, cut?.attributes['modelroute.cancelled']], ['client_closed', 499, true, true])
  await proxy.close()
})

test('nobody waits for whoever takes spans: beyond the queue they are dropped, and counted', { timeout: 120_000 }, async (t) => {
  const waiting: (() => void)[] = []
  let over = false
  const hanging = await httpUpstream(t, (request, response) => {
    request.resume().once('end', () => {
      if (over) response.end()
      else waiting.push(() => response.end())
    })
  })
  sendTo(t, `http://127.0.0.1:${hanging}`)
  const port = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('ok')) })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }), { tracing: tracingOf({ queue: { most: 4, batch: 2, delay: 1, timeout: 30_000 } }) })
  const ask = async () => (await fetch(proxy.url)).text()
  assert.equal(await ask(), 'ok')
  await eventually(() => waiting.length > 0)
  for (let i = 0; i < 10; i++) assert.equal(await ask(), 'ok')
  // The last is over for its client before it is for the gateway.
  await eventually(() => proxy.lines().length === 11)
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  // Two are on their way and four wait, of 22; on a busy machine filters take long enough to have some too.
  assert.ok(Number(/^modelroute_spans_total\{result="dropped"\} (\d+)$/m.exec(metrics)?.[1]) >= 16)
  over = true
  for (const answer of waiting) answer()
  await proxy.close()
})

test('that spans cannot be sent is told once, and harms nothing', { timeout: 120_000 }, async (t) => {
  sendTo(t, `http://127.0.0.1:${await deadPort()}`)
  process.env['OTEL_EXPORTER_OTLP_TIMEOUT'] = '50'
  t.after(() => { delete process.env['OTEL_EXPORTER_OTLP_TIMEOUT'] })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [await deadPort()] }), { tracing: tracingOf() })
  for (let i = 0; i < 3; i++) assert.equal((await fetch(proxy.url)).status, 502)
  await eventually(() => proxy.text().includes('spans cannot be sent'))
  await proxy.close()
  assert.equal(proxy.text().split('spans cannot be sent').length, 2)
})
