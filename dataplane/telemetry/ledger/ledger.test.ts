import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { startDelivery } from './delivery.ts'
import { parseDestination } from './destination.ts'
import { openJournal } from './journal.ts'
import { openSpool, sizeOf } from './spool.ts'

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** What a sink was given, from the moment on in which it works. */
function collector() {
  const got: string[] = []
  let open = true
  return {
    got,
    close: () => { open = false },
    sink: {
      write(lines: Buffer, done: (error?: Error) => void) {
        if (open) got.push(...lines.toString().split('\n').filter((line) => line !== ''))
        queueMicrotask(() => done(open ? undefined : new Error('closed')))
      },
      close() {},
    },
  }
}

const nothing = (why: string) => assert.fail(why)

test('a file that is full is put aside, one that was moved away is begun anew, and a line that was cut short spoils none', async (t) => {
  const folder = await folderOf(t)
  const path = join(folder, 'usage.jsonl')
  await writeFile(path, '{"cut')
  const journal = openJournal(path, 40)
  t.after(() => journal.close())
  for (const n of [1, 2, 3]) assert.equal(journal.write(`{"n":${n},"more":"${'x'.repeat(10)}"}\n`), undefined)
  await rename(path, join(folder, 'moved'))
  journal.reopen()
  assert.equal(journal.write('{"n":4}\n'), undefined)
  const texts = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')))
  const lines = texts.join('').split('\n').filter((line) => line.endsWith('}')).map((line) => (JSON.parse(line) as { n: number }).n)
  assert.deepEqual(lines.toSorted((a, b) => a - b), [1, 2, 3, 4])
  assert.equal(await readFile(path, 'utf8'), '{"n":4}\n')
})

test('a full disk is an error and no more, and a folder is no file to write to', async (t) => {
  const journal = openJournal('/dev/full')
  assert.match(journal.write('{}\n')?.message ?? '', /ENOSPC/)
  journal.close()
  const folder = await folderOf(t)
  assert.throws(() => openJournal(folder), /EISDIR/)
})

test('what a process that was killed had written is delivered by the next one, from where it had come to', async (t) => {
  const folder = await folderOf(t)
  await mkdir(folder, { recursive: true })
  // Nobody has this number: its process is gone.
  await writeFile(join(folder, '2026-01-01T00-00-00.000Z-99999999-aaaaaa.open'), '{"n":1}\n{"n":2}\n{"cut sho')
  await writeFile(join(folder, '2026-01-01T00-00-00.000Z-99999999-aaaaaa.at'), '8')
  const { got, sink } = collector()
  const spool = openSpool({ folder })
  assert.equal(spool.write('{"n":3}\n'), undefined)
  const delivery = startDelivery({ folder, sink, every: 5, say: nothing })
  assert.equal(spool.write('{"n":4}\n'), undefined)
  spool.close()
  await delivery.close(10_000)
  assert.deepEqual(got, ['{"n":2}', '{"n":3}', '{"n":4}'])
  assert.deepEqual(await readdir(folder), [])
})

test('what is not delivered stays, for the next process', async (t) => {
  const folder = await folderOf(t)
  const first = collector()
  first.close()
  const spool = openSpool({ folder })
  spool.write('{"n":1}\n')
  spool.close()
  await startDelivery({ folder, sink: first.sink, every: 5, say: nothing }).close(20)
  const second = collector()
  await startDelivery({ folder, sink: second.sink, every: 5, say: nothing }).close(10_000)
  assert.deepEqual(second.got, ['{"n":1}'])
})

test('a spool has an end: what finds no room is refused, and nobody waits', async (t) => {
  const folder = await folderOf(t)
  await appendFile(join(folder, 'x.jsonl'), 'x'.repeat(100))
  const spool = openSpool({ folder, max: 110 })
  assert.match(spool.write('{"long":"record"}\n')?.message ?? '', /more than 110 bytes/)
  assert.equal(sizeOf(folder), 100)
  spool.close()
})

test('where records go is read, and what is wrong with it told without its secrets', () => {
  assert.deepEqual(parseDestination('stdout'), { to: 'stdout' })
  assert.deepEqual(parseDestination('/var/log/u.jsonl'), { to: 'file', path: '/var/log/u.jsonl' })
  assert.deepEqual(parseDestination('https://a:b@x.test/in'), { to: 'http', url: 'https://a:b@x.test/in' })
  const stream = parseDestination('rediss://u:secret@r.test/2?stream=usage&maxlen=5&patience=30ms')
  assert.ok(typeof stream !== 'string' && stream.to === 'stream' && stream.name === 'usage' && stream.kept === 5 && stream.redis.database === 2)
  for (const wrong of ['redis://u:secret@r.test', 'redis://u:secret@r.test?stream=a&maxlen=0', 'ftp://u:secret@x.test', 'http://u:secret@:1', '']) {
    const told = parseDestination(wrong)
    assert.ok(typeof told === 'string' && !told.includes('secret'), wrong)
  }
})
