import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient, rawUpstream } from './sockets.ts'
import { active, route } from './table.ts'

/** Answers with what it was asked and sent. */
async function echoing(t: TestContext) {
  const port = await httpUpstream(t, (request, response) => {
    let body = ''
    request.setEncoding('latin1').on('data', (chunk: string) => { body += chunk })
    request.on('end', () => response.end(`[${request.method} ${request.url} ${body.length > 20 ? body.length : body}]`))
  })
  return testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
}

const get = (path: string, ...headers: string[]) => [`GET ${path} HTTP/1.1`, 'Host: a', ...headers, '', ''].join('\r\n')
const post = (path: string, body: string) => `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const count = (text: string) => text.split('HTTP/1.1 200').length - 1

test('a request that comes byte by byte, body and all, is served, and so is the next one', { timeout: 120_000 }, async (t) => {
  const proxy = await echoing(t)
  const client = await rawClient(t, proxy.url)
  client.socket.setNoDelay(true)
  for (const byte of `${post('/a', 'hello')}POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`) {
    client.send(byte)
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const text = await client.until((so) => so.includes('[POST /b'))
  assert.match(text, /\[POST \/a hello\].*\[POST \/b abc\]/s)
})

test('a thousand requests sent at once are answered in their order', { timeout: 120_000 }, async (t) => {
  const proxy = await echoing(t)
  const client = await rawClient(t, proxy.url)
  client.send(Array.from({ length: 1000 }, (_, n) => (n % 2 ? post(`/${n}`, `body${n}`) : get(`/${n}`))).join(''))
  const text = await client.until((so) => count(so) === 1000 && so.endsWith(']'))
  const order = [...text.matchAll(/\[[A-Z]+ \/(?<n>\d+) (?<body>\w*)\]/g)].map(({ groups }) => [groups?.['n'], groups?.['body']])
  assert.deepEqual(order, Array.from({ length: 1000 }, (_, n) => [String(n), n % 2 ? `body${n}` : '']))
})

test('a thousand requests that the gateway answers itself leave it free between them', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, active('1', [], {}))
  const client = await rawClient(t, proxy.url)
  client.send(get('/x').repeat(1000))
  await client.until((so) => so.split('HTTP/1.1 404').length === 1001)
})

test('requests that come while one is being answered wait, and no more is taken than may wait', { timeout: 120_000 }, async (t) => {
  let release: (() => void) | undefined
  const seen: string[] = []
  const port = await httpUpstream(t, (request, response) => {
    seen.push(request.url ?? '')
    if (request.url === '/first') release = () => response.end('first')
    else response.end('next')
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  client.send(get('/first'))
  await eventually(() => release !== undefined)
  const many = get('/next', `X: ${'y'.repeat(8000)}`)
  let written = 0
  for (let n = 0; n < 4000 && client.socket.write(many); n++) written++
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  assert.ok(client.socket.writableLength > 0, `${written} requests of 8 KiB were taken while one was being answered`)
  assert.deepEqual(seen, ['/first'])
  release?.()
  await client.until((text) => count(text) === written + 2)
})

test('the same request again and again is forwarded the same, whatever was done to the one before', { timeout: 120_000 }, async (t) => {
  const heads: string[] = []
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', (bytes) => {
      heads.push(bytes.toString().replace(/x-request-id: .*\r\n/, ''))
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  for (let n = 1; n <= 5; n++) {
    client.send(get('/x?a=b', 'X-Forwarded-For: 6.6.6.6', 'Connection: X-Hop', 'X-Hop: 1', 'X-End: 2'))
    await client.until((text) => count(text) === n && text.endsWith('ok'))
  }
  assert.equal(new Set(heads).size, 1)
  assert.match(heads[0] ?? '', /x-end: 2\r\n/)
  assert.equal(heads[0]?.match(/x-forwarded-for: 127\.0\.0\.1\r\n/g)?.length, 1)
})

test('a small body that comes in two pieces is not mixed with those of others', { timeout: 120_000 }, async (t) => {
  const proxy = await echoing(t)
  const clients = await Promise.all(Array.from({ length: 20 }, () => rawClient(t, proxy.url)))
  for (const [n, client] of clients.entries()) client.send(post(`/${n}`, String.fromCharCode(97 + n).repeat(18)).slice(0, -9))
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  for (const [n, client] of clients.entries()) client.send(String.fromCharCode(97 + n).repeat(9))
  for (const [n, client] of clients.entries()) {
    assert.ok((await client.until((text) => text.endsWith(']'))).includes(`[POST /${n} ${String.fromCharCode(97 + n).repeat(18)}]`))
  }
})

test('uploads side by side to a backend that reads slowly keep every byte in its place', { timeout: 120_000 }, async (t) => {
  const size = 3_000_000
  const port = await httpUpstream(t, (request, response) => {
    const letter = (request.url ?? '').charCodeAt(1)
    let good = 0
    let pieces = 0
    request.on('data', (chunk: Buffer) => {
      if (chunk.every((byte) => byte === letter)) good += chunk.length
      if (++pieces % 8 !== 0) return
      request.pause()
      setTimeout(() => request.resume(), 2)
    })
    request.on('end', () => response.end(`[${good}]`))
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(async (letter, n) => {
    const body = letter.repeat(size)
    const response = await fetch(`${proxy.url}/${letter}`, {
      method: 'POST', ...(n % 2 ? { body } : { body: new Blob([body]).stream(), duplex: 'half' }),
    })
    assert.equal(await response.text(), `[${size}]`)
  }))
})

test('a body that is sent on while others are read is not changed by them', { timeout: 120_000 }, async (t) => {
  const last = 122
  // The backend takes nothing at first, so that what was read stays where it was read to.
  let go: (() => void) | undefined
  const whole = Promise.withResolvers<string>()
  const port = await rawUpstream(t, (socket) => {
    const chunks: Buffer[] = []
    socket.pause()
    go ??= () => socket.resume()
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (chunk.at(-1) === last) whole.resolve(Buffer.concat(chunks).toString('latin1'))
    })
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const client = await rawClient(t, proxy.url)
  const size = 12_000_000
  client.send(`POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size - 1)}z`)
  await eventually(() => go !== undefined)
  const other = await rawClient(t, proxy.url)
  for (let n = 0; n < 50; n++) other.send(`GET /\x7f${'!'.repeat(60)} HTTP/1.1\r\nHost: a\r\n\r\n`)
  await other.end()
  go?.()
  const body = (await whole.promise).split('\r\n\r\n')[1] ?? ''
  assert.deepEqual([body.length, /^x+z$/.test(body)], [size, true])
})

test('a body that is read by turns into the same memory arrives in its order, whenever the backend takes it', { timeout: 120_000 }, async (t) => {
  const sent = Buffer.from(Int32Array.from({ length: 2_000_000 }, (_, at) => at).buffer)
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (chunks.length % 8 !== 0) return
      request.pause()
      setTimeout(() => request.resume(), 2)
    })
    request.on('end', () => response.end(Buffer.concat(chunks).equals(sent) ? 'the same' : 'another'))
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const answers = await Promise.all([1, 2, 3, 4].map(async () => (await fetch(proxy.url, { method: 'POST', body: sent })).text()))
  assert.deepEqual(answers, ['the same', 'the same', 'the same', 'the same'])
})

for (const [what, bytes, expected] of [
  ['HTTP/1.0 ends with its answer', 'GET /a HTTP/1.0\r\n\r\n', /connection: close\r\n/],
  ['HTTP/1.0 that asks to keep it', 'GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', /connection: keep-alive\r\n/],
  ['HTTP/1.1 that asks to close it', get('/a', 'Connection: close'), /connection: close\r\n/],
  ['HTTP/1.1', get('/a'), /connection: keep-alive\r\nkeep-alive: timeout=75\r\n/],
] as const) {
  test(`the connection: ${what}`, { timeout: 120_000 }, async (t) => {
    const proxy = await echoing(t)
    const client = await rawClient(t, proxy.url)
    client.send(bytes)
    assert.match(await client.until((text) => text.includes('[GET /a ]')), expected)
    if (expected.source.includes('close')) await client.end()
    else {
      client.send(bytes)
      await client.until((text) => count(text) === 2)
    }
  })
}

test('an answer without a length goes to HTTP/1.0 without chunks, and what breaks it off is no end', { timeout: 120_000 }, async (t) => {
  const port = await rawUpstream(t, (socket) => {
    socket.on('data', (bytes) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
      if (bytes.includes('/whole')) socket.write('0\r\n\r\n')
      else setTimeout(() => socket.destroy(), 50)
    })
  })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const whole = await rawClient(t, proxy.url)
  whole.send('GET /whole HTTP/1.0\r\n\r\n')
  const { text, reset } = await whole.end()
  assert.ok(text.endsWith('\r\n\r\nhello') && !reset && !/chunked/.test(text), text)
  const broken = await rawClient(t, proxy.url)
  broken.send('GET /broken HTTP/1.0\r\n\r\n')
  const [error] = await once(broken.socket, 'error') as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNRESET')
})

test('half a head, and the end of the connection: 400', { timeout: 120_000 }, async (t) => {
  const proxy = await echoing(t)
  const client = await rawClient(t, proxy.url)
  client.socket.end('GET /a HTTP/1.1\r\nHost')
  assert.match((await client.end()).text, /^HTTP\/1\.1 400 /)
})

test('a client that closes its half behind its request gets the answer that is on its way, and no other', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, active('1', [], {}))
  const client = await rawClient(t, proxy.url)
  client.socket.end(get('/a'))
  assert.match((await client.end()).text, /^HTTP\/1\.1 404 /)
})

test('a connection that begins as HTTP/2 byte by byte is one, and what only looks like it is refused', { timeout: 120_000 }, async (t) => {
  const proxy = await echoing(t)
  const { hostname, port } = new URL(proxy.url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  t.after(() => socket.destroy())
  for (const byte of 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0') {
    socket.write(byte, 'latin1')
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const [settings] = await once(socket, 'data') as [Buffer]
  assert.equal(settings[3], 4, 'a frame of settings')
  const other = await rawClient(t, proxy.url)
  other.send('PRI * HTTP/2.0\r\n\r\nSX')
  assert.match((await other.end()).text, /^HTTP\/1\.1 400 /)
})
