import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { suite, test } from 'node:test'
import { testProxy } from '../dataplane/proxy.ts'
import { httpUpstream, rawClient, rawUpstream } from '../dataplane/sockets.ts'
import { active, route } from '../dataplane/table.ts'
import { shorthand } from './corpus.ts'
import { corpus } from './heads.ts'
import { nodeCounter } from './node.ts'
import { judge } from './verdict.ts'

suite('the client, the proxy and Node count the same requests', () => {
  assert.ok(corpus.length >= 80)
  for (const one of corpus) {
    test(`${one.hazard}: ${one.outcome.kind}`, { timeout: 120_000 }, async (t) => {
      const counter = nodeCounter()
      const port = await httpUpstream(t, counter.listener)
      const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
      await judge(t, proxy, [counter], one)
    })
  }
})

test('a head that grows byte by byte past the limit is served whole or refused with 431, never cut', { timeout: 120_000 }, async (t) => {
  let longest = 0
  const backend = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
    longest = Math.max(longest, String(request.headers['x-long']).length)
    response.end(`[${String(request.headers['x-long']).length} ${String(request.headers['x-last'])}]`)
  })
  const port = await rawUpstream(t, (socket) => { backend.emit('connection', socket) })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  let limit = 0
  for (let size = 16_250; size < 16_420; size++) {
    const client = await rawClient(t, proxy.url)
    client.send(shorthand.get(`X-Long: ${'y'.repeat(size)}`, 'X-Last: z', 'Connection: close'))
    const { text } = await client.end()
    if (text.startsWith('HTTP/1.1 200 ')) assert.ok(text.includes(`[${size} z]`), text)
    else {
      assert.match(text, /^HTTP\/1\.1 431 /)
      limit ||= size
    }
    assert.ok(limit === 0 || !text.startsWith('HTTP/1.1 200 '), 'what is longer than what was refused is refused')
  }
  assert.ok(limit > 0 && longest === limit - 1)
})
