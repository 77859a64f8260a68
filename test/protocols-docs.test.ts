import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { deadPort } from './dataplane/sockets.ts'
import { blockOf, servedExample } from './example.ts'
import { serviceAt } from './manifests.ts'

const root = join(import.meta.dirname, '..')
const page = await readFile(join(root, 'docs/protocols.md'), 'utf8')
const exampleOf = (name: string) => readFile(join(root, `examples/protocols/${name}.yaml`), 'utf8')
const json = { 'content-type': 'application/json' }

test('protocols.md: texts are embedded by the model that the page describes, as it says', { timeout: 120_000 }, async (t) => {
  const block = (language: string) => blockOf(page, language).trim()
  // What the server says of itself, of its model, and what that answers.
  const answers = ['{}', block('json metadata'), '{"outputs":[{"name":"EMBEDDING","datatype":"FP32","shape":[2,2],"data":[0.5,1,1.5,2]}]}']
  const { sent, proxy } = await servedExample(t, await exampleOf('embeddings'), () => (sent.at(-1) === '' ? answers[sent.length === 1 ? 1 : 0] : answers[2]) ?? '', 'triton')
  const answer = await (await fetch(`${proxy.url}/v1/embeddings`, { method: 'POST', headers: json, body: block('json request') })).json() as { data: { embedding: number[] }[] }
  assert.equal(sent.at(-1), block('json model'))
  assert.deepEqual(answer.data.map(({ embedding }) => embedding), [[0.5, 1], [1.5, 2]])
})

test('protocols.md: a chat is asked of generate_stream of the first variant', { timeout: 120_000 }, async (t) => {
  const example = await exampleOf('text')
  assert.equal(example.replace(/^#.*\n/, ''), blockOf(page, 'yaml'))
  const { sent, proxy } = await servedExample(t, `${example}---\n${serviceAt('llama-cpp', 9, 'ml')}`, () => 'data: {"model_name":"llama","text_output":" hello"}\n\n', 'triton')
  const messages = [{ role: 'system', content: 'be brief' }, { role: 'user', content: 'hello' }]
  const answer = await (await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', headers: json, body: JSON.stringify({ model: 'any', messages }) })).json() as { choices: { message: { content: string } }[] }
  assert.equal(answer.choices[0]?.message.content, ' hello')
  assert.equal((JSON.parse(sent.at(-1) ?? '') as { text_input: string }).text_input, blockOf(page, 'text').trim())
})

test('protocols.md: a tensor of V2 is asked of the server of V1 where the one of gRPC cannot be reached', { timeout: 120_000 }, async (t) => {
  const example = await exampleOf('tensors')
  assert.equal(example.replace(/^#.*\n/, ''), blockOf(page, 'yaml tensors'))
  const { sent, proxy } = await servedExample(t, `${example}---\n${serviceAt('triton', await deadPort(), 'ml')}`, () => '{"predictions":[0,1]}', 'sklearn')
  const answer = await fetch(`${proxy.url}/v2/models/fraud/infer`, { method: 'POST', headers: json, body: blockOf(page, 'json tensors') })
  assert.deepEqual(await answer.json(), { model_name: 'fraud', id: '7', outputs: [{ name: 'output-0', datatype: 'INT64', shape: [2], data: [0, 1] }] })
  assert.equal(sent.at(-1), blockOf(page, 'json rows').trim())
})
