import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { explain } from '../cli/explain.ts'
import { readOptions } from '../cli/options.ts'
import { replay } from '../cli/replay.ts'
import { blockOf } from './example.ts'

const root = join(import.meta.dirname, '..')
const page = (name: string) => readFileSync(join(root, 'docs', name), 'utf8')

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'docs-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** The words after the command, with files in a folder. */
function wordsOf(line: string, folder: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '').slice(2).map((word) => /\.(?:yaml|jsonl)$/.test(word) ? join(folder, word) : word)
}

/** What depends on when it is asked. */
const timeless = (text: string) => text.replaceAll(/\b\d+ s\b/g, 'N s')

test('explain.md: its command says what the page shows', async (t) => {
  const folder = folderOf(t)
  const text = page('explain.md')
  writeFileSync(join(folder, 'fraud.yaml'), blockOf(text, 'yaml'))
  const options = readOptions('explain', wordsOf(blockOf(text, 'bash'), folder), {})
  assert.ok(!('usage' in options))
  let told = ''
  assert.equal(await explain(options, { stdout: (out) => { told += out }, stderr: (out) => assert.equal(out, '') }), 0)
  assert.equal(timeless(told), timeless(blockOf(text, 'text')))
})

test('replay.md: its command tells of its record what the page shows', async (t) => {
  const folder = folderOf(t)
  const text = page('replay.md')
  const present = blockOf(page('explain.md'), 'yaml')
  const proposed = present.replace('weight: 90', 'weight: 10').replace('weight: 10, model', 'weight: 90, model').replace('requests: 1000', 'requests: 2')
  writeFileSync(join(folder, 'proposed.yaml'), proposed)
  writeFileSync(join(folder, 'recorded.jsonl'), blockOf(text, 'json'))
  const options = readOptions('replay', wordsOf(blockOf(text, 'bash'), folder), {})
  assert.ok(!('usage' in options))
  let told = ''
  assert.equal(await replay(options, { stdout: (out) => { told += out }, stderr: (out) => assert.equal(out, '') }), 0)
  assert.equal(timeless(told), timeless(blockOf(text, 'text')))
})
