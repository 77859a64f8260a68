import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, eventsOf, hear, said } from '../../../test/dataplane/translation.ts'
import { readMessage } from '../../tensors/grpc_message.ts'
import { openAIToGrpc } from '../openai_grpc.ts'
import { openAIToV1 } from '../openai_v1.ts'
import { openAIToV2 } from '../openai_v2.ts'
import { v2ToOpenAI } from '../v2_openai.ts'

/** More than is read without another thread. */
const long = 'the "cat"\n'.repeat(30_000)

test('a large request is put as a small one is, whoever asks and whoever is asked', async () => {
  const chat = ask(openAIToV2, '/v1/chat/completions', { model: 'lm', messages: [{ role: 'user', content: long }], stream: true, max_tokens: 2, stop: ['x'] }, { countsTokens: true, model: { name: 'big' } })
  assert.deepEqual(await said(chat), {
    path: '/v2/models/big/generate_stream',
    body: {
      text_input: `user: ${long}\nassistant:`,
      parameters: { max_tokens: 2, stop: 'x', stream: true, exclude_input_in_output: true, return_finish_reason: true, return_num_input_tokens: true, return_num_output_tokens: true },
    },
  })
  const heard = await hear(chat, { headers: ['content-type', 'text/event-stream'], chunks: ['data: {"text_output":"a","num_input_tokens":7,"num_output_tokens":1}\n\n'] })
  assert.equal(eventsOf(heard).at(-1), '[DONE]')
  assert.ok(!heard.pieces.join('').includes('usage'))
  assert.deepEqual(chat.generated, { pieces: 1, usage: { inputTokens: 7, outputTokens: 1 } })
  assert.deepEqual(await said(ask(openAIToV1, '/v1/completions', { model: 'lm', prompt: ['a', long] })), { path: '/v1/models/lm:predict', body: { instances: [{ prompt: 'a' }, { prompt: long }] } })
  assert.deepEqual(await said(ask(v2ToOpenAI, '/v2/models/lm/generate', { text_input: long, parameters: { max_tokens: 3 } })), { path: '/v1/completions', body: { model: 'lm', prompt: long, max_tokens: 3 } })
})

test('a large prompt is an input of a server of gRPC', async () => {
  const told = await ask(openAIToGrpc, '/v1/completions', { model: 'lm', prompt: long }).told
  assert.ok('path' in told)
  const message = readMessage('inputs', Buffer.concat(told.body ?? []).subarray(5))
  assert.ok('tensors' in message)
  assert.equal(message.tensors[0]?.data?.subarray(4).toString(), long)
})

test('what is wrong with a large request is told as with a small one', async () => {
  for (const [body, code, param] of [[{ model: 'lm', prompt: long, n: 2 }, 'unsupported_translation', 'n'], [{ model: 'lm', prompt: [long, 7] }, 'unsupported_translation', 'prompt'], [{ prompt: long }, 'invalid_request', 'model']] as const) {
    const refused = await ask(openAIToV2, '/v1/completions', body).told
    assert.ok('code' in refused)
    assert.deepEqual([refused.code, refused.param], [code, param])
  }
})

test('a model that is asked by an inference is so for a large request too', async () => {
  const metadata = Buffer.from(JSON.stringify({ name: 't5', inputs: [{ name: 'prompt', datatype: 'BYTES', shape: [-1] }], outputs: [{ name: 'text', datatype: 'BYTES', shape: [-1] }] }))
  const asked = ask(openAIToV2, '/v1/completions', { model: 't5', prompt: [long, 'b'] }, { call: () => Promise.resolve({ status: 200, headers: [], body: metadata, trailers: [] }) })
  assert.deepEqual(await said(asked), { path: '/v2/models/t5/infer', body: { inputs: [{ name: 'prompt', shape: [2], datatype: 'BYTES', data: [long, 'b'] }], outputs: [{ name: 'text' }] } })
})
