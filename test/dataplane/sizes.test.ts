import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SizeLimits } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, route, rule } from './table.ts'

const limited = (port: number, sizeLimits: SizeLimits) => active('1', [route({ rules: [rule({ sizeLimits })] })], { 'ml/s:80': [port] })

test('a body that announces more than the limit is refused with 413, and the backend sees nothing', { timeout: 120_000 }, async (t) => {
  let reached = 0
  const port = await httpUpstream(t, (request, response) => {
    reached++
    request.resume().once('end', () => response.end('ok'))
  })
  const proxy = await testProxy(t, limited(port, { request: 1000 }))
  const refused = await fetch(proxy.url, { method: 'POST', body: 'x'.repeat(1001) })
  assert.deepEqual([refused.status, refused.headers.get('x-modelroute-error')], [413, 'request_too_large'])
  assert.equal(reached, 0)
  assert.equal((await fetch(proxy.url, { method: 'POST', body: 'x'.repeat(1000) })).status, 200)
  assert.equal(reached, 1)
})

test('an announced body that is too large is refused before the client is asked to send it', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => response.end('ok'))
  const proxy = await testProxy(t, limited(port, { request: 1000 }))
  const client = await rawClient(t, proxy.url)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n')
  const { text } = await client.end()
  assert.match(text, /^HTTP\/1\.1 413 /)
})

test('a chunked body is cut where it passes the limit: 413, and the backend never sees a whole request', { timeout: 120_000 }, async (t) => {
  const ends: string[] = []
  let bytes = 0
  const port = await httpUpstream(t, (request) => {
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => { bytes += chunk.length })
    request.once('end', () => ends.push('end')).once('close', () => ends.push(request.complete ? 'complete' : 'cut'))
  })
  const proxy = await testProxy(t, limited(port, { request: 100_000 }))
  const client = await rawClient(t, proxy.url)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const chunk = `4e20\r\n${'x'.repeat(20_000)}\r\n`
  for (let i = 0; i < 5; i++) client.send(chunk)
  await eventually(() => bytes === 100_000)
  client.send('1\r\nx\r\n')
  await client.until((text) => text.includes('"code":"request_too_large"'))
  await eventually(() => ends.length > 0)
  assert.deepEqual(ends, ['cut'])
  assert.equal(bytes, 100_000)
})

test('an answer that announces more than the limit gives 502 response_too_large in its place', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (request, response) => {
    const size = Number(request.headers['x-size'])
    response.writeHead(200, { 'content-length': size })
    response.end(request.method === 'HEAD' ? undefined : 'x'.repeat(size))
  })
  const proxy = await testProxy(t, limited(port, { response: 1000 }))
  const refused = await fetch(proxy.url, { headers: { 'x-size': '1001' } })
  assert.deepEqual([refused.status, refused.headers.get('x-modelroute-error')], [502, 'response_too_large'])
  assert.equal((await (await fetch(proxy.url, { headers: { 'x-size': '1000' } })).text()).length, 1000)
  // An answer to HEAD says a length and has no body.
  assert.equal((await fetch(proxy.url, { method: 'HEAD', headers: { 'x-size': '1001' } })).status, 200)
})

test('a chunked answer is broken off where it passes the limit, and never looks like a whole one', { timeout: 120_000 }, async (t) => {
  let left = false
  const port = await httpUpstream(t, (_request, response) => {
    response.once('close', () => { left = true })
    response.write('x'.repeat(900))
    setTimeout(() => response.write('y'.repeat(200)), 50)
  })
  const proxy = await testProxy(t, limited(port, { response: 1000 }))
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const { text } = await client.end()
  assert.match(text, /^HTTP\/1\.1 200 /)
  assert.equal(text.includes('y'), false)
  assert.equal(text.endsWith('0\r\n\r\n'), false)
  await eventually(() => left && proxy.lines().length === 1)
  assert.equal(proxy.lines()[0]?.['code'], 'response_too_large')
})
