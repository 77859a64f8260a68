import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'

test('lines are JSON, and those below the level are not written', async () => {
  let text = ''
  const log = createLog({ level: 'warn', sink: { write: (more, done) => { text += String(more); done() } }, now: () => 0 })
  log.write('info', 'no')
  log.write('error', 'yes\n{"forged":1}', { n: 1 })
  log.announce('listening', { name: 'http' })
  assert.equal(text, '', 'not yet')
  await log.flush()
  assert.deepEqual(text.trim().split('\n').map((line) => JSON.parse(line) as unknown), [
    { time: '1970-01-01T00:00:00.000Z', level: 'error', msg: 'yes\n{"forged":1}', n: 1 },
    { time: '1970-01-01T00:00:00.000Z', level: 'info', msg: 'listening', name: 'http' },
  ])
})

test('a reader that does not keep up costs bounded memory: lines are dropped, and counted', async () => {
  let release: (() => void) | undefined
  let written = ''
  const log = createLog({ sink: { write: (more, done) => { written += String(more); release = done } } })
  const long = 'x'.repeat(10_000)
  for (let i = 0; i < 2000; i++) log.write('info', long)
  const flushed = log.flush()
  for (let ended = release; ended !== undefined;) {
    release = undefined
    ended()
    ended = release
  }
  await flushed
  assert.ok(written.length < 9 * 1024 * 1024)
  const last = JSON.parse(written.trim().split('\n').at(-1) ?? '') as Record<string, unknown>
  assert.equal(last['msg'], 'log lines dropped')
  assert.ok(Number(last['dropped']) > 1000)
})

test('at the end, what is held goes out behind the write under way, and never in the middle of its lines', async () => {
  const writes: { text: string; done: () => void }[] = []
  const log = createLog({ sink: { write: (bytes, done) => writes.push({ text: String(bytes), done }) } })
  for (let i = 0; i < 1000; i++) log.write('info', 'x'.repeat(100))
  log.write('info', 'last')
  assert.equal(writes.length, 1)
  let flushed = false
  const ended = log.flush().then(() => { flushed = true })
  assert.equal(writes.length, 1, 'one write at a time')
  writes[0]?.done()
  await Promise.resolve()
  assert.equal(flushed, false)
  assert.match(writes[1]?.text ?? '', /"last"/)
  writes[1]?.done()
  await ended
})

test('a reader that takes nothing does not keep the process from its end', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const log = createLog({ sink: { write: () => {} } })
  log.write('info', 'for nobody')
  const ended = log.flush()
  t.mock.timers.tick(1000)
  await ended
})
