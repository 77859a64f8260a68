import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import test from 'node:test'
import { streamLink } from './link.ts'
import type { FromProxy, Link } from './messages.ts'
import { encode, FromProxy as FromProxySchema } from './messages.ts'

type Reader = { link: Link<never, FromProxy>; messages: FromProxy[]; closed: Promise<string>; client: Socket }

async function pair(t: test.TestContext, maxLineBytes = 10_000): Promise<Reader> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.setNoDelay(true)
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.after(() => {
    client.destroy()
    server.close()
  })
  const link = streamLink<never, FromProxy>(socket, { schema: FromProxySchema, maxLineBytes, lingerMs: 50 })
  const messages: FromProxy[] = []
  const closed = new Promise<string>((resolve) => link.onClose(resolve))
  link.onMessage((message) => void messages.push(message))
  return { link, messages, closed, client }
}

const ack = (version: string): FromProxy => ({ type: 'ack', resource: 'routes', version, refused: [] })

test('messages arrive whole and in order wherever the network cuts them, multi-byte characters too', async (t) => {
  const { messages, client, closed } = await pair(t)
  const sent = [ack('eins'), ack('zwölf 🎉'), ack('x'.repeat(3000))]
  const bytes = Buffer.from(sent.map((message) => `${encode(message)}\n`).join(''))
  for (let at = 0; at < 200; at++) {
    client.write(bytes.subarray(at, at + 1))
    await new Promise((resolve) => setImmediate(resolve))
  }
  client.end(bytes.subarray(200))
  assert.equal(await closed, 'closed by the other end')
  assert.deepEqual(messages, sent)
})

test('a line longer than allowed ends the connection before it is read to its end', async (t) => {
  const { client, closed, messages } = await pair(t, 100)
  client.write('x'.repeat(101))
  assert.equal(await closed, 'a line is longer than 100 bytes')
  assert.equal(messages.length, 0)
})

for (const [what, line, why] of [
  ['that is not JSON', '{"type":', /^not a line of JSON: "\{\\"type\\":"/],
  ['that is empty', '', /^not a line of JSON/],
  ['of an unknown kind', '{"type":"bonjour"}', /^not a message of this protocol: type: /],
  ['with a field missing', '{"type":"ack","resource":"routes","refused":[]}', /version/],
  ['with a field too many', '{"type":"resync","resource":"routes","why":"","__proto__x":1}', /__proto__x/],
  ['that is null', 'null', /^not a message of this protocol/],
] as const) {
  test(`a line ${what} ends the connection, and nothing after it is believed`, async (t) => {
    const { client, closed, messages } = await pair(t)
    client.write(`${encode(ack('1'))}\n${line}\n${encode(ack('2'))}\n`)
    assert.match(await closed, why)
    assert.deepEqual(messages, [ack('1')])
  })
}

test('what was sent before a close still arrives', async (t) => {
  const { link, client, closed } = await pair(t)
  let text = ''
  client.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  link.send('{"last":"words"}')
  link.close('enough')
  await once(client, 'end')
  assert.equal(text, '{"last":"words"}\n')
  client.end()
  assert.equal(await closed, 'enough')
})

test('a peer that does not close its side is cut off', async (t) => {
  const { link, client, closed } = await pair(t)
  client.pause()
  link.close('enough')
  assert.equal(await closed, 'enough')
})

test('a connection that breaks says so', async (t) => {
  const { client, closed } = await pair(t)
  client.resetAndDestroy()
  assert.match(await closed, /ECONNRESET/)
})
