import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { blockOf, servedExample } from './example.ts'

const root = join(import.meta.dirname, '..')

test('transformation.md: what is sent, got, answered and seen is what the page says', { timeout: 120_000 }, async (t) => {
  const page = await readFile(join(root, 'docs/transformation.md'), 'utf8')
  const block = (language: string) => blockOf(page, language)
  const example = await readFile(join(root, 'examples/transformation/redaction.yaml'), 'utf8')
  assert.equal(example.replace(/^#.*\n/, ''), block('yaml'))
  const { sent, proxy } = await servedExample(t, example, () => block('json answer').trim(), 'fraud')
  const got = await fetch(`${proxy.url}/v1/models/fraud:predict`, { method: 'POST', body: block('json request').trim() })
  assert.deepEqual(sent, [block('json model').trim()])
  assert.equal(await got.text(), block('json client').trim())
  assert.equal(got.headers.get('x-modelroute-confidence'), 'low')
})
