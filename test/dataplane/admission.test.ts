import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test, type TestContext } from 'node:test'
import { createAdmission, type AdmissionOptions } from '../../dataplane/door/admission.ts'
import { rawClient } from './sockets.ts'

/** A server that answers `ok`, with an admission before it. */
async function setUp(t: TestContext, options: AdmissionOptions) {
  const server = createServer((_request, response) => { response.end('ok') })
  const admission = createAdmission(options)
  admission.guard(server, false)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => { server.close(); server.closeAllConnections() })
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  const client = async () => {
    const one = await rawClient(t, url)
    one.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    return one
  }
  return { client, admission }
}

const answered = (text: string) => text.endsWith('ok')

test('a connection beyond the limit waits unread, and is served when another ends', { timeout: 120_000 }, async (t) => {
  const { client, admission } = await setUp(t, { limits: { connections: 2, perAddress: 10 } })
  const [first] = [await client(), await client()]
  await first.until(answered)
  assert.ok(admission.crowded())
  const third = await client()
  const fourth = await client()
  await first.until(answered)
  assert.equal(third.text(), '')
  first.socket.destroy()
  await third.until(answered)
  assert.equal(fourth.text(), '', 'in turn')
  third.socket.destroy()
  await fourth.until(answered)
})

test('what has waited too long is refused with 503, and told when to come again', { timeout: 120_000 }, async (t) => {
  const { client } = await setUp(t, { limits: { connections: 1, perAddress: 10 }, waitMs: 50 })
  await (await client()).until(answered)
  const late = await client()
  const { text } = await late.end()
  assert.match(text, /^HTTP\/1\.1 503 .*x-modelroute-error: overloaded\r\n.*retry-after: 1\r\n/s)
  // The place that it gave up in the queue is nobody's.
  assert.match((await (await client()).end()).text, /^HTTP\/1\.1 503 /)
})

test('one address cannot have more than its share, waiting included, and a place it gives back is its own again', { timeout: 120_000 }, async (t) => {
  const { client } = await setUp(t, { limits: { connections: 10, perAddress: 2 } })
  const [first] = [await client(), await client()]
  assert.match((await (await client()).end()).text, /^HTTP\/1\.1 503 /)
  first.socket.destroy()
  for (;;) {
    const again = await client()
    const text = await again.until((sofar) => answered(sofar) || sofar.includes(' 503 '))
    if (answered(text)) break
  }
})

test('the address of a trusted hop brings many clients and has no share', { timeout: 120_000 }, async (t) => {
  const { client } = await setUp(t, { limits: { connections: 10, perAddress: 1 }, exempt: (address) => address.endsWith('127.0.0.1') })
  for (const one of [await client(), await client(), await client()]) await one.until(answered)
})

test('a client that leaves while it waits leaves its place in the queue', { timeout: 120_000 }, async (t) => {
  const { client } = await setUp(t, { limits: { connections: 1, perAddress: 10 } })
  const first = await client()
  await first.until(answered)
  const gone = await client()
  const next = await client()
  gone.socket.destroy()
  await once(gone.socket, 'close')
  first.socket.destroy()
  await next.until(answered)
})
