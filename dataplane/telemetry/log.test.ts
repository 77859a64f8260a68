import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from './log.ts'

test('lines are JSON, and those below the level are not written', () => {
  let text = ''
  const log = createLog({ level: 'warn', sink: { write: () => assert.fail('not yet'), sync: (more) => { text += more } }, now: () => 0 })
  log.write('info', 'no')
  log.write('error', 'yes\n{"forged":1}', { n: 1 })
  log.announce('listening', { name: 'http' })
  log.flush()
  assert.deepEqual(text.trim().split('\n').map((line) => JSON.parse(line) as unknown), [
    { time: '1970-01-01T00:00:00.000Z', level: 'error', msg: 'yes\n{"forged":1}', n: 1 },
    { time: '1970-01-01T00:00:00.000Z', level: 'info', msg: 'listening', name: 'http' },
  ])
})

test('a reader that does not keep up costs bounded memory: lines are dropped, and counted', () => {
  let release: (() => void) | undefined
  let written = ''
  const log = createLog({ sink: { write: (_text, done) => { release = done }, sync: (more) => { written += more } } })
  const long = 'x'.repeat(10_000)
  for (let i = 0; i < 2000; i++) log.write('info', long)
  assert.ok(release)
  log.flush()
  assert.ok(written.length < 9 * 1024 * 1024)
  const last = JSON.parse(written.trim().split('\n').at(-1) ?? '') as Record<string, unknown>
  assert.equal(last['msg'], 'log lines dropped')
  assert.ok(Number(last['dropped']) > 1000)
})
