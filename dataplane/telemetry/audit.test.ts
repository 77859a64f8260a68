import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openAuditFile } from './audit_file.ts'
import { createLines } from './lines.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'audit-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const notice = (dropped: number) => `dropped ${dropped}\n`

async function opened(t: TestContext, path: string, max?: number) {
  const sink = await openAuditFile(path, max)
  t.after(() => sink.close())
  return { sink, lines: createLines({ sink, notice }) }
}

test('a line that is waited for is on disk when the wait is over, and a file is its owner\'s only', async (t) => {
  const path = join(folder(t), 'audit')
  const { lines } = await opened(t, path)
  assert.equal(await lines.settle('one\n'), true)
  assert.equal(readFileSync(path, 'utf8'), 'one\n')
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

test('lines that come while one is being brought to disk go there together', async (t) => {
  const { sink } = await opened(t, join(folder(t), 'audit'))
  let writes = 0
  const lines = createLines({ sink: { ...sink, write: (...given) => { writes++; sink.write(...given) } }, notice })
  const settled = await Promise.all(Array.from({ length: 500 }, (_, i) => lines.settle(`${i}\n`)))
  assert.ok(settled.every(Boolean))
  assert.equal(writes, 1)
})

test('a full file is put aside under a name with the time, and no line is lost or cut', async (t) => {
  const at = folder(t)
  const path = join(at, 'audit')
  const { lines } = await opened(t, path, 100)
  for (let i = 0; i < 50; i++) await lines.settle(`line ${i}\n`)
  const files = readdirSync(at).sort()
  assert.ok(files.length > 3, String(files))
  const all = files.toSorted().flatMap((name) => readFileSync(join(at, name), 'utf8').trimEnd().split('\n'))
  assert.deepEqual(all.toSorted(), Array.from({ length: 50 }, (_, i) => `line ${i}`).toSorted())
  for (const name of files) assert.ok(statSync(join(at, name)).size <= 100)
})

test('a file that somebody moves away or deletes is begun anew', async (t) => {
  const at = folder(t)
  const path = join(at, 'audit')
  const { lines } = await opened(t, path)
  await lines.settle('one\n')
  renameSync(path, join(at, 'moved'))
  await lines.settle('two\n')
  rmSync(path)
  await lines.settle('three\n')
  assert.deepEqual([readFileSync(join(at, 'moved'), 'utf8'), readFileSync(path, 'utf8')], ['one\n', 'three\n'])
})

test('a line that a crash cut short stays alone', async (t) => {
  const path = join(folder(t), 'audit')
  writeFileSync(path, 'whole\nhal')
  const { lines } = await opened(t, path)
  await lines.settle('next\n')
  assert.equal(readFileSync(path, 'utf8'), 'whole\nhal\nnext\n')
})

test('what cannot be written says so, is counted, and writing goes on when it can', async (t) => {
  const at = folder(t)
  const path = join(at, 'sub', 'audit')
  await assert.rejects(openAuditFile(path), /ENOENT/)
  const { lines } = await opened(t, join(at, 'audit'))
  renameSync(at, `${at}-gone`)
  t.after(() => rmSync(`${at}-gone`, { recursive: true, force: true }))
  assert.equal(await lines.settle('lost\n'), false)
  renameSync(`${at}-gone`, at)
  assert.equal(await lines.settle('kept\n'), true)
  assert.deepEqual(readFileSync(join(at, 'audit'), 'utf8').split('\n').filter((line) => line !== ''), ['kept', 'dropped 1'])
})

test('a device that has no disk behind it takes lines all the same', async (t) => {
  const { lines } = await opened(t, '/dev/null')
  assert.equal(await lines.settle('away\n'), true)
})

test('what is held when the process ends is written', async (t) => {
  const path = join(folder(t), 'audit')
  const { lines } = await opened(t, path)
  lines.hold('last\n')
  await lines.flush()
  assert.equal(readFileSync(path, 'utf8'), 'last\n')
})
