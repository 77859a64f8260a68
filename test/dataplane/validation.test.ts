import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Rule } from '../../table/route.ts'
import type { Validation } from '../../table/validation.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'
import { bodyOf } from './tries/rig.ts'

const json = { 'content-type': 'application/json' }

/** A rule that checks what passes, and what its backend saw. */
async function checking(t: TestContext, validation: Validation, answer: (response: ServerResponse) => void = (response) => { response.writeHead(200, json).end('{"predictions":[1]}') }, more: Partial<Rule> = {}) {
  const seen: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      seen.push(body.toString('latin1'))
      answer(response)
    }, () => {})
  })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ validation, ...more })] })], { 'ml/s:80': [port] }))
  const ask = async (body: string | Buffer | undefined, headers: Record<string, string> = {}, path = '/v1/models/m:predict', method = body === undefined ? 'GET' : 'POST') => {
    const got = await fetch(`${proxy.url}${path}`, { method, headers, ...(body !== undefined && { body: new Uint8Array(Buffer.from(body)) }) })
    return { status: got.status, headers: got.headers, body: await got.text() }
  }
  const counted = async (labels: string) => {
    const text = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
    return Number(new RegExp(`^modelroute_validations_total\\{${labels}\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  }
  return { seen, ask, proxy, counted }
}

const instances = { type: 'object', required: ['instances'], properties: { instances: { type: 'array', items: { type: 'object', properties: { amount: { type: 'number', minimum: 0 } } } } } }
const schema = { source: 'Schema', schema: instances } as const

test('a request that does not fit never reaches the model, and its answer names every place', { timeout: 120_000 }, async (t) => {
  const { ask, seen, proxy, counted } = await checking(t, { request: schema })
  assert.equal((await ask('{"instances":[{"amount":1}]}')).status, 200)
  const v1 = await ask('{"instances":[{"amount":-1},{"amount":"x"}]}')
  const detail = 'The body of the request does not fit: /instances/0/amount must be >= 0; /instances/1/amount must be number'
  assert.deepEqual([v1.status, v1.headers.get('x-modelroute-error'), v1.body], [422, 'schema_mismatch', JSON.stringify({ error: detail })])
  const openai: unknown = JSON.parse((await ask('{}', {}, '/v1/chat/completions')).body)
  assert.deepEqual(openai, { error: { message: 'The body of the request does not fit: /instances is missing', type: 'invalid_request_error', param: '/instances', code: 'schema_mismatch' } })
  const problem = JSON.parse((await ask('{"instances":3}', {}, '/other')).body) as { errors: unknown; code: string }
  assert.deepEqual([problem.code, problem.errors], ['schema_mismatch', [{ pointer: '/instances', detail: 'must be array' }]])
  assert.equal(seen.length, 1)
  await eventually(() => proxy.lines().length === 4)
  assert.deepEqual(proxy.lines().map(({ code, cause }) => [code, cause]), [[undefined, undefined], ...['/instances/0/amount /instances/1/amount', '/instances', '/instances'].map((cause) => ['schema_mismatch', cause])])
  assert.deepEqual([await counted('route="ml/fraud",rule="infer",side="request",result="passed"'), await counted('route="ml/fraud",rule="infer",side="request",result="refused"')], [1, 3])
})

test('what some reader takes for something else is no JSON', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await checking(t, { request: { source: 'Schema', schema: { type: 'object', additionalProperties: { type: 'number' } } } })
  const bodies = ['', 'x', '{"a":1', '{"a":NaN}', '{"a":1}{}', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '\u{feff}{}', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`]
  for (const body of bodies) assert.deepEqual([(await ask(body)).status, body], [400, body])
  assert.deepEqual([(await ask('{"a:b":1,"c\\"":2}')).status, (await ask(undefined)).status, (await ask('{"a":1e999}')).status], [200, 200, 422])
  assert.equal(seen.length, 2)
})

test('a packed body is checked as what it says, and JSON before tensors as JSON', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await checking(t, { request: schema })
  assert.equal((await ask(gzipSync('{"instances":[{"amount":-1}]}'), { 'content-encoding': 'gzip' })).status, 422)
  assert.equal((await ask(gzipSync('{"instances":[]}'), { 'content-encoding': 'gzip' })).status, 200)
  const head = '{"instances":[]}'
  assert.equal((await ask(Buffer.concat([Buffer.from(head), Buffer.from([0xff])]), { 'inference-header-content-length': String(head.length) })).status, 200)
  assert.equal((await ask(head, { 'inference-header-content-length': '99' })).status, 400)
  assert.equal(seen.length, 2)
})

test('places are those of the caller\'s body, whatever is changed in it on its way', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await checking(t, { request: schema }, undefined, { transform: { request: { body: { remove: ['/instances/*/amount'], set: [{ pointer: '/extra', value: '1' }] } } } })
  assert.match((await ask('{"instances":[{"amount":-1}]}')).body, /\/instances\/0\/amount must be/)
  await ask('{"instances":[{"amount":2}]}')
  assert.deepEqual(seen, ['{"instances":[{}],"extra":1}'])
})

test('a gRPC call cannot be checked as JSON, and is refused rather than passed', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await checking(t, { request: schema })
  const { headers } = await ask(Buffer.alloc(5), { 'content-type': 'application/grpc' }, '/inference.GRPCInferenceService/ModelInfer')
  assert.deepEqual([headers.get('grpc-status'), headers.get('x-modelroute-error'), seen.length], ['12', 'unsupported_translation', 0])
})

test('large bodies and large schemas are checked in another thread, to the same end', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await checking(t, { request: schema })
  const rows = Array.from({ length: 100_000 }, (_, i) => ({ amount: i }))
  assert.equal((await ask(JSON.stringify({ instances: rows }))).status, 200)
  const { status, body } = await ask(JSON.stringify({ instances: [...rows, { amount: -1 }] }))
  assert.deepEqual([status, body.includes('/instances/100000/amount must be >= 0')], [422, true])
  assert.equal((await ask(`{"instances":[${'1,'.repeat(50_000)}`)).status, 400)
  const many = { type: 'object', properties: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`p${i}`, { type: 'number' }])) }
  const large = await checking(t, { request: { source: 'Schema', schema: many } })
  assert.match((await large.ask('{"p99":"x"}')).body, /\/p99 must be number/)
  assert.equal((await large.ask('{"p99":1}')).status, 200)
  assert.deepEqual([seen.length, large.seen.length], [1, 1])
})

test('an answer that does not fit is refused, or reported and let through', { timeout: 120_000 }, async (t) => {
  const fits = { source: 'Schema', schema: { type: 'object', required: ['predictions'] } } as const
  const wrong = (response: ServerResponse) => { response.writeHead(200, json).end('{"prediction":[1]}') }
  const refused = await checking(t, { response: { ...fits, reject: true } }, wrong)
  const { status, headers } = await refused.ask('{}')
  assert.deepEqual([status, headers.get('x-modelroute-error')], [502, 'response_schema_mismatch'])
  await eventually(() => refused.proxy.lines().length === 1)
  assert.equal(refused.proxy.lines()[0]?.['cause'], '/predictions')
  const reported = await checking(t, { response: fits }, (response) => { response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(gzipSync('{"prediction":[1]}')) })
  const got = await reported.ask('{}')
  assert.deepEqual([got.status, got.body], [200, '{"prediction":[1]}'])
  await eventually(() => reported.proxy.lines().length === 1)
  assert.equal(reported.proxy.lines()[0]?.['response_mismatch'], '/predictions')
  assert.deepEqual([await refused.counted('route="ml/fraud",rule="infer",side="response",result="refused"'), await reported.counted('route="ml/fraud",rule="infer",side="response",result="reported"')], [1, 1])
  const good = await checking(t, { response: { ...fits, reject: true } })
  assert.deepEqual([(await good.ask('{}')).status, await good.counted('route="ml/fraud",rule="infer",side="response",result="passed"')], [200, 1])
  const failed = await checking(t, { response: { ...fits, reject: true } }, (response) => { response.writeHead(500, json).end('{"error":"x"}') })
  assert.equal((await failed.ask('{}')).body, '{"error":"x"}')
})

test('a stream is checked event by event: refused it breaks off, reported it goes on as it came', { timeout: 120_000 }, async (t) => {
  const fits = { source: 'Schema', schema: { required: ['text'] } } as const
  const events = 'data: {"text":"a"}\n\ndata: {"oops":1}\n\ndata: [DONE]\n\n'
  const stream = (response: ServerResponse) => { response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events) }
  const refused = await checking(t, { response: { ...fits, reject: true } }, stream)
  const got = await refused.ask('{}').then(({ body }) => body, () => '')
  assert.ok(!got.includes('oops'), got)
  const reported = await checking(t, { response: fits }, stream)
  assert.equal((await reported.ask('{}')).body, events)
  await eventually(() => reported.proxy.lines().length === 1)
  assert.equal(reported.proxy.lines()[0]?.['response_mismatch'], '/text')
})

test('explain says what would be checked, and counts nothing', { timeout: 120_000 }, async (t) => {
  const { proxy, counted } = await checking(t, { request: schema, response: schema })
  const explain = async (body: string) => (await (await fetch(`${proxy.urls.admin}/explain`, { method: 'POST', body: JSON.stringify({ method: 'POST', url: '/v1/models/m:predict', headers: {}, body }) })).json()) as { code?: string; steps: { filter: string; verdict: string; why: string }[] }
  const refused = await explain('{}')
  assert.deepEqual([refused.code, refused.steps.at(-1)], ['schema_mismatch', { filter: 'validation', verdict: 'refuse', why: 'schema_mismatch: The body of the request does not fit: /instances is missing' }])
  const passed = await explain('{"instances":[]}')
  assert.deepEqual(passed.steps.filter(({ filter }) => filter.endsWith('validation')).map(({ why }) => why), ['the body fits the schema', 'an answer that does not fit is reported'])
  assert.equal(await counted('route="ml/fraud",rule="infer",side="request",result="passed"'), 0)
})
