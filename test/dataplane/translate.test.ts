import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Variant } from '../../table/route.ts'
import { testProxy, type TestProxy } from './proxy.ts'
import { deadPort, httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

type Seen = { method: string; url: string; headers: IncomingMessage['headers']; body: Buffer }

/** A backend that answers by hand, and what it was asked. */
async function backend(t: TestContext, answer: (seen: Seen, response: ServerResponse) => void): Promise<{ port: number; seen: Seen[] }> {
  const seen: Seen[] = []
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks) }
      seen.push(one)
      answer(one, response)
    })
  })
  return { port, seen }
}

const inFrontOf = (t: TestContext, port: number, more: Partial<Variant>): Promise<TestProxy> =>
  testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('stable', 'ml/s:80', more)] })] })], { 'ml/s:80': [port] }))

test('V1 asks a V2 backend whether a model is ready, by the name that it has there', async (t) => {
  const { port, seen } = await backend(t, (_seen, response) => response.writeHead(200, { 'x-served-by': 'pod-1' }).end())
  const proxy = await inFrontOf(t, port, { protocol: 'V2', model: { name: 'fraud-model', version: '3' } })
  const answer = await fetch(`${proxy.url}/v1/models/fraud`)
  assert.deepEqual([answer.status, await answer.json()], [200, { name: 'fraud', ready: true, id: 'fraud', object: 'model', created: 0, owned_by: '' }])
  assert.equal(answer.headers.get('x-served-by'), 'pod-1')
  assert.deepEqual(seen.map(({ method, url }) => [method, url]), [['GET', '/v2/models/fraud-model/versions/3/ready']])
})

test('V2 asks a V1 backend the same', async (t) => {
  const { port, seen } = await backend(t, (_seen, response) => response.writeHead(200).end('{"name":"fraud","ready":true}'))
  const proxy = await inFrontOf(t, port, { protocol: 'V1' })
  const answer = await fetch(`${proxy.url}/v2/models/fraud/ready`)
  assert.deepEqual([answer.status, await answer.text(), seen[0]?.url], [200, '{"name":"fraud","ready":true}', '/v1/models/fraud'])
})

test('the error of a backend comes in the form of the caller, packed or not', async (t) => {
  const body = gzipSync('{"detail":"Model fraud not found"}')
  const { port } = await backend(t, (_seen, response) => response.writeHead(404, { 'content-encoding': 'gzip' }).end(body))
  const proxy = await inFrontOf(t, port, { protocol: 'V2' })
  const answer = await fetch(`${proxy.url}/v1/models/fraud`)
  assert.deepEqual([answer.status, await answer.json(), answer.headers.get('content-encoding')], [404, { error: 'Model fraud not found' }, null])
})

test('an answer that unpacks to more than is let through is refused', async (t) => {
  const bomb = gzipSync(Buffer.alloc(32 * 1024 * 1024))
  const { port } = await backend(t, (_seen, response) => response.writeHead(404, { 'content-encoding': 'gzip' }).end(bomb))
  const proxy = await inFrontOf(t, port, { protocol: 'V2' })
  const answer = await fetch(`${proxy.url}/v1/models/fraud`)
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [502, 'response_too_large'])
})

test('what cannot be said to the backend is refused, and it sees nothing of it', async (t) => {
  const { port, seen } = await backend(t, (_seen, response) => response.end())
  const proxy = await inFrontOf(t, port, { protocol: 'V2' })
  const answer = await fetch(`${proxy.url}/v1/models/fraud:explain`, { method: 'POST', body: '{}' })
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error'), seen.length], [422, 'unsupported_translation', 0])
})

test('a fallback that speaks another protocol gets what the caller said, in its own terms', async (t) => {
  const { port, seen } = await backend(t, (_seen, response) => response.writeHead(200).end('{"name":"fraud","ready":true}'))
  const variants = [variant('stable', 'ml/s:80', { protocol: 'V2' }), variant('spare', 'ml/f:80', { protocol: 'V1', priority: 1 })]
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ variants })] })], { 'ml/s:80': [await deadPort()], 'ml/f:80': [port] }))
  const answer = await fetch(`${proxy.url}/v2/models/fraud/ready`)
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-fallback'), seen[0]?.url], [200, 'spare', '/v1/models/fraud'])
})

test('who speaks as the backend does is not looked at', async (t) => {
  const { port, seen } = await backend(t, ({ body }, response) => response.writeHead(200, { 'content-type': 'text/odd' }).end(body))
  const proxy = await inFrontOf(t, port, { protocol: 'V2' })
  const answer = await fetch(`${proxy.url}/v2/models/fraud/infer?x=1`, { method: 'POST', body: 'not even JSON', headers: { 'accept-encoding': 'br' } })
  assert.deepEqual([answer.status, await answer.text(), answer.headers.get('content-type')], [200, 'not even JSON', 'text/odd'])
  assert.deepEqual([seen[0]?.url, seen[0]?.headers['accept-encoding']], ['/v2/models/fraud/infer?x=1', 'br'])
})
