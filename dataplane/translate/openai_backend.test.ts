import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, hear, said, type Answered } from '../../test/dataplane/translation.ts'
import { framed, onlyMessage } from '../protocols/grpc_frames.ts'
import { readMessage, writeMessage } from '../tensors/grpc_message.ts'
import { noParameters, type Infer } from '../tensors/tensor.ts'
import { grpcToOpenAI } from './grpc_openai.ts'
import { openAIToGrpc } from './openai_grpc.ts'
import { openAIToV1 } from './openai_v1.ts'
import { openAIToV2 } from './openai_v2.ts'
import { v1ToOpenAI } from './v1_openai.ts'
import { v2ToOpenAI } from './v2_openai.ts'
import type { Translation } from './translation.ts'

const bytes = (name: string, ...data: string[]) => ({ name, datatype: 'BYTES', shape: [data.length], data })
const completion = (...texts: string[]): Answered => ({
  chunks: [JSON.stringify({ choices: texts.map((text, index) => ({ index, text, finish_reason: 'length' })), usage: { prompt_tokens: 4, completion_tokens: 6, total_tokens: 10 } })],
})
const bodyOf = async (asked: ReturnType<typeof ask>, answer: Answered): Promise<unknown> => JSON.parse((await hear(asked, answer)).pieces.join(''))

test('an inference whose BYTES are called a prompt is a completion, with what stands beside it as parameters of sampling', async () => {
  const inputs = [
    bytes('text_input', 'one', 'two'), { name: 'stream', datatype: 'BOOL', shape: [1], data: [false] }, { name: 'sampling_parameters', datatype: 'BYTES', shape: [1], data: ['{"top_p":0.5}'] },
    { name: 'max_tokens', datatype: 'INT32', shape: [1], data: [5] }, { name: 'return_num_output_tokens', datatype: 'BOOL', shape: [1], data: [true] }, bytes('stop', 'x', 'x'),
  ]
  const asked = ask(v2ToOpenAI, '/v2/models/lm/infer', { id: 'i1', inputs, parameters: { temperature: 0.5 } })
  assert.deepEqual(await said(asked), { path: '/v1/completions', body: { model: 'lm', prompt: ['one', 'two'], temperature: 0.5, top_p: 0.5, max_tokens: 5, stop: ['x'] } })
  assert.deepEqual(await bodyOf(asked, completion(' a', ' b')), {
    id: 'i1', model_name: 'lm',
    outputs: [bytes('text_output', ' a', ' b'), { name: 'num_input_tokens', datatype: 'UINT32', shape: [1], data: [4] }, { name: 'num_output_tokens', datatype: 'UINT32', shape: [1], data: [6] }]
      .map(({ name, datatype, shape, data }) => ({ name, datatype, shape, data })),
  })
  assert.deepEqual(asked.generated.usage, { inputTokens: 4, outputTokens: 6 })
})

test('instances of V1 are prompts, with the same parameters of sampling for all', async () => {
  const asked = ask(v1ToOpenAI, '/v1/models/lm:predict', { instances: [{ prompt: 'a', max_tokens: 3 }, { prompt: 'b', max_tokens: 3 }] })
  assert.deepEqual(await said(asked), { path: '/v1/completions', body: { model: 'lm', prompt: ['a', 'b'], max_tokens: 3 } })
  assert.deepEqual(await bodyOf(asked, completion(' A', ' B')), { predictions: [' A', ' B'] })
  assert.deepEqual(await said(ask(v1ToOpenAI, '/v1/models/lm:predict', { instances: ['a'] }, { model: { name: 'big' } })), { path: '/v1/completions', body: { model: 'big', prompt: 'a' } })
})

test('a message of gRPC is answered as one', async () => {
  const tensor = { name: 'text_input', datatype: 'BYTES', shape: [1], parameters: noParameters, data: Buffer.from('\x03\0\0\0one') }
  const infer: Infer = { model: 'lm', version: '', id: 'g', parameters: new Map([['max_tokens', 5n]]), tensors: [tensor], outputs: [{ name: 'finish_reason', parameters: noParameters }] }
  const asked = ask(grpcToOpenAI, '/inference.GRPCInferenceService/ModelInfer', framed(...writeMessage('inputs', infer).pieces))
  assert.deepEqual(await said(asked), { path: '/v1/completions', body: { model: 'lm', prompt: 'one', max_tokens: 5 } })
  const heard = await hear(asked, completion(' two'))
  assert.deepEqual(heard.trailers, ['grpc-status', '0'])
  const message = readMessage('outputs', onlyMessage(Buffer.from(heard.pieces.join(''), 'utf8')) ?? Buffer.alloc(0))
  assert.ok('tensors' in message)
  assert.deepEqual(message.tensors.map(({ name, data }) => [name, data?.toString()]), [['finish_reason', '\x06\0\0\0length']])
})

for (const [why, translation, path, body] of [
  ['image', v2ToOpenAI, '/v2/models/m/infer', { inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }] }],
  ['an unknown parameter', v2ToOpenAI, '/v2/models/m/infer', { inputs: [bytes('text_input', 'a')], parameters: { priority: 1 } }],
  ['an unknown input', v2ToOpenAI, '/v2/models/m/infer', { inputs: [bytes('text_input', 'a'), bytes('image', 'a')] }],
  ['an unknown output', v2ToOpenAI, '/v2/models/m/infer', { inputs: [bytes('text_input', 'a')], outputs: [{ name: 'logits' }] }],
  ['a version', v2ToOpenAI, '/v2/models/m/versions/3/infer', { inputs: [bytes('text_input', 'a')] }],
  ['two lengths', v1ToOpenAI, '/v1/models/m:predict', { instances: [{ prompt: 'a', max_tokens: 1 }, { prompt: 'b', max_tokens: 2 }] }],
  ['an embedding with sampling', v2ToOpenAI, '/v2/models/m/infer', { inputs: [bytes('input', 'a')], parameters: { max_tokens: 1 } }],
] as const) {
  test(`what the OpenAI API has no word for is refused: ${why}`, async () => {
    const refused = await ask(translation, path, body).told
    assert.ok('code' in refused)
    assert.equal(refused.code, 'unsupported_translation')
  })
}

const models = { chunks: ['{"object":"list","data":[{"id":"lm","object":"model"},{"id":"e5"}]}'] }

for (const [translation, path, status, body] of [
  [v2ToOpenAI, '/v2/health/ready', 200, { ready: true }], [v2ToOpenAI, '/v2/models/lm/ready', 200, { name: 'lm', ready: true }],
  [v2ToOpenAI, '/v2/models/no/ready', 404, { error: 'The backend has no model "no".' }],
  [v2ToOpenAI, '/v2', 200, { name: 'openai', version: '', extensions: [] }],
  [v1ToOpenAI, '/v1/models/lm', 200, { name: 'lm', ready: true, id: 'lm', object: 'model', created: 0, owned_by: '' }],
  [v1ToOpenAI, '/v1/models/no', 404, { error: 'The backend has no model "no".' }],
] as const) {
  test(`what is asked of a server of the OpenAI API beside inferences is read in its list of models: ${path}`, async () => {
    const asked = ask(translation, path, '', { method: 'GET' })
    const told = await asked.told
    assert.ok('path' in told)
    assert.deepEqual([told.method, told.path], ['GET', '/v1/models'])
    const heard = await hear(asked, models)
    assert.deepEqual([heard.status, heard.pieces.length > 0 ? JSON.parse(heard.pieces.join('')) as unknown : undefined], [status, body])
  })
}

test('models are listed for callers of V2, all of them or those that are ready', async () => {
  assert.deepEqual(await bodyOf(ask(v2ToOpenAI, '/v2/repository/index', { ready: true }), models), [{ name: 'lm', state: 'READY' }, { name: 'e5', state: 'READY' }])
})

const index = Buffer.from([0x0a, 14, 0x0a, 2, 0x6c, 0x6d, 0x12, 1, 0x31, 0x1a, 5, ...Buffer.from('READY'), 0x0a, 17, 0x0a, 2, 0x65, 0x35, 0x1a, 11, ...Buffer.from('UNAVAILABLE')])
for (const [translation, method, path, answer] of [
  [openAIToV2, 'POST', '/v2/repository/index', { chunks: ['[{"name":"lm","version":"1","state":"READY"},{"name":"lm","version":"2","state":"READY"},{"name":"broken","state":"UNAVAILABLE","reason":"no"}]'] }],
  [openAIToV1, 'GET', '/v1/models', { chunks: ['{"models":["lm"]}'] }],
  [openAIToGrpc, 'POST', '/inference.GRPCInferenceService/RepositoryIndex', { headers: ['content-type', 'application/grpc'], chunks: [framed(index)], trailers: ['grpc-status', '0'] }],
] satisfies readonly (readonly [Translation, string, string, Answered])[]) {
  test(`models that are ready are listed for callers of the OpenAI API by ${path}`, async () => {
    const asked = ask(translation, '/v1/models', '', { method: 'GET' })
    const told = await asked.told
    assert.ok('path' in told)
    assert.deepEqual([told.method, told.path], [method, path])
    assert.deepEqual(await bodyOf(asked, answer), { object: 'list', data: [{ id: 'lm', object: 'model', created: 0, owned_by: '' }], models: ['lm'] })
  })
}

test('one model is there for callers of the OpenAI API, or is not', async () => {
  const asked = ask(openAIToV2, '/openai/v1/models/lm', '', { method: 'GET' })
  assert.deepEqual(await bodyOf(asked, { chunks: [] }), { id: 'lm', object: 'model', created: 0, owned_by: '' })
  assert.equal((await hear(asked, { status: 400, chunks: ['{"error":"Model version not ready"}'] })).status, 400)

})
