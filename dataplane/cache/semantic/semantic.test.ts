import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Entry } from '../entry.ts'
import { canonicalOf, textOf } from '../canonical.ts'
import { meaningOf, sameMeaning } from './meaning.ts'
import { Near } from './near.ts'
import { agree, readingOf } from './particulars.ts'
import { cutText } from './text.ts'
import { leastShare, Trust } from './trust.ts'

const comparable = (one: string, other: string) => {
  const [a, b] = [readingOf(one), readingOf(other)]
  return a.particulars === b.particulars && agree(a.words, b.words)
}

for (const [one, other] of [
  ['How do I reset my password?', 'how can I reset my password'], ['Explain recursion to a beginner', 'Please explain recursion to a beginner.'],
  ['What causes inflation?', 'What are the causes of inflation?'], ['When does the shop in Graz open?', 'At what time does the shop in Graz open?'],
  ['', '?'],
] as const) test(`"${one}" may mean "${other}"`, () => assert.ok(comparable(one, other)))

for (const [one, other] of [
  ['Is it safe?', 'Is it not safe?'], ['Is it safe?', 'Is it unsafe?'], ['Which flights are cancelled?', "Which flights aren't cancelled?"],
  ['What is 12 times 7?', 'What is 12 times 17?'], ['a child of three years', 'a child of eight years'], ['Set an alarm at 7 am', 'Set an alarm at 7 pm'],
  ['a flight to Paris', 'a flight to Rome'], ['from Paris to Rome', 'from Rome to Paris'], ['convert dollars to euros', 'convert euros to dollars'],
  ['is x > 3', 'is x < 3'], ['who is my father', 'who is my mother'], ['翻译成日语', '翻译成韩语'], ['Welche sind da?', 'Welche sind nicht da?'],
] as const) test(`"${one}" never means "${other}", whatever their vectors say`, () => assert.ok(!comparable(one, other)))

const cutOf = (body: unknown, pointer: string) => {
  const value = canonicalOf(Buffer.from(JSON.stringify(body)))
  const cut = value && cutText(value, pointer)
  return cut && [cut.text, textOf(cut.rest)]
}
const chat = (...messages: unknown[]) => ({ model: 'm', messages })

test('of a chat only what the user said last is compared; all else is the same or not', () => {
  assert.deepEqual(cutOf(chat({ role: 'system', content: 'be brief' }, { role: 'user', content: 'Hi "you"' }), '/messages'), [
    'Hi "you"', '{"messages":[{"content":"be brief","role":"system"},{"content":?,"role":"user"}],"model":"m"}',
  ])
  const picture = { type: 'image_url', image_url: { url: 'data:,' } }
  assert.deepEqual(cutOf(chat({ role: 'user', content: [{ type: 'text', text: 'What is this?' }, picture] }), '/messages'), [
    'What is this?', '{"messages":[{"content":[{"text":?,"type":"text"},{"image_url":{"url":"data:,"},"type":"image_url"}],"role":"user"}],"model":"m"}',
  ])
})

test('a text stands anywhere, and where there is none, or more than one, nothing is compared', () => {
  assert.deepEqual(cutOf({ a: { 'b/c': [1, 'text'] } }, '/a/b~1c/1'), ['text', '{"a":{"b/c":[1e0,?]}}'])
  assert.deepEqual(cutOf({ input: ['one'] }, '/input'), ['one', '{"input":[?]}'])
  for (const [body, pointer] of [
    [{ input: ['one', 'two'] }, '/input'], [{ input: 3 }, '/input'], [{ input: ' ' }, '/input'], [{ input: 'x'.repeat(9000) }, '/input'], [{}, '/input'], [{ input: { a: 'b' } }, '/input'],
    [chat({ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }), '/messages'], [chat(), '/messages'],
    [chat({ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }), '/messages'], [chat({ role: 'user', content: null }), '/messages'],
  ] as const) assert.equal(cutOf(body, pointer), undefined, JSON.stringify(body))
})

const unit = (angle: number) => Float32Array.of(Math.cos(angle), Math.sin(angle))

test('the nearest comes first, what is too far or says other words never, and the oldest makes room', () => {
  const near = new Near(2)
  for (const [key, angle] of [['a', 0.3], ['b', 0.1], ['c', 2]] as const) near.add(key, ['text'], unit(angle))
  near.add('d', ['safe'], unit(0))
  assert.deepEqual([...near.around(unit(0), ['turned', 'safe'], 0.9)].map(({ key }) => key), ['d', 'b', 'a'])
  assert.deepEqual([...near.around(unit(0), ['unsafe'], 0.99)].map(({ key }) => key), ['b'])
  const full = new Near(2 ** 18)
  for (const key of ['a', 'b', 'c', 'c']) full.add(key, [], new Float32Array(2 ** 18).fill(1 / 2 ** 9))
  assert.deepEqual([...full.around(new Float32Array(2 ** 18).fill(1 / 2 ** 9), [], 0.5)].map(({ key }) => key).toSorted(), ['b', 'c'])
  assert.ok(full.bytes >= 2 ** 21 && full.bytes < 2 ** 21 + 2000)
})

test('trust is lost by as many false hits as cannot be chance, and is had again from the beginning', () => {
  assert.ok(leastShare(1, 100) < 0.01 && leastShare(5, 100) > 0.01)
  const trust = new Trust()
  for (let i = 0; i < 100; i++) assert.ok(!trust.count(false, 0.01))
  const lost = [true, true, true, true, true, true].map((wrong) => trust.count(wrong, 0.01))
  assert.equal(lost.filter(Boolean).length, 1)
  assert.ok(trust.lost)
  assert.deepEqual(trust.totals, { right: 100, wrong: 6 })
  trust.begin()
  assert.ok(!trust.lost && !trust.count(true, 1))
})

const answer = (body: string, type = 'application/json'): Entry => ({
  status: 200, headers: ['content-type', type], body: Buffer.from(body), trailers: [], storedAt: 0, backendSeconds: 0, mark: 0, lifetime: 1, kept: 1, staleIfError: 0, age: 0, strict: false, always: false,
}) as const

test('what an answer says is what a model wrote, in whichever form, and not what is of this one answer only', () => {
  const whole = answer('{"id":"1","created":5,"choices":[{"message":{"role":"assistant","content":"It is  Paris."}}],"usage":{"total_tokens":3}}')
  const pieces = answer('data: {"choices":[{"delta":{"content":"It is"}}]}\n\ndata: {"choices":[{"delta":{"content":" paris."}}]}\n\ndata: [DONE]\n\n', 'text/event-stream')
  assert.ok(sameMeaning(meaningOf(whole), meaningOf(pieces)))
  assert.equal(meaningOf(answer('{"text_output":"a"}')), 'a')
  assert.equal(meaningOf(answer('{"id":"1","outputs":[{"data":[1]}]}')), meaningOf(answer('{"outputs":[{"data":[1.0]}],"id":"2"}')))
  assert.notEqual(meaningOf(answer('{"outputs":[2]}')), meaningOf(answer('{"outputs":[1]}')))
})
