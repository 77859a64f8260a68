import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { readOptions } from './options.ts'
import { usage } from './usage.ts'

const here = (path: string) => join(import.meta.dirname, '..', path)

async function run(...words: string[]): Promise<Readonly<{ out: string; err: string }>> {
  const told = { out: '', err: '' }
  const options = readOptions('usage', words, {})
  if ('usage' in options) throw new Error(options.usage.join('\n'))
  await usage(options, { stdout: (text) => { told.out += text }, stderr: (text) => { told.err += text } })
  return told
}

test('the commands of docs/usage.md print what it says', async () => {
  const text = await readFile(here('docs/usage.md'), 'utf8')
  const shown = [...text.matchAll(/```bash\nnpx modelroute usage (.*)\n```\n\n```text\n([^`]*)```/g)]
  assert.equal(shown.length, 2)
  for (const [, words = '', expected] of shown) {
    const { out } = await run(...words.split(' ').map((word) => word.startsWith('examples/') ? here(word) : word))
    assert.equal(out.replaceAll('\r\n', '\n'), expected)
  }
})

test('what was rotated is read too, packed or not, and a record that comes twice counts once', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'usage-'))
  t.after(() => rm(folder, { recursive: true }))
  const line = (id: string, more = '') => `{"request_id":"same","time":"2026-07-01T00:00:00Z","consumer":"a","model":null,"tokens":3,"input_tokens":1,"output_tokens":2,"rows":null,"cost":0.1,"status":200,"id":"${id}"${more}}\n`
  const file = join(folder, 'usage.jsonl')
  await writeFile(`${file}.2026-07-01T00-00-00.000Z.7`, line('p-1') + line('p-2'))
  await writeFile(`${file}.2.gz`, gzipSync(line('p-2') + line('p-3')))
  await writeFile(`${file}.notes`, line('p-9'))
  await writeFile(file, `${line('p-4')}{"msg":"request","request_id":"x","time":"2026-07-01T00:00:00Z","status":200}\n{"request_id":"cut sh\n${line('p-5')}`)
  const { out, err } = await run('--ledger', file, '--by', 'consumer', '-o', 'csv')
  // Ten times 0.1 in doubles would not be so even.
  assert.equal(out, 'consumer,requests,errors,input_tokens,cached_tokens,output_tokens,rows,cost\r\na,5,0,5,0,10,0,0.5\r\n')
  assert.match(err, /1 record came twice and counts once/)
  assert.match(err, /1 line cannot be read/)
  await assert.rejects(run('--ledger', folder), { message: `${folder} is a folder, and no ledger` })
})

test('names that callers chose are no formula in a spreadsheet, no new cell, and nothing that a terminal obeys', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'usage-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'usage.jsonl')
  const names = ['=1+1', 'a,b"c', '\u001b[2J', '-x\ny']
  await writeFile(file, names.map((model, i) => `${JSON.stringify({ request_id: 'r', time: '2026-07-01T00:00:00Z', consumer: null, model, tokens: null, rows: null, cost: null, status: 200, id: String(i) })}\n`).join(''))
  const { out: csv } = await run('--ledger', file, '--by', 'model', '-o', 'csv')
  for (const cell of ["'=1+1,1", '"a,b""c",1', '"\'-x\ny",1']) assert.ok(csv.includes(cell), csv)
  const { out: table } = await run('--ledger', file, '--by', 'model')
  assert.ok(!table.includes('\u001b') && table.includes('"\\u001b[2J"'), table)
})

test('what cannot be meant is refused', () => {
  for (const words of [[], ['--ledger', 'x', '--by', 'colour'], ['--ledger', 'x', '--since', 'yesterday']]) {
    assert.ok('usage' in readOptions('usage', words, {}), words.join(' '))
  }
})
