import assert from 'node:assert/strict'
import { test } from 'node:test'
import { beginsWith, bytesOf } from './again.ts'

const head = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

test('a head is the same when every byte of it has come and is the same', () => {
  const begun = bytesOf(head)
  assert.ok(beginsWith(Buffer.from(head), 0, begun))
  assert.ok(beginsWith(Buffer.from(`\r\n${head}body`), 2, begun))
  for (let end = 0; end < head.length; end++) assert.ok(!beginsWith(Buffer.from(head).subarray(0, end), 0, begun))
  for (let at = 0; at < head.length; at++) {
    const other = Buffer.from(head)
    other[at] = (other[at] ?? 0) ^ 32
    assert.ok(!beginsWith(other, 0, begun), `byte ${at}`)
  }
})

test('what lies in the buffer behind what was read is not part of it', () => {
  const whole = Buffer.from(head)
  assert.ok(!beginsWith(whole.subarray(0, head.length - 1), 0, bytesOf(head)))
})
