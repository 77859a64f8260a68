import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { testProxy } from './proxy.ts'
import { rawUpstream } from './sockets.ts'
import { active, route } from './table.ts'

/** Answers the first request of each connection and ends the connection at the second, without a byte. */
async function stale(t: TestContext, how: (socket: Socket) => void = (socket) => socket.end(), answered = 1) {
  const requests: string[] = []
  const port = await rawUpstream(t, (socket) => {
    let count = 0
    socket.setEncoding('latin1')
    socket.on('data', (text) => {
      requests.push(String(text).split(' ')[0] ?? '')
      if (++count > answered) how(socket)
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
  })
  return { port, requests }
}

const table = (...ports: number[]) => active('1', [route()], { 'ml/s:80': ports })
const ask = async (url: string, method: string, body?: string | ReadableStream) => {
  const response = await fetch(url, { method, ...(body === undefined ? {} : { body }), ...(body instanceof ReadableStream ? { duplex: 'half' } : {}) })
  await response.arrayBuffer()
  return response.status
}

for (const [name, how] of [['closed', (s: Socket) => s.end()], ['reset', (s: Socket) => s.resetAndDestroy()]] as const) {
  test(`keep-alive race: an idempotent request on a kept connection that is ${name} is sent once more`, { timeout: 120_000 }, async (t) => {
    for (const [method, body] of [['GET'], ['HEAD'], ['OPTIONS'], ['DELETE'], ['PUT', 'x'.repeat(1000)]] as const) {
      const { port, requests } = await stale(t, how)
      const proxy = await testProxy(t, table(port))
      assert.equal(await ask(proxy.url, 'POST', 'x'), 200)
      assert.equal(await ask(proxy.url, method, body), 200, method)
      assert.deepEqual(requests, ['POST', method, method])
    }
  })
}

test('keep-alive race: an inference POST is never sent twice, nor is a body that was streamed', { timeout: 120_000 }, async (t) => {
  const { port, requests } = await stale(t)
  const proxy = await testProxy(t, table(port))
  assert.equal(await ask(proxy.url, 'POST', 'x'), 200)
  assert.equal(await ask(proxy.url, 'POST', 'x'), 502)
  assert.deepEqual(requests, ['POST', 'POST'])
  assert.equal(await ask(proxy.url, 'GET'), 200)
  assert.equal(await ask(proxy.url, 'PUT', new Blob(['x']).stream()), 502)
  assert.deepEqual(requests, ['POST', 'POST', 'GET', 'PUT'])
})

test('a request that a new connection breaks under is not repeated: it may be what the backend fell over', { timeout: 120_000 }, async (t) => {
  const { port, requests } = await stale(t, (socket) => socket.end(), 0)
  const proxy = await testProxy(t, table(port))
  assert.equal(await ask(proxy.url, 'GET'), 502)
  assert.deepEqual(requests, ['GET'])
})

test('a repeated request goes to another endpoint where there is one, and only once', { timeout: 120_000 }, async (t) => {
  const a = await stale(t)
  const b = await stale(t)
  const proxy = await testProxy(t, table(a.port, b.port))
  for (let i = 0; i < 2; i++) assert.equal(await ask(proxy.url, 'GET'), 200)
  // Both now have a kept connection that ends at its next request: the repeat meets the second of them.
  assert.equal(await ask(proxy.url, 'GET'), 502)
  assert.deepEqual([a.requests.length, b.requests.length], [2, 2])
})

test('repeats are bounded: a backend that ends every kept connection is not sent twice what it gets', { timeout: 120_000 }, async (t) => {
  const { port, requests } = await stale(t)
  const proxy = await testProxy(t, table(port))
  for (let i = 0; i < 100; i++) await ask(proxy.url, 'GET')
  const repeated = requests.length - 100
  assert.ok(repeated >= 5 && repeated <= 12, `${repeated} repeats of 100`)
})
