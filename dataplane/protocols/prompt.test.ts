import assert from 'node:assert/strict'
import { test } from 'node:test'
import { membersOf } from './json.ts'
import { promptStart } from './prompt.ts'

const start = (body: unknown, most = 1000): string | undefined => {
  const members = membersOf(Buffer.from(JSON.stringify(body)))
  assert.ok(members)
  return promptStart(members, most)
}

const system = { role: 'system', content: 'You are kind.' }
const hello = { role: 'user', content: 'Hello' }

test('the turns of a conversation begin alike, and conversations differ', () => {
  const first = start({ model: 'm', messages: [system, hello] })
  assert.equal(start({ model: 'm', messages: [system, hello, { role: 'assistant', content: 'Hi' }, { role: 'user', content: 'More' }], stream: true }), first)
  assert.notEqual(start({ model: 'm', messages: [system, { role: 'user', content: 'Hallo' }] }), first)
  assert.notEqual(start({ model: 'other', messages: [system, hello] }), first, 'what one model has in its cache is nothing to another')
})

test('what has a long beginning in common begins alike', () => {
  const long = { role: 'system', content: 'The whole book. '.repeat(100) }
  const one = start({ messages: [long, hello] })
  assert.equal(start({ messages: [long, { role: 'user', content: 'Who did it?' }] }), one)
  assert.equal(one?.length, 1001)
  assert.equal(start({ prompt: `${'a'.repeat(2000)}b` }), start({ prompt: `${'a'.repeat(2000)}c` }))
})

test('each API says its prompt in its own way', () => {
  assert.equal(start({ prompt: 'Once' }), '\nOnce\n')
  assert.equal(start({ prompt: ['Once', 'Twice'] }), '\nOnce\nTwice\n')
  assert.equal(start({ prompt: [1, 2, 3] }), '\n1\n2\n3\n')
  assert.equal(start({ instructions: 'Be kind.', input: 'Hello' }), '\nBe kind.\nHello\n')
  assert.equal(start({ input: [hello] }), '\nuser\nHello\n')
  assert.equal(start({ system: 'Be kind.', messages: [hello] }), '\nBe kind.\nuser\nHello\n')
  assert.equal(start({ messages: [{ role: 'user', content: [{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url: 'data:x' } }] }] }),
    '\nuser\ntext\nWhat is it?\nimage_url\ndata:x\n')
  assert.equal(start({ text_input: 'Once' }), '\nOnce\n')
  assert.equal(start({ inputs: 'Once', parameters: { max_new_tokens: 3 } }), '\nOnce\n')
})

test('what has no prompt has no beginning', () => {
  for (const body of [{}, { model: 'm' }, { inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [1] }] }, { messages: [] }, { prompt: null }, { messages: null }]) {
    assert.equal(start(body), undefined, JSON.stringify(body))
  }
})
