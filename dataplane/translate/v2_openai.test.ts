import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ask, cutAt, eventsOf, hear, said } from '../../test/dataplane/translation.ts'
import { v2ToOpenAI } from './v2_openai.ts'

const generate = '/v2/models/tiny/generate'
const stream = '/v2/models/tiny/generate_stream'
const sse = ['Content-Type', 'text/event-stream']
const say = (path: string, body: object, more = {}) => said(ask(v2ToOpenAI, path, body, more))

/** As llama.cpp wrote them. */
const chunk = (text: string, finish: string | null, more = '') =>
  `data: {"choices":[{"text":"${text}","index":0,"logprobs":null,"finish_reason":${finish === null ? 'null' : `"${finish}"`}}],"created":1795218893,"model":"tiny-random","system_fingerprint":"b0-unknown","object":"text_completion"${more},"id":"chatcmpl-MG4RhrsVOj3NmMgA92tozstxivv89XLz"}\n\n`
const usage = ',"usage":{"completion_tokens":3,"prompt_tokens":3,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":2}}'
const words = [chunk(' the', null), chunk(' sea', null), chunk(' on', null), chunk('', 'length', usage), 'data: [DONE]\n\n']
const whole = `{"choices":[{"text":" four is gate three for","index":0,"logprobs":null,"finish_reason":"length"}],"created":1795218893,"model":"tiny-random","system_fingerprint":"b0-unknown","object":"text_completion","usage":{"completion_tokens":5,"prompt_tokens":3,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":1}},"id":"chatcmpl-bStSPm86O17fHrx6g64ET3PAYoAuzt3a"}`

test('generate is asked of completions, wherever its parameters stand', async () => {
  const expected = { path: '/v1/completions', body: { model: 'tiny', prompt: 'the cat', max_tokens: 5, temperature: 0, stop: ['x'] } }
  assert.deepEqual(await say(generate, { text_input: 'the cat', max_tokens: 5, temperature: 0, stop: 'x' }), expected)
  assert.deepEqual(await say(generate, { text_input: 'the cat', parameters: { max_tokens: 5, temperature: 0, stop_words: ['x'], stream: false, bad: null } }), expected)
  assert.deepEqual(await say(generate, { text_input: 'the cat', sampling_parameters: '{"max_tokens":5,"temperature":0,"stop":["x"]}' }), expected)
})

test('generate_stream streams, and asks for what it took only where that is wanted', async () => {
  const body = { text_input: 'a', parameters: { stream: true, exclude_input_in_output: true } }
  assert.deepEqual(await say(stream, body, { model: { name: 'big' } }), { path: '/v1/completions', body: { model: 'big', prompt: 'a', stream: true } })
  const counted = await say(stream, body, { countsTokens: true })
  assert.ok('body' in counted)
  assert.deepEqual(counted.body, { model: 'tiny', prompt: 'a', stream: true, stream_options: { include_usage: true } })
  const echoed = await say(generate, { text_input: 'a', exclude_input_in_output: false })
  assert.ok('body' in echoed)
  assert.deepEqual(echoed.body, { model: 'tiny', prompt: 'a', echo: true })
})

for (const [member, path, body] of [
  ['return_logprobs', generate, { text_input: 'a', return_logprobs: true }],
  ['image', generate, { text_input: 'a', image: ['AA=='] }],
  ['lora_name', generate, { text_input: 'a', parameters: { lora_name: 'x' } }],
  ['sampling_parameters/n', generate, { text_input: 'a', parameters: { sampling_parameters: '{"n":2}' } }],
  ['version', '/v2/models/tiny/versions/2/generate', { text_input: 'a' }],
] as const) {
  test(`what completions have no word for is refused by its name: ${member}`, async () => {
    const refused = await say(path, body)
    assert.ok('code' in refused)
    assert.deepEqual([refused.code, refused.param], ['unsupported_translation', member])
  })
}

for (const [why, body] of [
  ['no text', { text_input: ['a'] }], ['a number for an id', { text_input: 'a', id: 7 }], ['parameters that are none', { text_input: 'a', parameters: [] }],
  ['sampling parameters that are no JSON', { text_input: 'a', sampling_parameters: '{' }], ['a wish that is no truth value', { text_input: 'a', stream: 1 }],
] as const) {
  test(`a request with ${why} is not valid`, async () => {
    const refused = await say(generate, body)
    assert.ok('code' in refused)
    assert.equal(refused.code, 'invalid_request')
  })
}

test('a completion is told as generate tells it, with what was asked for beside the text', async () => {
  const plain = await hear(ask(v2ToOpenAI, generate, { id: 'g1', text_input: 'x' }), { chunks: [whole.slice(0, 100), whole.slice(100)] })
  assert.deepEqual([plain.status, JSON.parse(plain.pieces.join(''))], [200, { id: 'g1', model_name: 'tiny', text_output: ' four is gate three for' }])
  const told = await hear(ask(v2ToOpenAI, generate, { text_input: 'x', parameters: { return_finish_reason: true, return_num_output_tokens: true } }), { chunks: [whole] })
  assert.deepEqual(JSON.parse(told.pieces.join('')), { model_name: 'tiny', text_output: ' four is gate three for', finish_reason: 'length', num_input_tokens: 3, num_output_tokens: 5 })
})

test('a stream is told as generate_stream tells it, however it is cut', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.nat(), { maxLength: 6 }), async (cuts) => {
    const asked = ask(v2ToOpenAI, stream, { id: 'g1', text_input: 'x' }, { countsTokens: true })
    const heard = await hear(asked, { headers: sse, chunks: cutAt(Buffer.from(words.join('')), cuts) })
    assert.deepEqual(eventsOf(heard), [' the', ' sea', ' on'].map((text_output) => ({ id: 'g1', model_name: 'tiny', text_output })))
    assert.equal(heard.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    assert.deepEqual(asked.generated.usage, { inputTokens: 3, outputTokens: 3 })
  }), { numRuns: 50 })
  const told = await hear(ask(v2ToOpenAI, stream, { text_input: 'x', return_finish_reason: true, return_num_output_tokens: true }), { headers: sse, chunks: words })
  assert.deepEqual(eventsOf(told).at(-1), { model_name: 'tiny', text_output: '', finish_reason: 'length', num_input_tokens: 3, num_output_tokens: 3 })
  assert.equal(told.pieces.length, 4)
})

test('errors of the API are told as errors of V2', async () => {
  const overflow = '{"error":{"code":400,"message":"request (3019 tokens) exceeds the available context size (1024 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":3019,"n_ctx":1024}}'
  for (const path of [generate, stream]) {
    const heard = await hear(ask(v2ToOpenAI, path, { text_input: 'x' }), { status: 400, chunks: [overflow] })
    assert.deepEqual([heard.status, JSON.parse(heard.pieces.join(''))], [400, { error: 'request (3019 tokens) exceeds the available context size (1024 tokens), try increasing it' }])
  }
  const late = await hear(ask(v2ToOpenAI, stream, { text_input: 'x' }), { headers: sse, chunks: [words[0] ?? '', 'data: {"error":{"message":"slot lost"}}\n\n'] })
  assert.deepEqual(eventsOf(late).at(-1), { error: 'slot lost' })
  const first = await hear(ask(v2ToOpenAI, stream, { text_input: 'x' }), { headers: sse, chunks: ['data: {"error":"slot lost"}\n\n'] })
  assert.equal(first.status, 500)
})

test('a choice that nobody asked for is no answer', async () => {
  const strange = whole.replace('"index":0', '"index":1')
  assert.equal((await hear(ask(v2ToOpenAI, generate, { text_input: 'x' }), { chunks: [strange] })).refused?.code, 'upstream_protocol')
})

test('no request and no answer whatever makes it throw', async () => {
  const value = fc.jsonValue({ maxDepth: 2 })
  const body = fc.record({ text_input: fc.oneof(fc.string(), value), parameters: value, id: value, sampling_parameters: fc.oneof(fc.json(), value), stop: value, max_tokens: value }, { requiredKeys: [] })
  await fc.assert(fc.asyncProperty(fc.oneof(body.map((one) => JSON.stringify(one)), fc.string()), fc.boolean(), fc.oneof(fc.json(), fc.constantFrom(...words, whole)), async (text, streams, answer) => {
    const asked = ask(v2ToOpenAI, streams ? stream : generate, text)
    if ('code' in await asked.told) return
    const heard = await hear(asked, { headers: sse, chunks: [streams ? `data: ${answer}\n\n` : answer] })
    assert.ok(heard.refused !== undefined || heard.trailers !== undefined)
  }), { numRuns: 300 })
})
