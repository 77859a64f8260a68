import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Timeouts } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, route, rule } from './table.ts'

const limited = (port: number, timeouts: Timeouts) => active('1', [route({ rules: [rule({ timeouts })] })], { 'ml/s:80': [port] })

for (const limit of ['request', 'backendRequest', 'firstByte'] as const) {
  test(`${limit}: a backend that does not answer gives 504 timeout, and is let go`, { timeout: 120_000 }, async (t) => {
    let cancelled = false
    const port = await httpUpstream(t, (_request, response) => { response.once('close', () => { cancelled = true }) })
    const proxy = await testProxy(t, limited(port, { [limit]: 100 }))
    const from = performance.now()
    const response = await fetch(proxy.url, { method: 'POST', body: 'x' })
    assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [504, 'timeout'])
    assert.ok(performance.now() - from >= 95)
    await eventually(() => cancelled)
  })
}

for (const limit of ['request', 'backendRequest'] as const) {
  test(`${limit} covers the whole answer: one that is not complete in time is broken off`, { timeout: 120_000 }, async (t) => {
    const port = await httpUpstream(t, (_request, response) => {
      response.writeHead(200, { 'content-length': 1000 })
      const timer = setInterval(() => response.write('x'), 20)
      response.once('close', () => clearInterval(timer))
    })
    const proxy = await testProxy(t, limited(port, { [limit]: 150 }))
    const response = await fetch(proxy.url)
    assert.equal(response.status, 200)
    await assert.rejects(response.text())
    await eventually(() => proxy.lines().length === 1)
    assert.equal(proxy.lines()[0]?.['code'], 'timeout')
  })

  test(`${limit} ends with the headers of an event stream, which goes on for as long as it moves`, { timeout: 120_000 }, async (t) => {
    const port = await httpUpstream(t, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
      let n = 0
      const timer = setInterval(() => {
        response.write(`data: ${++n}\n\n`)
        if (n < 10) return
        clearInterval(timer)
        response.end()
      }, 40)
    })
    const proxy = await testProxy(t, limited(port, { [limit]: 100, streamIdle: 200 }))
    assert.match(await (await fetch(proxy.url)).text(), /data: 10\n\n$/)
  })
}

test('firstByte counts from the end of the request: a long upload is not a slow backend', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('ok')) })
  const proxy = await testProxy(t, limited(port, { firstByte: 150 }))
  const client = await rawClient(t, proxy.url)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  for (let i = 0; i < 8; i++) {
    await new Promise((resolve) => { setTimeout(resolve, 40) })
    client.send('1\r\nx\r\n')
  }
  client.send('0\r\n\r\n')
  assert.match(await client.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1\.1 200 /)
})

test('streamIdle: an answer in which nothing moves is broken off', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
  })
  const proxy = await testProxy(t, limited(port, { streamIdle: 100 }))
  const response = await fetch(proxy.url)
  await assert.rejects(response.text())
  await eventually(() => proxy.lines().length === 1)
  assert.deepEqual([proxy.lines()[0]?.['code'], proxy.lines()[0]?.['cause']], ['timeout', 'stream idle'])
})

test('streamIdle does not run before the answer has begun', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { setTimeout(() => response.end('ok'), 300) })
  const proxy = await testProxy(t, limited(port, { streamIdle: 100 }))
  assert.equal(await (await fetch(proxy.url)).text(), 'ok')
})

test('a request that times out while it waits for a connection leaves the queue, and its body is read to the end', { timeout: 120_000 }, async (t) => {
  const reached: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    reached.push(String(request.url))
    // What has begun an open-ended answer keeps its connection as long as it likes.
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
  })
  const table = limited(port, { request: 300, connect: 10_000 })
  const proxy = await testProxy(t, table, { limits: { connections: 1, pending: 10 } })
  const holding = await rawClient(t, proxy.url)
  holding.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => reached.length === 1)
  const client = await rawClient(t, proxy.url)
  const size = 4 * 1024 * 1024
  client.send(`POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
  await client.until((text) => text.includes('"code":"timeout"'))
  client.send('x'.repeat(size))
  client.send('GET /third HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until((text) => text.split('"code":"timeout"').length === 3)
  assert.deepEqual(reached, ['/first'])
})

test('request: a client that does not finish its body gets its 504 too', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('ok')) })
  const proxy = await testProxy(t, limited(port, { request: 100 }))
  for (const framing of ['Content-Length: 10\r\n\r\nhello', 'Content-Length: 100000\r\n\r\nhello', 'Transfer-Encoding: chunked\r\n\r\n']) {
    const client = await rawClient(t, proxy.url)
    client.send(`POST / HTTP/1.1\r\nHost: a\r\n${framing}`)
    await client.until((text) => text.includes('"code":"timeout"'))
    client.socket.destroy()
  }
})

test('no limit, no timer: a slow answer is waited for', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { setTimeout(() => response.end('ok'), 300) })
  // Zero is no limit either, and one that a timer cannot hold does not fire at once.
  for (const timeouts of [{}, { request: 0, backendRequest: 0, firstByte: 0, streamIdle: 0, connect: 0 }, { request: 1e12 }]) {
    const proxy = await testProxy(t, limited(port, timeouts))
    assert.equal(await (await fetch(proxy.url)).text(), 'ok')
  }
})
