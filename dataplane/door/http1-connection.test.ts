import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { Http1Connection } from './http1-connection.ts'

test('an upload is read by turns into two buffers, and into none of which bytes are still on their way', () => {
  let pending = false
  let after = false
  const sink = {
    copies: false,
    data() {
      pending = after
      return true
    },
    pending: () => pending, end() {}, fail() {},
  }
  const connection = new Http1Connection(new Socket(), '127.0.0.1', (request) => request.read(sink))
  const head = Buffer.from('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n')
  connection.take(head)
  const next = (last: Buffer): Buffer => {
    connection.take(last.subarray(0, 100))
    return connection.buffer(last, 100) ?? assert.fail()
  }
  const first = connection.buffer(head, head.length) ?? assert.fail()
  assert.equal(next(first), first)
  after = true
  const second = next(first)
  const third = next(second)
  assert.equal(new Set([first, second, third]).size, 3)
  // All of it goes while nothing comes.
  pending = false
  assert.equal(next(third), second)
  assert.ok(![first, second, third].includes(next(second)))
})
