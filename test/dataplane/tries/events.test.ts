import assert from 'node:assert/strict'
import { connect } from 'node:http2'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { eventually, rawClient } from '../sockets.ts'
import { failing, ruleOver } from './rig.ts'

const head = (more = '') => `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n${more}transfer-encoding: chunked\r\n\r\n`
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
const dies = (text: string) => (socket: Socket): void => { socket.write(text, () => setTimeout(() => socket.destroy(), 20)) }

async function read(response: Response): Promise<{ text: string; broken: boolean }> {
  let text = ''
  try {
    for await (const piece of response.body ?? []) text += Buffer.from(piece as Uint8Array).toString()
    return { text, broken: false }
  } catch {
    return { text, broken: true }
  }
}

const event = 'data: {"choices":[]}\n\n'
const paths = [
  ['/v1/chat/completions', /^data: \{"choices":\[\]\}\n\ndata: \{"error":\{"message":"[^"]+","type":"server_error","param":null,"code":"upstream_reset"\}\}\n\n$/],
  ['/v2/models/m/generate_stream', /^data: \{"choices":\[\]\}\n\ndata: \{"error":"[^"]+"\}\n\n$/],
  ['/events', /^data: \{"choices":\[\]\}\n\nevent: error\ndata: \{"type":"urn:modelroute:error:upstream_reset",.*\}\n\n$/],
] as const

for (const [path, expected] of paths) {
  test(`${path}: a stream of events whose backend dies says so in its caller's terms, and is broken off`, { timeout: 120_000 }, async (t) => {
    const { port } = await failing(t, dies(head() + chunk(event)))
    const proxy = await ruleOver(t, [port])
    const { text, broken } = await read(await fetch(proxy.url + path))
    assert.match(text, expected)
    assert.equal(broken, true)
    await eventually(() => proxy.lines().length === 1)
    assert.equal(proxy.lines()[0]?.['code'], 'upstream_reset')
  })
}

test('no event is added in the middle of one, to what is compressed, or to what is no stream of events', { timeout: 120_000 }, async (t) => {
  const texts = [
    [head() + chunk(`${event}data: {"cho`), `${event}data: {"cho`],
    [head('content-encoding: x-none\r\n') + chunk(event), event],
    [head().replace('text/event-stream', 'application/x-ndjson') + chunk('{}\n\n'), '{}\n\n'],
    [`HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n${event}`, event],
  ] as const
  for (const [answer, passed] of texts) {
    const { port } = await failing(t, dies(answer))
    const proxy = await ruleOver(t, [port])
    assert.deepEqual(await read(await fetch(`${proxy.url}/v1/chat/completions`)), { text: passed, broken: true })
  }
})

test('a stream that falls silent ends with an event of its timeout', { timeout: 120_000 }, async (t) => {
  const { port } = await failing(t, (socket) => socket.write(head() + chunk(event)))
  const proxy = await ruleOver(t, [port], { timeouts: { streamIdle: 100, connect: 10_000 } })
  const { text, broken } = await read(await fetch(`${proxy.url}/v1/chat/completions`))
  assert.match(text, /"code":"timeout"/)
  assert.equal(broken, true)
})

test('over the wire the broken stream has no last chunk, and its connection ends', { timeout: 120_000 }, async (t) => {
  const { port } = await failing(t, dies(head() + chunk(event)))
  const proxy = await ruleOver(t, [port])
  const client = await rawClient(t, proxy.url)
  client.send('GET /v1/chat/completions HTTP/1.1\r\nHost: a\r\n\r\n')
  const { text, reset } = await client.end()
  assert.deepEqual([text.endsWith('\r\n0\r\n\r\n'), text.includes('upstream_reset'), reset], [false, true, false])
})

test('over HTTP/2 the event comes before the reset of the stream, and the connection goes on', { timeout: 120_000 }, async (t) => {
  const { port } = await failing(t, dies(head() + chunk(event)))
  const proxy = await ruleOver(t, [port])
  const session = connect(proxy.url)
  t.after(() => session.destroy())
  const stream = session.request({ ':path': '/v1/chat/completions' })
  let text = ''
  let failed = false
  stream.on('data', (piece) => { text += String(piece) })
  stream.on('error', () => { failed = true })
  await new Promise((resolve) => { stream.once('close', resolve) })
  assert.deepEqual([text.includes('"code":"upstream_reset"'), failed, session.closed], [true, true, false])
})
