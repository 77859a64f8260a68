import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { suite, test, type TestContext } from 'node:test'
import { testProxy } from '../dataplane/proxy.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { active, route } from '../dataplane/table.ts'
import { nodeCounter } from './node.ts'

/**
 * What HTTP/2 frames by itself and HTTP/1.1 by its text: a header that would be read as framing, or as another request,
 * once it is written as text for the backend. Sent by hand, since no library would.
 */
type Header = readonly [name: string, value: string]
type Case = Readonly<{ hazard: string; headers: readonly Header[]; body?: string; trailers?: readonly Header[]; served?: string }>

const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}
/** HPACK (RFC 7541 section 6.2.2): a literal that is not indexed, not compressed; lengths in seven bits and a rest. */
const text = (value: string) => {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const rest = bytes.length - 127
  return Buffer.concat([Buffer.from(rest < 128 ? [127, rest] : [127, 128 | (rest & 127), rest >> 7]), bytes])
}
const block = (headers: readonly Header[]) => Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))

const HEADERS = 1, DATA = 0, RST = 3, GOAWAY = 7, SETTINGS = 4
const END_STREAM = 1, END_HEADERS = 4

/** Sends one request and resolves when the gateway has said anything of it: a head, a reset, or that it goes. */
async function send(t: TestContext, url: string, { headers, body, trailers }: Case): Promise<void> {
  const { port } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1')
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0, Buffer.alloc(0)),
    frame(HEADERS, END_HEADERS | (body === undefined ? END_STREAM : 0), 1, block(headers)),
    ...(body === undefined ? [] : [frame(DATA, trailers ? 0 : END_STREAM, 1, Buffer.from(body, 'latin1'))]),
    ...(trailers ? [frame(HEADERS, END_HEADERS | END_STREAM, 1, block(trailers))] : []),
  ]))
  await new Promise<void>((resolve) => {
    let held = Buffer.alloc(0)
    socket.on('close', () => resolve())
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      while (held.length >= 9 && held.length >= 9 + held.readUIntBE(0, 3)) {
        const type = held.readUInt8(3)
        if ([HEADERS, RST, GOAWAY].includes(type)) resolve()
        held = held.subarray(9 + held.readUIntBE(0, 3))
      }
    })
  })
  socket.destroy()
}

const get = (...more: Header[]): Header[] => [[':method', 'GET'], [':scheme', 'http'], [':authority', 'a'], [':path', '/x'], ...more]
const post = (...more: Header[]): Header[] => [[':method', 'POST'], [':scheme', 'http'], [':authority', 'a'], [':path', '/x'], ...more]
const hidden = 'GET /smuggled HTTP/1.1\r\nHost: a\r\nX: y'
const tail = `\r\n\r\n${hidden}`
const without = (name: string, headers: readonly Header[]) => headers.filter(([each]) => each !== name)
const instead = (name: string, value: string, headers: readonly Header[] = get()): Header[] => headers.map(([each, old]) => [each, each === name ? value : old])

/** nghttp2 takes a header out that cannot be one, and lets the request go on: nothing of it reaches the backend. */
const dropped = (line: string) => line

const cases: readonly Case[] = [
  { hazard: 'H2.CL: a length of nothing, and a request in the body', headers: post(['content-length', '0']), body: `${hidden}\r\n\r\n` },
  { hazard: 'a length shorter than the body', headers: post(['content-length', '3']), body: `abc${hidden}\r\n\r\n` },
  { hazard: 'a length longer than the body', headers: post(['content-length', '300']), body: 'abc' },
  { hazard: 'a length without a body', headers: post(['content-length', '5']) },
  { hazard: 'two lengths', headers: post(['content-length', '3'], ['content-length', '0']), body: 'abc' },
  { hazard: 'a length that is none', headers: post(['content-length', '+3']), body: 'abc' },
  { hazard: 'Content_Length', headers: post(['content_length', '0']), body: `${hidden}\r\n\r\n` },
  { hazard: 'H2.TE: chunked, and a request behind the last chunk', headers: post(['transfer-encoding', 'chunked']), body: `0${tail}\r\n\r\n` },
  { hazard: 'chunked in upper case', headers: post(['Transfer-Encoding', 'chunked']), body: `0${tail}\r\n\r\n` },
  { hazard: 'Transfer_Encoding', headers: post(['transfer_encoding', 'chunked']), body: `0${tail}\r\n\r\n` },
  { hazard: 'a coding with a space in its name', headers: post(['transfer-encoding ', 'chunked']), body: `0${tail}\r\n\r\n`, served: dropped('POST /x 46') },
  { hazard: 'a coding with a colon in its name', headers: post(['transfer-encoding: chunked\r\nx', 'y']), body: `0${tail}\r\n\r\n`, served: dropped('POST /x 46') },
  { hazard: 'a coding behind a line break in a value', headers: post(['x', 'y\r\ntransfer-encoding: chunked']), body: `0${tail}\r\n\r\n`, served: dropped('POST /x 46') },
  { hazard: 'a request behind a line break in a value', headers: get(['x', `y${tail}`]), served: dropped('GET /x 0') },
  { hazard: 'a request behind a bare LF in a value', headers: get(['x', `y\n\n${hidden.replaceAll('\r', '')}`]), served: dropped('GET /x 0') },
  { hazard: 'a bare CR in a value', headers: get(['x', 'y\rcontent-length: 5']), served: dropped('GET /x 0') },
  { hazard: 'a NUL in a value', headers: get(['x', 'y\0z']), served: dropped('GET /x 0') },
  { hazard: 'a request behind a line break in a name', headers: get([`x: y${tail}`, 'z']), served: dropped('GET /x 0') },
  { hazard: 'an empty name', headers: get(['', 'y']), served: dropped('GET /x 0') },
  { hazard: 'a request in the path', headers: instead(':path', `/x HTTP/1.1${tail}`) },
  { hazard: 'a space in the path', headers: instead(':path', '/x /smuggled') },
  { hazard: 'a request in the method', headers: instead(':method', 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET') },
  { hazard: 'a space in the method', headers: instead(':method', 'GET /smuggled') },
  { hazard: 'a request in the authority', headers: instead(':authority', `a${tail}`) },
  { hazard: 'a path in the authority', headers: instead(':authority', 'a/smuggled?') },
  { hazard: 'user info in the authority', headers: instead(':authority', 'u@a') },
  { hazard: 'a request in the scheme', headers: instead(':scheme', `http${tail}`) },
  { hazard: 'an URL in the scheme', headers: instead(':scheme', 'http://a/smuggled?') },
  { hazard: 'no path', headers: without(':path', get()) },
  { hazard: 'an empty path', headers: instead(':path', '') },
  { hazard: 'a path that is none', headers: instead(':path', 'smuggled') },
  { hazard: 'two paths', headers: [...get(), [':path', '/smuggled']] },
  { hazard: 'two methods', headers: [[':method', 'GET'], ...post()] },
  { hazard: 'a pseudo-header behind the others', headers: [...without(':path', get()), ['x', 'y'], [':path', '/smuggled']] },
  { hazard: 'a pseudo-header that nobody knows', headers: [[':smuggled', '/smuggled'], ...get()] },
  { hazard: 'a Host that is not the authority', headers: get(['host', 'smuggled']) },
  { hazard: 'two Hosts', headers: [...without(':authority', get()), ['host', 'a'], ['host', 'b']] },
  { hazard: 'Connection', headers: get(['connection', 'content-length']) },
  { hazard: 'Upgrade to h2c', headers: get(['upgrade', 'h2c'], ['http2-settings', 'AAMAAABkAAQAAP__']) },
  { hazard: 'TE beyond trailers', headers: get(['te', 'chunked']) },
  { hazard: 'Keep-Alive', headers: get(['keep-alive', 'timeout=5']) },
  { hazard: 'a length in the trailers', headers: post(), body: 'abc', trailers: [['content-length', '0']], served: 'POST /x 3' },
  { hazard: 'a coding in the trailers', headers: post(), body: 'abc', trailers: [['transfer-encoding', 'chunked']] },
  { hazard: 'a path in the trailers', headers: post(), body: 'abc', trailers: [[':path', '/smuggled']] },
  { hazard: 'a chunk in the body', headers: post(), body: `3\r\nabc\r\n0${tail}\r\n\r\n`, served: `POST /x ${`3\r\nabc\r\n0${tail}\r\n\r\n`.length}` },
  { hazard: 'a length with zeros before it', headers: post(['content-length', '003']), body: 'abc', served: 'POST /x 3' },
  { hazard: 'a method with a body that is unusual', headers: instead(':method', 'DELETE', post()), body: `${hidden}\r\n\r\n`, served: `DELETE /x ${hidden.length + 4}` },
]

suite('what HTTP/2 carries is one request to a backend of HTTP/1.1, or none', () => {
  for (const one of cases) {
    test(one.hazard, { timeout: 120_000 }, async (t) => {
      const counter = nodeCounter()
      const port = await httpUpstream(t, counter.listener)
      const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
      await send(t, proxy.url, one)
      // Whatever was left over on a connection would come out of the next answer on it.
      for (let n = 0; n < 3; n++) assert.equal(await (await fetch(`${proxy.url}/probe`)).text(), '[GET /probe 0]')
      const seen = counter.seen().filter((line) => line !== 'GET /probe 0')
      assert.ok(!seen.some((line) => line.includes('/smuggled')), seen.join(', '))
      if (one.served === undefined) assert.deepEqual([seen, counter.begun()], [[], 3])
      else assert.ok(seen.every((line) => line === one.served) && seen.length <= 1, seen.join(', '))
    })
  }
})
