import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, hear, said } from '../../../test/dataplane/translation.ts'
import { failure } from '../../pipeline/errors.ts'
import { framed, onlyMessage } from '../../protocols/grpc_frames.ts'
import { MessageWriter } from '../../protocols/protobuf.ts'
import { readMessage, writeMessage } from '../../tensors/grpc_message.ts'
import { noParameters } from '../../tensors/tensor.ts'
import { openAIToGrpc } from '../openai_grpc.ts'
import { openAIToV2 } from '../openai_v2.ts'
import { textsAs } from '../tensors/values.ts'
import type { Asked } from '../translation.ts'

const tensor = (name: string, datatype = 'BYTES', shape = [-1]) => ({ name, datatype, shape })
const describing = (inputs: readonly object[], outputs: readonly object[]): Partial<Asked> => ({
  call: ({ path }) => Promise.resolve(path === '/v2/models/t5' ? { status: 200, headers: [], trailers: [], body: Buffer.from(JSON.stringify({ name: 't5', inputs, outputs })) } : failure('no_endpoints', 'Nobody is there.')),
})
const full = describing([tensor('prompt', 'BYTES', [-1, 1]), tensor('max_tokens', 'INT32', [1])], [tensor('text_output'), tensor('finish_reason'), tensor('num_output_tokens', 'UINT32')])

test('a model of V2 without text_input is asked by an inference: texts in its input of BYTES, parameters by name', async () => {
  const asked = ask(openAIToV2, '/v1/completions', { model: 't5', prompt: ['a', 'b'], max_tokens: 3, temperature: 0.5 }, full)
  assert.deepEqual(await said(asked), {
    path: '/v2/models/t5/infer',
    body: {
      parameters: { temperature: 0.5 }, inputs: [{ name: 'prompt', shape: [2, 1], datatype: 'BYTES', data: ['a', 'b'] }, { name: 'max_tokens', datatype: 'INT32', shape: [1], data: [3] }],
      outputs: [{ name: 'text_output' }, { name: 'finish_reason' }, { name: 'num_output_tokens' }],
    },
  })
  const outputs = [{ ...tensor('text_output', 'BYTES', [2]), data: [' x', ' y'] }, { ...tensor('finish_reason', 'BYTES', [2]), data: ['length', 'stop'] }, { ...tensor('num_output_tokens', 'UINT32', [2]), data: [3, 1] }]
  const heard = JSON.parse((await hear(asked, { chunks: [JSON.stringify({ outputs })] })).pieces.join('')) as { choices: { text: string; finish_reason: string }[]; usage: object }
  assert.deepEqual([heard.choices.map(({ text, finish_reason }) => [text, finish_reason]), heard.usage], [[[' x', 'length'], [' y', 'stop']], { prompt_tokens: 0, completion_tokens: 4, total_tokens: 4 }])
})

test('a server that says nothing of its model is sent text_input, and its only text is the answer', async () => {
  const asked = ask(openAIToV2, '/v1/chat/completions', { model: 't5', messages: [{ role: 'user', content: 'hi' }] }, describing([], []))
  assert.deepEqual(await said(asked), { path: '/v2/models/t5/infer', body: { inputs: [{ name: 'text_input', shape: [1], datatype: 'BYTES', data: ['user: hi\nassistant:'] }] } })
  const { pieces, status } = await hear(asked, { chunks: ['{"outputs":[{"name":"out","datatype":"BYTES","shape":[1],"data":["hello"]}]}'] })
  assert.deepEqual([status, (JSON.parse(pieces.join('')) as { choices: { message: { content: string } }[] }).choices[0]?.message.content], [200, 'hello'])
  assert.equal((await hear(asked, { chunks: ['{"outputs":[]}'] })).refused?.code, 'upstream_protocol')
  assert.equal((await hear(asked, { status: 404, chunks: ['{"error":"no"}'] })).status, 404)
})

for (const [member, body, info] of [
  ['stream', { prompt: 'a', stream: true }, full], ['echo', { prompt: 'a', echo: true }, full], ['stop', { prompt: 'a', stop: ['x', 'y'] }, full],
  ['model', { prompt: 'a' }, describing([tensor('A', 'FP32')], [tensor('text')])], ['model', { prompt: 'a' }, describing([tensor('prompt')], [tensor('B', 'FP32')])], ['prompt', { prompt: ['a', 'b'] }, describing([tensor('prompt', 'BYTES', [1])], [tensor('text')])],
] as const) {
  test(`what such a model cannot be told is refused by its name: ${member} in ${JSON.stringify(body)}`, async () => {
    const refused = await ask(openAIToV2, '/v1/completions', { model: 't5', ...body }, info).told
    assert.ok('code' in refused)
    assert.deepEqual([refused.code, refused.param], ['unsupported_translation', member])
  })
}

test('over gRPC it is an inference too', async () => {
  const metadata = new MessageWriter().text(1, 't5').message(4, new MessageWriter().text(1, 'prompt').text(2, 'BYTES').number(3, 1)).message(5, new MessageWriter().text(1, 'text').text(2, 'BYTES'))
  const asked = ask(openAIToGrpc, '/v1/completions', { model: 't5', prompt: 'a' }, { call: () => Promise.resolve({ status: 200, headers: ['content-type', 'application/grpc'], body: framed(metadata.whole()), trailers: ['grpc-status', '0'] }) })
  const told = await asked.told
  assert.ok('path' in told)
  assert.equal(told.path, '/inference.GRPCInferenceService/ModelInfer')
  const message = readMessage('inputs', onlyMessage(Buffer.concat(told.body ?? [])) ?? Buffer.alloc(0))
  assert.deepEqual('tensors' in message && message.tensors.map(({ name, data }) => [name, data?.toString()]), [['prompt', '\x01\0\0\0a']])
  const answer = framed(...writeMessage('outputs', { model: 't5', version: '', id: '', parameters: noParameters, tensors: [textsAs('text', [1], ['b'])], outputs: [] }).pieces)
  const heard = await hear(asked, { headers: ['content-type', 'application/grpc'], chunks: [answer], trailers: ['grpc-status', '0'] })
  assert.equal((JSON.parse(heard.pieces.join('')) as { choices: { text: string }[] }).choices[0]?.text, 'b')
})
