import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import type { Gateway } from '../pipeline/gateway.ts'
import { Http1Connection } from './http1-connection.ts'
import { keepAliveSeconds } from './http1-response.ts'

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

test('a connection is held for longer than a client is told that it is', () => {
  const answering: Gateway = (_request, response) => {
    response.writeHead(200, [])
    response.end()
  }
  const socket = new Socket()
  const connection = new Http1Connection(socket, '127.0.0.1', answering)
  connection.take(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'))
  assert.ok(connection.idle)
  const seconds = (count: number) => { for (let n = 0; n < count; n++) connection.tick() }
  // Whoever sends its next request at the last moment, and late, is still read.
  seconds(keepAliveSeconds + 4)
  assert.equal(socket.destroyed, false)
  seconds(3)
  assert.equal(socket.destroyed, true)
})
