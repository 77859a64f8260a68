import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { demandOf } from './demand.ts'
import { membersOf } from './json.ts'
import { eventsIn, withoutUsageChunk } from './sse.ts'
import { UsageReader } from './usage.ts'

const chunked = (text: string, cuts: readonly number[]): Buffer[] => {
  const bytes = Buffer.from(text)
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end))
}
const read = (text: string, cuts: readonly number[] = []) => {
  const reader = new UsageReader()
  for (const chunk of chunked(text, cuts)) reader.push(chunk)
  return reader.usage()
}
const cuts = fc.array(fc.nat(), { maxLength: 8 })

const event = (value: unknown, end = '\n\n') => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}${end}`
const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, completion_tokens_details: { reasoning_tokens: 2 } }
const words = (end: string) => ['Grüße', 'a "usage": {} b', '\n\n'].map((content) => event({ choices: [{ delta: { content } }], usage: null }, end))

test('the usage is found in JSON and in streams, however they are cut', () => {
  const texts = [
    JSON.stringify({ id: 'x', choices: [{ message: { content: '"usage": {"prompt_tokens": 1}' } }], usage }),
    JSON.stringify({ usage, data: [[0.1, 0.2]] }),
    words('\n\n').join('') + event({ choices: [], usage }) + event('[DONE]'),
    event({ type: 'response.completed', response: { usage: { input_tokens: 7, output_tokens: 5 } } }),
  ]
  fc.assert(fc.property(fc.constantFrom(...texts), cuts, (text, at) => {
    assert.deepEqual(read(text, at), { inputTokens: 7, outputTokens: 5 })
  }))
})

test('it is found at either end of an answer of any length, and nothing is found where there is none', () => {
  const long = 'x'.repeat(500_000)
  assert.deepEqual(read(JSON.stringify({ choices: [{ text: long }], usage }), [1000, 70_000]), { inputTokens: 7, outputTokens: 5 })
  assert.deepEqual(read(JSON.stringify({ usage, choices: [{ text: long }] }), [10, 400_000]), { inputTokens: 7, outputTokens: 5 })
  for (const text of ['', '{}', '{"usage":null}', '{"usage":{"prompt_tokens":"7"}}', '{"usage":{"completion_tokens":-1}}', JSON.stringify({ text: '"usage":{"prompt_tokens":1}' })]) {
    assert.equal(read(text), undefined, text)
  }
})

test('what generate_stream counts of each event alone is added up, however long the stream is and however it is cut', () => {
  const events = (count: number, more = '') => Array.from({ length: count }, (_, i) =>
    event(`{"model_name":"lm","num_input_tokens":7,"num_output_tokens":${(i % 12) + 1},"text_output":" \\"num_output_tokens\\": 9,${more}"}`)).join('')
  const total = (count: number) => Array.from({ length: count }, (_, i) => (i % 12) + 1).reduce((sum, one) => sum + one, 0)
  fc.assert(fc.property(cuts, (at) => {
    assert.deepEqual(read(events(5), at), { inputTokens: 7, outputTokens: total(5) })
  }))
  const bytes = Buffer.byteLength(events(30))
  assert.deepEqual(read(events(30), Array.from({ length: bytes }, (_, i) => i)), { inputTokens: 7, outputTokens: total(30) })
  assert.deepEqual(read(events(400, 'x'.repeat(1000)), [70_000, 140_000, 300_001]), { inputTokens: 7, outputTokens: total(400) })
  assert.deepEqual(read('{"num_output_tokens":[4],"text_output":"a"}'), { inputTokens: 0, outputTokens: 4 })
})

test('looking for it takes time in proportion, whatever a hostile backend writes', () => {
  const hostile = ['"usage":{', '"usage":{"a":{', '"usage":{}', '{'].map((part) => part.repeat(20_000))
  for (const text of hostile) {
    const before = process.cpuUsage()
    read(text)
    assert.ok(process.cpuUsage(before).user < 500_000, text.slice(0, 20))
  }
})

for (const end of ['\n\n', '\r\n\r\n']) {
  test(`the chunk with the usage is taken out, and every other byte stays, with ${JSON.stringify(end)}`, () => {
    const rest = words(end)
    const extra = event({ choices: [], usage }, end)
    const finish = event({ choices: [{ delta: {}, finish_reason: 'stop' }], usage }, end)
    const text = rest.join('') + finish + extra + event('[DONE]', end)
    fc.assert(fc.property(cuts, (at) => {
      const rewrite = withoutUsageChunk()
      const sent = Buffer.concat([...chunked(text, at).map((chunk) => rewrite.data(chunk)), rewrite.end()])
      assert.equal(sent.toString(), text.replace(extra, ''))
    }))
  })
}

test('an event goes on as soon as it is whole, and one of any size passes', () => {
  const rewrite = withoutUsageChunk()
  assert.equal(rewrite.data(Buffer.from('data: {}\n\ndata: {"a')).toString(), 'data: {}\n\n')
  assert.equal(rewrite.data(Buffer.from('":1}\n\n')).toString(), 'data: {"a":1}\n\n')
  const large = Buffer.from(`data: ${'x'.repeat(2_000_000)}`)
  assert.equal(rewrite.data(large).length, large.length)
  assert.equal(eventsIn(Buffer.from('data: a\n\ndata: b\n\n')), 2)
})

const demand = (path: string, body: unknown) => {
  const members = membersOf(Buffer.from(JSON.stringify(body)))
  return members && demandOf(path, members)
}

test('what a request asks for is read from its protocol', () => {
  const chat = '/v1/chat/completions'
  assert.equal(demand(chat, { max_tokens: 5, max_completion_tokens: 10, n: 3 })?.maxTokens, 30)
  assert.equal(demand(chat, { messages: [] })?.maxTokens, undefined)
  for (const max_tokens of [-1, 1.5, '7', 1e300, null]) assert.equal(demand(chat, { max_tokens })?.maxTokens, undefined, String(max_tokens))
  assert.equal(demand('/v1/embeddings', { input: 'x'.repeat(300) })?.maxTokens, 0)
  assert.ok((demand('/v1/embeddings', { input: 'x'.repeat(300) })?.inputTokens ?? 0) >= 100)
  assert.ok((demand('/v1/completions', { prompt: Array.from({ length: 50 }, (_, i) => i) })?.inputTokens ?? 0) >= 50)
  const image = { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(100_000)}` } }] }] }
  assert.ok((demand(chat, image)?.inputTokens ?? 0) < 2000)
  assert.equal(demand('/v2/models/m/generate_stream', { text_input: 'hi', parameters: { max_tokens: 9 } })?.maxTokens, 9)
  assert.deepEqual(demand('/v2/models/m/infer', { inputs: [{ shape: [2, 3] }, { shape: [4] }] }), { rows: 4, tensorElements: 10, inputTokens: 0, maxTokens: 0 })
  assert.equal(demand('/v2/models/m/infer', { inputs: [{ shape: [-2, 3] }] }), undefined)
  assert.deepEqual(demand('/v1/models/m:predict', { inputs: { a: [1, 2], b: [[1, 2], [3, 4]] } }), { rows: 2, tensorElements: 6, inputTokens: 0, maxTokens: 0 })
})
