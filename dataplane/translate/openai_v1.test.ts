import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ask, hear, said } from '../../test/dataplane/translation.ts'
import { openAIToV1 } from './openai_v1.ts'

const completions = '/v1/completions'

test('each prompt is an instance, with the parameters of sampling beside it', async () => {
  assert.deepEqual(await said(ask(openAIToV1, completions, { model: 'lm', prompt: ['a', 'b'], max_tokens: 3, stop: ['x', 'y'] })), {
    path: '/v1/models/lm:predict', body: { instances: [{ prompt: 'a', max_tokens: 3, stop: ['x', 'y'] }, { prompt: 'b', max_tokens: 3, stop: ['x', 'y'] }] },
  })
  const chat = await said(ask(openAIToV1, '/v1/chat/completions', { model: 'lm', messages: [{ role: 'user', content: 'hi' }] }, { model: { name: 'big' } }))
  assert.deepEqual(chat, { path: '/v1/models/big:predict', body: { instances: [{ prompt: 'user: hi\nassistant:' }] } })
})

for (const [member, body] of [['stream', { prompt: 'a', stream: true }], ['echo', { prompt: 'a', echo: true }], ['n', { prompt: 'a', n: 2 }]] as const) {
  test(`what V1 has no word for is refused by its name: ${member}`, async () => {
    const refused = await ask(openAIToV1, completions, { model: 'lm', ...body }).told
    assert.ok('code' in refused)
    assert.deepEqual([refused.code, refused.param], ['unsupported_translation', member])
  })
}

test('predictions are choices, whatever the server calls their text', async () => {
  const predictions = ['one', { text: 'two', finish_reason: 'length' }, { generated_text: 'three' }]
  const heard = await hear(ask(openAIToV1, completions, { model: 'lm', prompt: ['a', 'b', 'c'] }), { chunks: [JSON.stringify({ predictions })] })
  const { choices } = JSON.parse(heard.pieces.join('')) as { choices: { index: number; text: string; finish_reason: string }[] }
  assert.deepEqual(choices.map(({ index, text, finish_reason }) => [index, text, finish_reason]), [[0, 'one', 'stop'], [1, 'two', 'length'], [2, 'three', 'stop']])
})

test('an error keeps its status, and predictions that are no texts are no answer', async () => {
  const asked = () => ask(openAIToV1, completions, { model: 'lm', prompt: 'a' })
  const heard = await hear(asked(), { status: 404, chunks: ['{"error":"Model with name lm does not exist."}'] })
  assert.deepEqual([heard.status, (JSON.parse(heard.pieces.join('')) as { error: { message: string } }).error.message], [404, 'Model with name lm does not exist.'])
  await fc.assert(fc.asyncProperty(fc.oneof(fc.json(), fc.string(), fc.jsonValue().map((one) => JSON.stringify({ predictions: one }))), async (text) => {
    const { refused, trailers } = await hear(asked(), { chunks: [text] })
    assert.ok(refused !== undefined || trailers !== undefined)
  }), { numRuns: 200 })
  assert.equal((await hear(asked(), { chunks: ['{"predictions":[[0.1,0.9]]}'] })).refused?.code, 'upstream_protocol')
})
