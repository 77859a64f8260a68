import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ask, hear, said, type Heard } from '../../test/dataplane/translation.ts'
import { runs } from '../../test/runs.ts'
import { failure } from '../pipeline/errors.ts'
import { openAIToV1 } from './openai_v1.ts'
import { openAIToV2 } from './openai_v2.ts'
import { v1ToOpenAI } from './v1_openai.ts'
import { v2ToOpenAI } from './v2_openai.ts'
import type { Asked } from './translation.ts'

const embeddings = '/v1/embeddings'
const tensor = (name: string, datatype: string, shape: readonly number[]) => ({ name, datatype, shape })
const text = tensor('TEXT', 'BYTES', [-1, 1])
const vector = tensor('EMB', 'FP32', [-1, 3])

/** A server that says this of its model. */
const describing = (inputs: readonly object[], outputs: readonly object[]): Partial<Asked> => ({
  call: ({ path }) => Promise.resolve(path === '/v2/models/e5' ? { status: 200, headers: [], trailers: [], body: Buffer.from(JSON.stringify({ name: 'e5', versions: ['1'], platform: 'x', inputs, outputs })) }
    : failure('no_endpoints', 'Nobody is there.')),
})
const plain = describing([text], [vector])
const jsonOf = (heard: Heard) => JSON.parse(heard.pieces.join('')) as { data: { index: number; object: string; embedding: unknown }[]; usage?: unknown; model: string; error?: { message: string } }
const answer = (data: readonly number[], shape: readonly number[], more: readonly object[] = []) =>
  ({ chunks: [JSON.stringify({ model_name: 'e5', outputs: [{ name: 'EMB', datatype: 'FP32', shape, data }, ...more] })] })

test('texts are sent as the only input of BYTES that the model has, in its rank, and its embeddings are asked for by their name', async () => {
  assert.deepEqual(await said(ask(openAIToV2, embeddings, { model: 'e5', input: ['a', 'Grüße "x"\n'], encoding_format: 'float' }, plain)), {
    path: '/v2/models/e5/infer',
    body: { inputs: [{ name: 'TEXT', datatype: 'BYTES', shape: [2, 1], data: ['a', 'Grüße "x"\n'] }], outputs: [{ name: 'EMB' }] },
  })
  const one = await said(ask(openAIToV2, '/openai/v1/embeddings', { input: 'a', model: 'e5' }, { ...plain, model: { name: 'e5', version: '2' }, call: () => Promise.resolve(failure('no_endpoints', '')) }))
  assert.deepEqual(one, { path: '/v2/models/e5/versions/2/infer', body: { inputs: [{ name: 'text_input', datatype: 'BYTES', shape: [1], data: ['a'] }] } })
})

test('of several tensors those are taken that are called as such models call them, with what the model counts', async () => {
  const many = describing([tensor('other', 'BYTES', [-1]), tensor('text_input', 'BYTES', [-1]), tensor('dimensions', 'INT32', [1])], [tensor('score', 'FP32', [-1]), tensor('embedding', 'FP32', [-1, -1]), tensor('num_input_tokens', 'UINT32', [-1])])
  const asked = ask(openAIToV2, embeddings, { model: 'e5', input: ['a', 'b'], dimensions: 2 }, many)
  assert.deepEqual(await said(asked), {
    path: '/v2/models/e5/infer',
    body: {
      inputs: [{ name: 'text_input', datatype: 'BYTES', shape: [2], data: ['a', 'b'] }, { name: 'dimensions', datatype: 'INT32', shape: [1], data: [2] }],
      outputs: [{ name: 'embedding' }, { name: 'num_input_tokens' }],
    },
  })
  const outputs = [{ name: 'embedding', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] }, { name: 'num_input_tokens', datatype: 'UINT32', shape: [2], data: [4, 5] }]
  const heard = jsonOf(await hear(asked, { chunks: [JSON.stringify({ outputs })] }))
  assert.deepEqual(heard, {
    object: 'list', data: [{ object: 'embedding', index: 0, embedding: [1, 2] }, { object: 'embedding', index: 1, embedding: [3, 4] }], model: 'e5', usage: { prompt_tokens: 9, total_tokens: 9 },
  })
  assert.deepEqual(asked.generated.usage, { inputTokens: 9, outputTokens: 0 })
})

test('numbers are given back bit by bit, as a list or in base64', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 6, maxLength: 6 }), fc.boolean(), async (numbers, base64) => {
    const written = numbers.map((number) => Object.is(number, -0) ? '-0.0' : String(number)).join()
    const asked = ask(openAIToV2, embeddings, { model: 'e5', input: ['a', 'b'], encoding_format: base64 ? 'base64' : 'float' }, plain)
    const heard = jsonOf(await hear(asked, { chunks: [`{"outputs":[{"name":"EMB","datatype":"FP32","shape":[2,3],"data":[${written}]}]}`] }))
    const got = heard.data.flatMap(({ embedding }) => base64 ? [...new Float32Array(Uint8Array.from(Buffer.from(String(embedding), 'base64')).buffer)] : embedding as number[])
    assert.deepEqual(Float32Array.from(got), Float32Array.from(numbers))
  }), { numRuns: runs(20, 1000) })
})

for (const [member, body, info] of [
  ['input', { input: [[1, 2]] }, plain], ['input', { input: [1, 2] }, plain], ['user', { input: 'a', user: 'u' }, plain], ['dimensions', { input: 'a', dimensions: 2 }, plain],
  ['model', { input: 'a' }, describing([tensor('A', 'FP32', [-1])], [vector])], ['model', { input: 'a' }, describing([text], [tensor('OUT', 'BYTES', [-1])])],
  ['input', { input: ['a', 'b'] }, describing([tensor('T', 'BYTES', [1])], [vector])],
] as const) {
  test(`what the model cannot be told is refused by its name: ${member} in ${JSON.stringify(body)}`, async () => {
    const refused = await ask(openAIToV2, embeddings, { model: 'e5', ...body }, info).told
    assert.ok('code' in refused)
    assert.deepEqual([refused.code, refused.param], ['unsupported_translation', member])
  })
}

for (const body of ['{"model":"e5"', '{"model":"e5"}', '{"model":"e5","input":[]}', '{"model":"e5","input":["a",1]}', '{"model":"e5","input":{"a":1}}', '{"input":"a"}', '{"model":"e5","input":"a","encoding_format":"hex"}',
  '{"model":"e5","input":"a","dimensions":0}', '{"model":"e5","input":"a","input":"b"}', '{"model":"e5","input":"\\ud800"}']) {
  test(`no request of embeddings: ${body}`, async () => {
    const refused = await ask(openAIToV2, embeddings, body, plain).told
    assert.ok('code' in refused)
    assert.equal(refused.code, 'invalid_request')
  })
}

test('an answer with other than one list of numbers for each text is none, and an error keeps its status', async () => {
  const asked = () => ask(openAIToV2, embeddings, { model: 'e5', input: ['a', 'b'] }, plain)
  assert.equal((await hear(asked(), answer([1, 2, 3], [1, 3]))).refused?.code, 'upstream_protocol')
  assert.equal((await hear(asked(), answer([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]))).refused?.code, 'upstream_protocol')
  assert.equal((await hear(asked(), { chunks: ['{"outputs":[{"name":"EMB","datatype":"FP32","shape":[2,1],"data":[NaN,1]}]}'] })).refused?.code, 'upstream_protocol')
  const heard = await hear(asked(), { status: 404, chunks: ['{"error":"Request for unknown model: \'e5\' is not found"}'] })
  assert.deepEqual([heard.status, jsonOf(heard).error?.message], [404, "Request for unknown model: 'e5' is not found"])
  assert.equal((await hear(ask(openAIToV2, embeddings, { model: 'e5', input: ['a'] }, plain), answer([1, 2, 3], [3]))).status, 200)
})

test('a server of V1 gets an instance for each text', async () => {
  const asked = ask(openAIToV1, embeddings, { model: 'e5', input: ['a', 'b'] })
  assert.deepEqual(await said(asked), { path: '/v1/models/e5:predict', body: { instances: ['a', 'b'] } })
  assert.deepEqual(jsonOf(await hear(asked, { chunks: ['{"predictions":[[0.5,1.5],[2.5,3]]}'] })).data.map(({ embedding }) => embedding), [[0.5, 1.5], [2.5, 3]])
})

test('callers of V2 and V1 have their texts embedded by a server of the OpenAI API, whatever order and form it answers in', async () => {
  const inputs = [{ name: 'input', datatype: 'BYTES', shape: [2], data: ['a', 'b"'] }]
  const asked = ask(v2ToOpenAI, '/v2/models/e5/infer', { id: 'i1', inputs, outputs: [{ name: 'embedding' }, { name: 'num_input_tokens' }], parameters: { dimensions: 2 } })
  assert.deepEqual(await said(asked), { path: '/v1/embeddings', body: { model: 'e5', encoding_format: 'base64', dimensions: 2, input: ['a', 'b"'] } })
  const base64 = Buffer.from(Float32Array.of(0.5, 1).buffer).toString('base64')
  const data = [{ index: 1, embedding: [2, 3] }, { index: 0, embedding: base64 }]
  const heard = JSON.parse((await hear(asked, { chunks: [JSON.stringify({ data, usage: { prompt_tokens: 7, total_tokens: 7 } })] })).pieces.join('')) as object
  assert.deepEqual(heard, {
    id: 'i1', model_name: 'e5',
    outputs: [{ name: 'embedding', datatype: 'FP32', shape: [2, 2], data: [0.5, 1, 2, 3] }, { name: 'num_input_tokens', datatype: 'UINT32', shape: [1], data: [7] }],
  })
  assert.deepEqual(asked.generated.usage, { inputTokens: 7, outputTokens: 0 })
  const rows = ask(v1ToOpenAI, '/v1/models/e5:predict', { instances: [{ input: 'a' }, { input: 'b' }] })
  assert.deepEqual(await said(rows), { path: '/v1/embeddings', body: { model: 'e5', encoding_format: 'base64', input: ['a', 'b'] } })
  assert.equal((await hear(rows, { chunks: [JSON.stringify({ data })] })).pieces.join(''), '{"predictions":[[0.5,1.0],[2.0,3.0]]}')
})

test('no answer whatever makes it throw', async () => {
  await fc.assert(fc.asyncProperty(fc.oneof(fc.json(), fc.jsonValue().map((data) => JSON.stringify({ data })), fc.jsonValue().map((embedding) => JSON.stringify({ data: [{ embedding }, { index: '__proto__', embedding }] }))), async (chunk) => {
    const heard = await hear(ask(v2ToOpenAI, '/v2/models/e5/infer', { inputs: [{ name: 'input', datatype: 'BYTES', shape: [2], data: ['a', 'b'] }] }), { chunks: [chunk] })
    assert.ok(heard.refused !== undefined || heard.trailers !== undefined)
  }), { numRuns: runs(50, 2000) })
})
