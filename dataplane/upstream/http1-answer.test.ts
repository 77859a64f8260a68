import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerReader } from './http1-answer.ts'

/** What one reader makes of answers that come one after the other, each in pieces of so many bytes. */
function read(answers: readonly string[], size: number): unknown[] {
  const reader = new AnswerReader()
  const heard: unknown[] = []
  for (const answer of answers) {
    let body = ''
    reader.expect({
      head: (status, headers) => void heard.push(status, [...headers]),
      data: (chunk) => { body += chunk.toString('latin1') },
      end: (trailers) => void heard.push(body, [...trailers], reader.keeps),
    }, 'GET')
    const bytes = Buffer.from(answer, 'latin1')
    for (let at = 0; at < bytes.length; at += size) reader.take(bytes.subarray(at, at + size))
  }
  return heard
}

const plain = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\n'
const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
const last = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n'

test('answers that begin alike are each read anew: their bodies, their framing, what the connection is good for', () => {
  const answers = [`${plain}aa`, `${plain}bb`, `${chunked}1\r\nc\r\n0\r\n\r\n`, `${chunked}2\r\ndd\r\n0\r\nX: y\r\n\r\n`, `${plain}ee`, 'HTTP/1.1 204 No Content\r\n\r\n', `${last}ff`, `${last}gg`]
  const apart = answers.flatMap((answer) => read([answer], 1_000_000))
  for (const size of [1, 7, 1_000_000]) assert.deepEqual(read(answers, size), apart)
})

test('a head that differs in one byte from the last is looked at, all of it', () => {
  const forged = plain.replace('Keep-Alive: t', 'Keep-Alive:\n t')
  for (const wrong of [forged, plain.replace('2', '3\r\nContent-Length: 2'), plain.replace('200', '101'), plain.replace('1.1', '2.0')]) {
    assert.throws(() => read([`${plain}aa`, `${wrong}aa`], 1_000_000), { code: 'UPSTREAM_PROTOCOL' })
  }
})
