import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { check } from '../cli/check.ts'
import { testProxy } from './dataplane/proxy.ts'
import { httpUpstream } from './dataplane/sockets.ts'
import { active, route, rule } from './dataplane/table.ts'
import { blockOf, servedExample } from './example.ts'

const root = join(import.meta.dirname, '..')

test('validation.md: what is refused, and how, is what the page says', { timeout: 120_000 }, async (t) => {
  const page = await readFile(join(root, 'docs/validation.md'), 'utf8')
  const example = await readFile(join(root, 'examples/validation/schema.yaml'), 'utf8')
  assert.equal(example.replace(/^#.*\n/, ''), blockOf(page, 'yaml'))
  let answer = '{"predictions":[1]}'
  const { sent, proxy } = await servedExample(t, example, () => answer, 'fraud')
  const ask = async (body: string) => {
    const got = await fetch(`${proxy.url}/v1/models/fraud:predict`, { method: 'POST', body })
    return [got.status, await got.text()]
  }
  assert.deepEqual(await ask(blockOf(page, 'json request')), [422, blockOf(page, 'json refused').trim()])
  assert.deepEqual(await ask('{"instances":[{"amount":3,"country":"DE"}]}'), [200, answer])
  answer = '{}'
  assert.equal((await ask('{"instances":[{"amount":3,"country":"DE"}]}'))[0], 502)
  assert.equal(sent.length, 2)
  const dir = await mkdtemp(join(tmpdir(), 'modelroute-docs-'))
  t.after(() => rm(dir, { recursive: true }))
  await writeFile(join(dir, 'schema.yaml'), example.replace('maxItems', 'maxItem'))
  let told = ''
  const options = { filename: [join(dir, 'schema.yaml')], allowUrl: [], output: 'text' } as const
  await check(options, { stdout: (text) => { told += text }, stderr: () => {} })
  assert.ok(told.replaceAll(dir, 'examples/validation').split('\n').includes(blockOf(page, 'text').trim()), told)
})

test('validation.md: what does not fit the model is told as the page says', { timeout: 120_000 }, async (t) => {
  const page = await readFile(join(root, 'docs/validation.md'), 'utf8')
  const example = await readFile(join(root, 'examples/validation/metadata.yaml'), 'utf8')
  assert.ok(page.includes(example.replace(/^#.*\n/, '')))
  const inputs = [{ name: 'amount', datatype: 'FP32', shape: [-1, 3] }, { name: 'country', datatype: 'BYTES', shape: [-1, 1] }]
  const port = await httpUpstream(t, (_, response) => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ name: 'fraud', inputs, outputs: [] })) })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ validation: { request: { source: 'ModelMetadata' } } })] })], { 'ml/s:80': [port] }))
  const got = await fetch(`${proxy.url}/v2/models/fraud/infer`, { method: 'POST', body: blockOf(page, 'json tensors') })
  assert.deepEqual([got.status, await got.text()], [422, blockOf(page, 'json misfits').trim()])
})
