import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, route } from './table.ts'

test('drain: not ready at once, accepts during the delay, closes after each answer, finishes a stream, ends', { timeout: 120_000 }, async (t) => {
  let finish: (() => void) | undefined
  const port = await httpUpstream(t, (request, response) => {
    if (request.url !== '/stream') {
      response.end('ok')
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    finish = () => response.end('data: last\n\n')
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const readyz = async () => (await fetch(`${proxy.urls.health}/readyz`)).status
  assert.equal(await readyz(), 200)

  const stream = await rawClient(t, proxy.url)
  stream.send('GET /stream HTTP/1.1\r\nHost: a\r\n\r\n')
  await stream.until((text) => text.includes('data: 1'))
  const idle = await rawClient(t, proxy.url)
  idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await idle.until((text) => text.endsWith('ok'))

  let over: boolean | undefined
  const drained = proxy.drain({ delay: 200, timeout: 60_000 }).then((clean) => { over = clean })
  assert.equal(await readyz(), 503)
  const during = await rawClient(t, proxy.url)
  during.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const { text } = await during.end()
  assert.match(text, /connection: close\r\n/i)
  assert.ok(text.endsWith('ok'))

  // The idle connection is closed, the new one refused, the stream goes on.
  assert.ok((await idle.end()).text.endsWith('ok'))
  await assert.rejects(fetch(proxy.url))
  assert.equal(over, undefined)
  finish?.()
  assert.match((await stream.end()).text, /data: last/)
  await drained
  assert.equal(over, true)
})

test('drain: what is not done by the deadline is cut, and drain says so', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { response.write('never ends') })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until((text) => text.includes('never ends'))
  assert.equal(await proxy.drain({ delay: 0, timeout: 200 }), false)
  const { text } = await client.end()
  assert.ok(!text.endsWith('0\r\n\r\n'))
})

test('drain under load: every answer is complete, and the last on each connection says so', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { setTimeout(() => response.end('ok'), 5) })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const outcomes = { served: 0, moved: 0, lost: 0 }
  // Each keeps its connection for as long as the answers let it, then goes elsewhere, as through a load balancer.
  const clients = Array.from({ length: 16 }, async () => {
    const client = await rawClient(t, proxy.url)
    for (let n = 1; ; n++) {
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      const text = await client.until((so) => so.split('HTTP/1.1 200').length > n && so.endsWith('ok')).catch(() => undefined)
      if (text === undefined) {
        outcomes.lost++
        return
      }
      outcomes.served++
      if (/connection: close/i.test(text)) {
        outcomes.moved++
        return
      }
    }
  })
  await eventually(() => outcomes.served > 200)
  // Without a delay, so that it is the linger that catches what was on its way.
  assert.equal(await proxy.drain({ delay: 0, timeout: 60_000 }), true)
  await Promise.all(clients)
  assert.deepEqual([outcomes.lost, outcomes.moved], [0, 16])
})
