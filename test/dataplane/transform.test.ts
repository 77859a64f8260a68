import assert from 'node:assert/strict'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { test, type TestContext } from 'node:test'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { Transform } from '../../table/shape.ts'
import type { Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'
import { bodyOf } from './tries/rig.ts'

type Seen = Readonly<{ headers: IncomingHttpHeaders; body: Buffer }>
type Answering = (response: ServerResponse, seen: Seen) => void

const json = { 'content-type': 'application/json' }
const say = (text: string, headers: Record<string, string> = json, status = 200): Answering => (response) => { response.writeHead(status, headers).end(text) }

/** A rule that changes what passes, and what its backend saw. */
async function changing(t: TestContext, transform: Transform, answer: Answering = say('{}'), more: Partial<Rule> = {}) {
  const seen: Seen[] = []
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      const one = { headers: request.headers, body }
      seen.push(one)
      answer(response, one)
    }, () => {})
  })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ transform, ...more })] })], { 'ml/s:80': [port] }))
  const ask = async (body: string | Buffer | undefined, headers: Record<string, string> = {}, path = '/v1/models/m:predict') => {
    const got = await fetch(`${proxy.url}${path}`, body === undefined ? { headers } : { method: 'POST', body: new Uint8Array(Buffer.from(body)), headers })
    return { status: got.status, headers: got.headers, body: await got.text() }
  }
  return { seen, ask, proxy }
}

test('what is sensitive never reaches the model, and every other byte is the caller\'s', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await changing(t, { request: { body: { remove: ['/instances/*/ssn', '/email'], set: [{ pointer: '/region', value: '"eu"' }] } } })
  const { status } = await ask('{"instances": [ {"ssn":"078-05-1120","id":12345678901234567890}, {"id":1.10} ],"email":"a@b.example"}')
  assert.equal(status, 200)
  const sent = '{"instances": [ {"id":12345678901234567890}, {"id":1.10} ],"region":"eu"}'
  assert.deepEqual([seen[0]?.body.toString(), seen[0]?.headers['content-length']], [sent, String(sent.length)])
})

test('a packed request is changed as what it says, and one that cannot be unpacked is refused', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await changing(t, { request: { body: { remove: ['/ssn'], set: [] } } })
  for (const [encoding, pack] of [['gzip', gzipSync], ['deflate', deflateSync], ['br', brotliCompressSync]] as const) {
    assert.equal((await ask(pack('{"ssn":1,"a":2}'), { 'content-encoding': encoding })).status, 200)
    assert.deepEqual([seen.at(-1)?.body.toString(), seen.at(-1)?.headers['content-encoding']], ['{"a":2}', undefined])
  }
  assert.equal((await ask('plain', { 'content-encoding': 'gzip' })).status, 400)
  assert.equal((await ask(gzipSync(Buffer.alloc(32 * 1024 * 1024)), { 'content-encoding': 'gzip' })).status, 413)
  assert.equal(seen.length, 3)
})

test('values are worked out from the request; where they cannot be, or have no place, it is refused', { timeout: 120_000 }, async (t) => {
  const set = [{ pointer: '/parameters/tier', value: 'request.headers["x-tier"]' }, { pointer: '/total', value: 'request.body.a + request.body.b' }]
  const { ask, seen } = await changing(t, { request: { body: { remove: [], set } } })
  assert.equal((await ask('{"a":1,"b":2}', { 'x-tier': 'gold' })).status, 200)
  assert.equal(seen[0]?.body.toString(), '{"a":1,"b":2,"parameters":{"tier":"gold"},"total":3}')
  const without = await ask('{"a":1,"b":2}')
  assert.deepEqual([without.status, without.body], [400, '{"error":"The value for /parameters/tier cannot be worked out from this request."}'])
  const misplaced = await ask('{"a":1,"b":2,"parameters":"x"}', { 'x-tier': 'gold' })
  assert.deepEqual([misplaced.status, misplaced.body], [400, '{"error":"The body has no place for /parameters/tier."}'])
  assert.equal((await ask('{"a":1,"a":2} //', { 'x-tier': 'gold' })).status, 400)
  assert.equal(seen.length, 1)
})

test('a request without a body passes, and headers are changed both ways', { timeout: 120_000 }, async (t) => {
  const headers = { remove: ['x-gone'], set: [{ name: 'x-set', value: 'ours' }], add: [{ name: 'x-more', value: '2' }] }
  const { ask, seen } = await changing(t, {
    request: { headers, body: { remove: ['/a'], set: [] } }, response: { headers: { ...headers, remove: ['server'] } },
  }, (response) => { response.writeHead(200, { server: 'secret/1', 'x-set': 'theirs', 'x-more': '1' }).end('ok') })
  const { status, headers: got, body } = await ask(undefined, { 'x-gone': '1', 'x-set': 'theirs', 'x-more': '1' })
  assert.deepEqual([status, body, got.get('server'), got.get('x-set'), got.get('x-more')], [200, 'ok', null, 'ours', '1, 2'])
  const sent = seen[0]?.headers
  assert.deepEqual([sent?.['x-gone'], sent?.['x-set'], sent?.['x-more']], [undefined, 'ours', '1, 2'])
})

test('an answer is changed: what is sensitive goes, values come, packed or not', { timeout: 120_000 }, async (t) => {
  const body = { remove: ['/debug', '/rows/*/ssn'], set: [{ pointer: '/verdict', value: 'response.body.score > 0.5 ? request.body.yes : "no"' }] }
  for (const packed of [false, true]) {
    const text = '{"score":0.75,"debug":{"host":"10.0.0.1"},"rows":[{"ssn":1,"big":9007199254740993}]}'
    const { ask } = await changing(t, { response: { body } }, packed
      ? (response) => { response.writeHead(200, { ...json, 'content-encoding': 'gzip', etag: '"x"' }).end(gzipSync(text)) } : say(text))
    const answer = await ask('{"yes":"fraud"}')
    assert.deepEqual([answer.status, answer.body], [200, '{"score":0.75,"rows":[{"big":9007199254740993}],"verdict":"fraud"}'])
    assert.deepEqual([answer.headers.get('content-length'), answer.headers.get('content-encoding'), answer.headers.get('etag')], [String(answer.body.length), null, null])
  }
})

test('what the backend fails with loses what is sensitive, and gets nothing written into it', { timeout: 120_000 }, async (t) => {
  const { ask } = await changing(t, { response: { body: { remove: ['/input'], set: [{ pointer: '/x', value: '1' }] } } }, say('{"error":"bad","input":{"ssn":1}}', json, 500))
  const { status, body } = await ask('{}')
  assert.deepEqual([status, body], [500, '{"error":"bad"}'])
})

test('an answer that cannot be changed never goes out unchanged', { timeout: 120_000 }, async (t) => {
  for (const text of ['not json', '{"a":1', '"text"x']) {
    const { ask, proxy } = await changing(t, { response: { body: { remove: ['/ssn'], set: [] } } }, say(text))
    const { status, headers } = await ask('{}')
    assert.deepEqual([status, headers.get('x-modelroute-error')], [502, 'response_schema_mismatch'])
    await eventually(() => proxy.lines().length === 1)
    assert.equal(proxy.lines()[0]?.['cause'], 'not JSON')
  }
})

test('a stream is changed event by event, however it is cut', { timeout: 120_000 }, async (t) => {
  const events = 'data: {"text":"a","ssn":1}\n\nid: 7\nevent: more\ndata: {"ssn":2,"text":"b"}\n\n: ping\n\ndata: [DONE]\n\n'
  const { ask } = await changing(t, { response: { body: { remove: ['/ssn'], set: [] } } }, (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    void (async () => {
      for (const byte of events.match(/[^]{1,7}/g) ?? []) {
        response.write(byte)
        await new Promise((resolve) => { setImmediate(resolve) })
      }
      response.end()
    })()
  })
  const { status, body } = await ask('{"stream":true}')
  assert.deepEqual([status, body], [200, 'data: {"text":"a"}\n\nid: 7\nevent: more\ndata: {"text":"b"}\n\n: ping\n\ndata: [DONE]\n\n'])
})

test('lines of JSON are changed one by one, and one that is none breaks the answer off', { timeout: 120_000 }, async (t) => {
  const lines = { 'content-type': 'application/x-ndjson' }
  const { ask } = await changing(t, { response: { body: { remove: ['/ssn'], set: [] } } }, say('{"ssn":1,"a":1}\n\n{"a":2}', lines))
  assert.equal((await ask('{}')).body, '{"a":1}\n\n{"a":2}\n')
  const broken = await changing(t, { response: { body: { remove: ['/ssn'], set: [] } } }, say('{"a":1}\n{"ssn":1', lines))
  await assert.rejects(broken.ask('{}'))
})

const unsure = { pointer: '/predictions', low: 0.6 }

test('an answer says where it came from and how sure it is, in headers and where it has an object for that', { timeout: 120_000 }, async (t) => {
  const variants = [variant('canary', 'ml/s:80', { model: { version: '7' } })]
  const path = '/v2/models/m/infer'
  const { ask } = await changing(t, { response: { enrich: { pointer: '/parameters/modelroute', confidence: unsure } } },
    (response, { body }) => { say(body.toString(), { ...json, 'x-modelroute-confidence': 'lie' })(response, { headers: {}, body }) }, { variants })
  const low = await ask('{"predictions":[[0.9,0.1],[0.55,0.45]]}', {}, path)
  assert.equal(low.body, '{"predictions":[[0.9,0.1],[0.55,0.45]],"parameters":{"modelroute":{"variant":"canary","model_version":"7","low_confidence":true}}}')
  assert.deepEqual([low.headers.get('x-modelroute-confidence'), low.headers.get('x-modelroute-model-version')], ['low', '7'])
  const sure = await ask('{"predictions":[0.9,0.1]}', {}, path)
  assert.deepEqual([sure.headers.get('x-modelroute-confidence'), /"low_confidence":(\w+)/.exec(sure.body)?.[1]], [null, 'false'])
  for (const text of ['[1,2]', 'no json', '{"parameters":3}', '{"predictions":["a"]}']) {
    const other = await ask(text, {}, path)
    assert.deepEqual([other.status, other.headers.get('x-modelroute-confidence')], [200, null])
    if (!text.startsWith('{"predictions')) assert.equal(other.body, text)
  }
})

test('the values of a V2 tensor are rows of its last dimension, also where they are binary', { timeout: 120_000 }, async (t) => {
  const enrich = { confidence: { pointer: '/outputs/1/data', low: 0.6 } }
  const values = [0.9, 0.1, 0.5, 0.5]
  const other = { name: 'a', datatype: 'INT32', shape: [1] }
  const scores = { name: 'b', datatype: 'FP32', shape: [2, 2] }
  const whole = await changing(t, { response: { enrich } }, say(JSON.stringify({ outputs: [{ ...other, data: [1] }, { ...scores, data: values }] })))
  assert.equal((await whole.ask('{}')).headers.get('x-modelroute-confidence'), 'low')
  const head = Buffer.from(JSON.stringify({ outputs: [{ ...other, parameters: { binary_data_size: 4 } }, { ...scores, parameters: { binary_data_size: 16 } }] }))
  const bytes = Buffer.concat([head, Buffer.alloc(4), Buffer.from(Float32Array.from(values).buffer)])
  const binary = await changing(t, { response: { enrich } }, (response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) }).end(bytes)
  })
  assert.equal((await binary.ask('{}')).headers.get('x-modelroute-confidence'), 'low')
})

test('of a body with tensors after its JSON the JSON is changed, and which tensors there are is not', { timeout: 120_000 }, async (t) => {
  const head = '{"parameters":{"ssn":1},"inputs":[{"name":"a","parameters":{"binary_data_size":2}}]}'
  const body = { remove: ['/parameters/ssn'], set: [] }
  const { ask, seen } = await changing(t, { request: { body } })
  const headers = { 'inference-header-content-length': String(head.length) }
  assert.equal((await ask(Buffer.concat([Buffer.from(head), Buffer.from([0xff, 0])]), headers)).status, 200)
  const sent = '{"parameters":{},"inputs":[{"name":"a","parameters":{"binary_data_size":2}}]}'
  assert.deepEqual([seen[0]?.headers['inference-header-content-length'], seen[0]?.body.toString('latin1')], [String(sent.length), `${sent}\u00ff\0`])
  const other = await changing(t, { request: { body: { remove: ['/inputs/0'], set: [] } } })
  assert.equal((await other.ask(Buffer.from(`${head}xx`), headers)).status, 400)
  assert.equal((await ask('{}', { 'inference-header-content-length': '99' })).status, 400)
})

test('a gRPC call cannot be changed as JSON, and is refused rather than passed', { timeout: 120_000 }, async (t) => {
  const { ask, seen } = await changing(t, { request: { body: { remove: ['/a'], set: [] } } })
  const { headers } = await ask(Buffer.alloc(5), { 'content-type': 'application/grpc' }, '/inference.GRPCInferenceService/ModelInfer')
  assert.deepEqual([headers.get('grpc-status'), headers.get('x-modelroute-error'), seen.length], ['12', 'unsupported_translation', 0])
})
