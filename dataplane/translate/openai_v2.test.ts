import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ask, cutAt, eventsOf, hear, said } from '../../test/dataplane/translation.ts'
import { openAIToV2 } from './openai_v2.ts'

const completions = '/v1/completions'
const chat = '/v1/chat/completions'
const sse = ['content-type', 'text/event-stream; charset=utf-8']
const say = (path: string, body: object, more = {}) => said(ask(openAIToV2, path, { model: 'lm', ...body }, more))

/** As Triton 2.51 wrote them. */
const words = ['one', 'two', 'three'].map((word) => `data: {"id":"g1","model_name":"lm","model_version":"1","text_output":"${word}"}\n\n`)
/** As its backend for vLLM writes them: tokens of each piece, and Python's word for nothing. */
const told = [
  'data: {"finish_reason":"None","model_name":"lm","model_version":"1","num_input_tokens":4,"num_output_tokens":1,"text_output":" a"}\n\n',
  'data: {"finish_reason":"length","model_name":"lm","model_version":"1","num_input_tokens":4,"num_output_tokens":2,"text_output":" b c"}\n\n',
]

test('a completion is asked of generate_stream, with the parameters that vLLM knows by the same names', async () => {
  assert.deepEqual(await say(completions, { prompt: 'one two', max_tokens: 3, temperature: 0.5, top_p: 1, seed: 7, stop: ['x'], presence_penalty: 0, n: 1, logprobs: null, stream: true }), {
    path: '/v2/models/lm/generate_stream',
    body: {
      text_input: 'one two',
      parameters: { max_tokens: 3, temperature: 0.5, top_p: 1, seed: 7, stop: 'x', presence_penalty: 0, stream: true, exclude_input_in_output: true, return_finish_reason: true },
    },
  })
})

test('the model is the one of the variant, where that says another', async () => {
  const one = await say('/openai/v1/completions', { prompt: 'a' }, { model: { name: 'big', version: '3' } })
  assert.ok('path' in one)
  assert.equal(one.path, '/v2/models/big/versions/3/generate_stream')
})

test('a chat is written as plain text, one line a message', async () => {
  const messages = [
    { role: 'developer', content: 'be brief' }, { role: 'user', content: [{ type: 'text', text: 'hello' }, { type: 'text', text: 'the cat' }], name: null },
    { role: 'assistant', content: 'yes', refusal: null }, { role: 'user', content: 'more' },
  ]
  const one = await say(chat, { messages, max_completion_tokens: 9, response_format: { type: 'text' }, tools: [] })
  assert.ok('body' in one)
  assert.deepEqual(one.body, {
    text_input: 'system: be brief\nuser: hello\nthe cat\nassistant: yes\nuser: more\nassistant:',
    parameters: { max_tokens: 9, exclude_input_in_output: true, return_finish_reason: true, return_num_input_tokens: true, return_num_output_tokens: true },
  })
})

const hello = [{ role: 'user', content: 'hi' }]
for (const [path, member, body] of [
  [completions, 'n', { prompt: 'a', n: 2 }],
  [completions, 'best_of', { prompt: 'a', best_of: 3 }],
  [completions, 'prompt', { prompt: ['a', 'b'] }],
  [completions, 'prompt', { prompt: [1, 2, 3] }],
  [completions, 'suffix', { prompt: 'a', suffix: 'z' }],
  [completions, 'logprobs', { prompt: 'a', logprobs: 0 }],
  [completions, 'logit_bias', { prompt: 'a', logit_bias: { 50256: -100 } }],
  [completions, 'stop', { prompt: 'a', stop: ['x', 'y'] }],
  [completions, 'user', { prompt: 'a', user: 'u1' }],
  [completions, '__proto__', JSON.parse('{"prompt":"a","__proto__":{"n":1}}') as object],
  [chat, 'tools', { messages: hello, tools: [{ type: 'function', function: { name: 'f' } }] }],
  [chat, 'logprobs', { messages: hello, logprobs: true }],
  [chat, 'response_format', { messages: hello, response_format: { type: 'json_object' } }],
  [chat, 'modalities', { messages: hello, modalities: ['text', 'audio'] }],
  [chat, 'stream_options', { messages: hello, stream: true, stream_options: { include_obfuscation: true } }],
  [chat, '/messages/0/role', { messages: [{ role: 'tool', content: 'x', tool_call_id: 'c' }] }],
  [chat, '/messages/1/tool_calls', { messages: [...hello, { role: 'assistant', content: null, tool_calls: [{ id: 'c' }] }] }],
  [chat, '/messages/0/content/1', { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }] }] }],
  [chat, '/messages/0/name', { messages: [{ role: 'user', content: 'x', name: 'bob' }] }],
] as const) {
  test(`what the backend cannot be told is refused by its name: ${member} in ${JSON.stringify(body)}`, async () => {
    const refused = await say(path, body)
    assert.ok('code' in refused)
    assert.deepEqual([refused.code, refused.param], ['unsupported_translation', member])
    assert.match(refused.detail, new RegExp(`^${member}: `))
  })
}

for (const [why, path, body] of [
  ['is no JSON', completions, '{"model"'], ['names a member twice', completions, '{"prompt":"a","prompt":"b"}'], ['has no prompt', completions, '{"model":"lm"}'],
  ['has no model', completions, '{"prompt":"a"}'], ['counts in text', completions, '{"model":"lm","prompt":"a","max_tokens":"7"}'],
  ['counts below nothing', completions, '{"model":"lm","prompt":"a","max_tokens":-1}'], ['says two lengths', chat, '{"model":"lm","messages":[{"role":"user","content":"a"}],"max_tokens":1,"max_completion_tokens":2}'],
  ['has no messages', chat, '{"model":"lm"}'], ['has messages that are none', chat, '{"model":"lm","messages":["a"]}'], ['streams maybe', chat, '{"model":"lm","messages":[{"role":"user","content":"a"}],"stream":"yes"}'],
] as const) {
  test(`a request that ${why} is not valid`, async () => {
    const refused = await ask(openAIToV2, path, body).told
    assert.ok('code' in refused)
    assert.equal(refused.code, 'invalid_request')
  })
}

test('a stream is given on piece by piece, and ends as streams of the API do, however it is cut', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.nat(), { maxLength: 6 }), async (cuts) => {
    const heard = await hear(ask(openAIToV2, completions, { model: 'lm', prompt: 'x', stream: true }), { headers: sse, chunks: cutAt(Buffer.from(words.join('')), cuts) })
    assert.equal(heard.status, 200)
    assert.equal(heard.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    const events = eventsOf(heard)
    assert.equal(events.at(-1), '[DONE]')
    const chunks = events.slice(0, -1) as { id: string; object: string; model: string; choices: { index: number; text: string; finish_reason: string | null }[] }[]
    assert.deepEqual(chunks.map(({ choices: [choice] }) => [choice?.index, choice?.text, choice?.finish_reason]), [[0, 'one', null], [0, 'two', null], [0, 'three', null], [0, '', 'stop']])
    assert.deepEqual(new Set(chunks.map(({ id, object, model }) => [id, object, model].join())), new Set(['cmpl-r1,text_completion,lm']))
  }), { numRuns: 50 })
})

test('each piece goes out when it has come, and none waits for the next', async () => {
  const heard = await hear(ask(openAIToV2, completions, { model: 'lm', prompt: 'x', stream: true }), { headers: sse, chunks: words })
  assert.equal(heard.pieces.length, 3 + 2)
})

test('a chat streams its role first, why it ends, and what it took where that is asked for', async () => {
  const body = { model: 'lm', messages: hello, stream: true, stream_options: { include_usage: true } }
  const events = eventsOf(await hear(ask(openAIToV2, chat, body), { headers: sse, chunks: told })) as { object: string; choices: { delta: object; finish_reason: string | null }[]; usage: unknown }[]
  assert.deepEqual(events.slice(0, -1).map(({ choices, usage }) => [choices[0]?.delta, choices[0]?.finish_reason, usage]), [
    [{ role: 'assistant', content: '' }, null, null], [{ content: ' a' }, null, null], [{ content: ' b c' }, null, null], [{}, 'length', null],
    [undefined, undefined, { prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 }],
  ])
  assert.equal(events[0]?.object, 'chat.completion.chunk')
})

test('an answer that is wanted whole is put together of the pieces', async () => {
  const { status, pieces } = await hear(ask(openAIToV2, chat, { model: 'lm', messages: hello }), { headers: sse, chunks: told })
  const { created, ...rest } = JSON.parse(pieces.join('')) as { created: number }
  assert.equal(status, 200)
  assert.ok(Math.abs(created - Date.now() / 1000) < 60)
  assert.deepEqual(rest, {
    id: 'chatcmpl-r1', object: 'chat.completion', model: 'lm', usage: { prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 },
    choices: [{ index: 0, message: { role: 'assistant', content: ' a b c', refusal: null }, logprobs: null, finish_reason: 'length' }],
  })
  const silent = await hear(ask(openAIToV2, completions, { model: 'lm', prompt: 'x' }), { headers: sse, chunks: words })
  const { usage, choices } = JSON.parse(silent.pieces.join('')) as { usage?: unknown; choices: unknown }
  assert.deepEqual([usage, choices], [undefined, [{ index: 0, text: 'onetwothree', logprobs: null, finish_reason: 'stop' }]])
})

test('who counts tokens is told of them, and the caller who did not ask is not', async () => {
  const asked = ask(openAIToV2, completions, { model: 'lm', prompt: 'x', stream: true }, { countsTokens: true })
  const one = await said(asked)
  assert.ok('body' in one)
  assert.equal((one.body as { parameters: { return_num_output_tokens: unknown } }).parameters.return_num_output_tokens, true)
  const heard = await hear(asked, { headers: sse, chunks: told })
  assert.ok(!heard.pieces.join('').includes('usage'))
  assert.deepEqual(asked.generated, { pieces: 2, usage: { inputTokens: 4, outputTokens: 3 } })
})

for (const stream of [true, false]) {
  test(`an error is told by its status, in the form of the API, before anything else was (${stream ? 'stream' : 'whole'})`, async () => {
    for (const { status, headers, chunks, message } of [
      { status: 404, headers: ['content-type', 'application/json'], chunks: ['{"error":"Request for unknown', ' model: \'nope\' is not found"}'], message: "Request for unknown model: 'nope' is not found" },
      { status: 400, headers: sse, chunks: ['data: {"error":"model says no"}\n\n'], message: 'model says no' },
      { status: 500, headers: ['content-type', 'text/plain'], chunks: ['Internal Server Error'], message: 'Internal Server Error' },
    ]) {
      const heard = await hear(ask(openAIToV2, chat, { model: 'lm', messages: hello, stream }), { status, headers, chunks })
      assert.deepEqual([heard.status, heard.headers.get('content-type')], [status, 'application/json'])
      assert.deepEqual(JSON.parse(heard.pieces.join('')), { error: { message, type: status < 500 ? 'invalid_request_error' : 'server_error', param: null, code: null } })
    }
  })
}

test('an error after the first piece is an event of its own, and the stream does not end as if it were whole', async () => {
  const heard = await hear(ask(openAIToV2, completions, { model: 'lm', prompt: 'x', stream: true }), { headers: sse, chunks: [words[0] ?? '', 'data: {"error":"model says no"}\n\n'] })
  const events = eventsOf(heard)
  assert.deepEqual(events.slice(1), [{ error: { message: 'model says no', type: 'server_error', param: null, code: null } }])
  const whole = await hear(ask(openAIToV2, completions, { model: 'lm', prompt: 'x' }), { headers: sse, chunks: [words[0] ?? '', 'data: {"error":"model says no"}\n\n'] })
  assert.equal(whole.status, 500)
})

test('a backend that breaks off, packs its stream, leads elsewhere or talks nonsense is not taken for one that answers', async () => {
  const asked = () => ask(openAIToV2, completions, { model: 'lm', prompt: 'x', stream: true })
  assert.equal((await hear(asked(), { headers: sse, chunks: [words[0] ?? '', new Error('gone')] })).error?.message, 'gone')
  for (const answer of [
    { headers: [...sse, 'content-encoding', 'gzip'], chunks: [] }, { status: 307, chunks: [] }, { headers: sse, chunks: ['data: {"text_output":7}\n\n'] }, { headers: sse, chunks: ['data: not JSON\n\n'] },
    { headers: sse, chunks: Array.from({ length: 40 }, () => 'x'.repeat(65_536)) },
  ]) assert.equal((await hear(asked(), answer)).refused?.code, 'upstream_protocol')
})

test('no answer whatever makes it throw', async () => {
  const event = fc.oneof(fc.json(), fc.constantFrom(...words, ...told, '[DONE]', '{"text_output":["a"],"num_output_tokens":[1]}', '{"error":{}}', '{"__proto__":{"text_output":"x"}}')).map((data) => `data: ${data}\n\n`)
  await fc.assert(fc.asyncProperty(fc.array(fc.oneof(event, fc.string()), { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 4 }), fc.boolean(), fc.constantFrom(200, 204, 400, 503), async (parts, cuts, stream, status) => {
    const heard = await hear(ask(openAIToV2, chat, { model: 'lm', messages: hello, stream }), { status, headers: sse, chunks: cutAt(Buffer.from(parts.join('')), cuts) })
    assert.ok(heard.refused !== undefined || heard.trailers !== undefined)
  }), { numRuns: 300 })
})
