import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Duplex } from 'node:stream'
import { suite, test } from 'node:test'
import * as fc from 'fast-check'
import type { DoorRequest } from '../pipeline/door.ts'
import { screen } from '../pipeline/screen.ts'
import type { Head } from './http1-head.ts'
import { BadRequest, RequestReader } from './http1-reader.ts'
import { runs } from '../../test/runs.ts'

type Read = { method: string; url: string; version: string; headers: readonly string[]; body: string; whole: boolean }
type Reading = Readonly<{ requests: readonly Read[]; refused: string | undefined }>

const unread = { remoteAddress: '', encrypted: false, read() {}, resume() {}, release() {} }

/** Everything that comes in these pieces, one request after the other. A refused head ends it, as it ends a connection. */
function readAll(pieces: readonly Buffer[]): Reading {
  const requests: Read[] = []
  let refused: string | undefined
  const reader = new RequestReader({
    head(head: Head) {
      const request: DoorRequest = { ...head, ...unread }
      const received = screen(request)
      if ('code' in received) throw new BadRequest(received)
      requests.push({ method: head.method, url: head.url, version: head.httpVersion, headers: head.rawHeaders, body: '', whole: false })
      return received.bodyLength
    },
    data(chunk) {
      const last = requests.at(-1)
      if (last) last.body += chunk.toString('latin1')
    },
    end() {
      const last = requests.at(-1)
      if (last) last.whole = true
    },
  })
  try {
    for (const piece of pieces) {
      for (let at = 0; at < piece.length;) {
        at = reader.take(piece, at)
        if (reader.done) reader.next()
      }
    }
  } catch (error) {
    if (!(error instanceof BadRequest)) throw error
    refused = error.failure.code
  }
  return { requests, refused }
}

const whole = (text: string) => readAll([Buffer.from(text, 'latin1')])

const several = 'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n'
  + 'PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: \xe9 y \t\r\n\r\n3;a="b"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n'
  + '\r\n\r\nGET  /c?d HTTP/1.0\r\nHost:a\r\nEmpty:\r\n\r\nDELETE /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'

test('requests that come together are read one by one', () => {
  const { requests, refused } = whole(several)
  assert.equal(refused, undefined)
  assert.deepEqual(requests.map(({ method, url, body, whole: ended }) => [method, url, body, ended]), [
    ['POST', '/a', 'hello', true], ['PUT', '/b', 'abc0123456789', true], ['GET', '/c?d', '', true], ['DELETE', '/d', '', true],
  ])
  assert.deepEqual(requests[1]?.headers.slice(4), ['x', '\xe9 y'])
  assert.deepEqual(requests[2]?.headers.slice(2), ['empty', ''])
})

test('requests cut into two pieces at every byte are read alike', () => {
  const bytes = Buffer.from(several, 'latin1')
  const expected = readAll([bytes])
  for (let at = 1; at < bytes.length; at++) assert.deepEqual(readAll([bytes.subarray(0, at), bytes.subarray(at)]), expected, `cut at ${at}`)
})

test('a head that comes again is the same, and one that differs in its last byte is not', () => {
  const heads: Head[] = []
  const reader = new RequestReader({ head: (head) => { heads.push(head); return 2 }, data() {}, end() {} })
  for (const value of ['one', 'one', 'onf', 'one', 'one']) {
    for (const body of ['ab', '\r\n']) {
      const bytes = Buffer.from(`POST /x HTTP/1.1\r\nHost: a\r\nX: ${value}\r\n\r\n${body}`)
      for (let at = 0; at < bytes.length;) at = reader.take(bytes, at)
      reader.next()
    }
  }
  assert.deepEqual(heads.map(({ rawHeaders }) => rawHeaders[3]), ['one', 'one', 'one', 'one', 'onf', 'onf', 'one', 'one', 'one', 'one'])
  assert.equal(new Set(heads).size, 3)
})

test('requests that come byte by byte are read alike', () => {
  const bytes = Buffer.from(several, 'latin1')
  assert.deepEqual(readAll(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))), readAll([bytes]))
})

const head = (...lines: string[]) => ['GET /x HTTP/1.1', 'Host: a', ...lines, '', ''].join('\r\n')
const chunked = (body: string) => `POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`

suite('what is refused, is refused wherever it is cut', () => {
  for (const [hazard, text, code = 'invalid_request'] of [
    ['a folded line', head('X: y', ' z')],
    ['a bare CR in a value', head('X: y\rz')],
    ['a bare LF in a value', head('X: y\nz')],
    ['a NUL in a value', head('X: y\0')],
    ['a delete character', head('X: y\x7f')],
    ['a space before the colon', head('X : y')],
    ['no name', head(': y')],
    ['no colon, and one in the next line', head('X', 'Y: z')],
    ['lines ended by a bare LF', 'GET /x HTTP/1.1\nHost: a\n\n'],
    ['an empty line of a bare LF before it', `\n${head()}`],
    ['an empty line of a bare CR before it', `\r${head()}`],
    ['another version', 'GET /x HTTP/1.2\r\nHost: a\r\n\r\n'],
    ['a tab behind the target', 'GET /x\tHTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a method that nobody knows', 'GETS /x HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['the beginning of TLS', '\x16\x03\x01\x02\x00\x01\x00'],
    ['a head that is too large', head(`X: ${'y'.repeat(16_384)}`), 'headers_too_large'],
    ['a head that is too large, and does not end', head(`X: ${'y'.repeat(16_384)}`).slice(0, -4), 'headers_too_large'],
    ['a chunk of 13 digits', chunked('0000000000001\r\na\r\n0\r\n\r\n')],
    ['a chunk of no size', chunked(';a\r\n')],
    ['a chunk size with a space behind it', chunked('1 \r\na\r\n')],
    ['a chunk size with a space before it', chunked(' 1\r\na\r\n')],
    ['an extension with a bare CR', chunked('1;\ra\r\na\r\n0\r\n\r\n')],
    ['an extension with a bare LF', chunked('1;\na\r\n0\r\n\r\n')],
    ['an extension that is too long', chunked(`1;${'a'.repeat(2000)}\r\na\r\n0\r\n\r\n`)],
    ['a chunk that is longer', chunked('1\r\nab\r\n0\r\n\r\n')],
    ['a chunk that ends in LF', chunked('1\r\na\n0\r\n\r\n')],
    ['a length among the trailers', chunked('0\r\nContent-Length: 1\r\n\r\n')],
    ['trailers that are folded', chunked('0\r\nX: y\r\n z\r\n\r\n')],
    ['trailers that are too large', chunked(`0\r\nX: ${'y'.repeat(16_384)}\r\n\r\n`), 'headers_too_large'],
  ] as const) {
    test(hazard, () => {
      const bytes = Buffer.from(text, 'latin1')
      assert.equal(readAll([bytes]).refused, code)
      // Of the long ones, the last bytes are where it is decided.
      for (let at = Math.max(1, bytes.length - 300); at < bytes.length; at++) {
        const { refused, requests } = readAll([bytes.subarray(0, at), bytes.subarray(at)])
        assert.ok(refused === code && requests.every((one) => !one.whole), `cut at ${at}`)
      }
      assert.equal(readAll(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))).refused, code)
    })
  }
})

test('chunks of sizes beyond what a number counts are refused, and one of nearly that is waited for', () => {
  assert.equal(whole(chunked('fffffffffffff\r\na')).refused, 'invalid_request')
  const { refused, requests } = whole(chunked('ffffffffffff\r\na'))
  assert.deepEqual([refused, requests[0]?.body, requests[0]?.whole], [undefined, 'a', false])
})

/** What Node's own parser makes of the same bytes. */
async function readByNode(bytes: Buffer): Promise<Reading> {
  const requests: Read[] = []
  let refused: string | undefined
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const read: Read = { method: request.method ?? '', url: request.url ?? '', version: request.httpVersion, headers: request.rawHeaders.map((text, n) => (n % 2 === 0 ? text.toLowerCase() : text)), body: '', whole: false }
    requests.push(read)
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => { read.body += chunk.toString('latin1') })
    request.on('end', () => { read.whole = true })
    response.end()
  }
  const server = createServer({ requireHostHeader: false }, listener).on('checkContinue', listener).on('checkExpectation', listener)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.on('clientError', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'HPE_INVALID_EOF_STATE') refused = error.code
    resolve()
  })
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  socket.once('close', resolve)
  server.emit('connection', socket)
  socket.push(bytes)
  // Turns of the loop in which a stream hands on what it has.
  for (let turn = 0; turn < 6; turn++) await new Promise((next) => { setImmediate(next) })
  socket.push(null)
  await Promise.race([promise, new Promise((next) => { setImmediate(next) })])
  socket.destroy()
  server.closeAllConnections()
  return { requests, refused }
}

const odd = ['\r', '\n', '\r\n', '\r\n\r\n', '\0', ' ', '\t', ':', ';', ',', '0', '1', 'a', 'chunked', '\x0b', '\x7f', '\xe9', '-', '+', '=', '"', ' HTTP/1.1', 'GET ', '/']
const lines = [
  'Connection: keep-alive', 'X: y', 'X-Long: yyyyyyyyyyyyyyyyyyyy', 'Expect: 100-continue', 'Accept: */*', 'Trailer: X', 'Empty:', 'Cookie: a=b; c="d"',
  'Content-Length: 0', 'Transfer-Encoding: chunked', 'Host: b',
]
const framed: readonly (readonly [string, string])[] = [
  ['Accept: a', ''], ['Content-Length: 5', 'hello'], ['content-length:\t3 ', 'abc'], ['Content-Length: 0', ''],
  ...['5\r\nhello\r\n0\r\n\r\n', '5;x=1\r\nhello\r\n0\r\nX: y\r\n\r\n', '0\r\n\r\n', '005\r\nhello\r\n1\r\na\r\n00\r\n\r\n'].map((body) => ['transfer-encoding:\tChunked ', body] as const),
]
const requestText = fc.tuple(
  fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH'), fc.constantFrom(' ', '  '), fc.constantFrom('/', '/x', '/x?y=z', 'http://a/x'),
  fc.constantFrom('1', '1', '1', '0'), fc.array(fc.nat({ max: lines.length * 4 }), { maxLength: 4 }), fc.constantFrom(...framed),
).map(([method, space, url, version, more, [framing, body]]) => [
  // What is listed first is taken more often: the last ones are at odds with the others.
  `${method}${space}${url} HTTP/1.${version}`, 'Host: a', ...more.map((n) => lines[n] ?? lines[n % 8] ?? ''), framing, '', body,
].join('\r\n'))
/** Good requests, and what becomes of them when pieces of them are put in, taken out or exchanged. */
const mutated = fc.tuple(
  fc.array(requestText, { minLength: 1, maxLength: 3 }).map((all) => all.join('')),
  fc.array(fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.constantFrom(...odd)), { maxLength: 3 }),
).map(([text, edits]) => edits.reduce((before, [where, taken, put]) => {
  const at = where % (before.length + 1)
  return before.slice(0, at) + put + before.slice(at + taken)
}, text))

const ended = ({ requests }: Reading) => requests.filter(({ whole: isWhole }) => isWhole)

test('whatever is read here Node reads too, and in the same way', { timeout: 200_000 }, async () => {
  const count = { read: 0, refused: 0 }
  await fc.assert(fc.asyncProperty(mutated, async (text) => {
    const bytes = Buffer.from(text, 'latin1')
    const reading = readAll([bytes])
    count[reading.refused === undefined ? 'read' : 'refused']++
    const ours = ended(reading)
    // A tab behind a coding is no part of it (RFC 9110 section 5.5), which Node's parser does not know.
    if (ours.length === 0 || /chunked[ ]*\t/i.test(text)) return
    const theirs = ended(await readByNode(bytes))
    // More is refused here; and after one of HTTP/1.0 Node looks at nothing more.
    const both = Math.min(ours.length, theirs.length)
    assert.deepEqual(theirs.slice(0, both), ours.slice(0, both), JSON.stringify(text))
    assert.ok(both === ours.length || theirs.at(-1)?.version === '1.0', JSON.stringify(text))
  }), { numRuns: runs(1000) })
  assert.ok(count.read > 100 && count.refused > 100, `${count.read} read, ${count.refused} refused`)
})

test('pieces of any size make no difference', () => {
  fc.assert(fc.property(mutated, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }), (text, sizes) => {
    const bytes = Buffer.from(text, 'latin1')
    const pieces: Buffer[] = []
    for (let at = 0, n = 0; at < bytes.length; n++) {
      const size = sizes[n % sizes.length] ?? 1
      pieces.push(bytes.subarray(at, at + size))
      at += size
    }
    const [together, apart] = [readAll([bytes]), readAll(pieces)]
    assert.deepEqual(ended(apart), ended(together))
    assert.equal(apart.refused, together.refused)
  }), { numRuns: runs(1000) })
})
