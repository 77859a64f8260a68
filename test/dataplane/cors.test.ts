import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Cors } from '../../table/cors.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule } from './table.ts'

const page = 'https://app.example.com'
const policy = (more: Partial<Cors> = {}): Cors => (
  { origins: [page, 'https://*.example.net'], methods: ['GET', 'POST'], headers: ['x-api-key'], expose: ['x-request-id'], credentials: false, maxAge: 600, ...more }
)
const closed = { anyOf: [], anonymous: false }

async function gateway(t: TestContext, cors: Cors | undefined) {
  let asked = 0
  const port = await httpUpstream(t, (request, response) => {
    asked++
    response.writeHead(200, { 'access-control-allow-origin': '*', 'access-control-allow-credentials': 'true', vary: 'Accept', 'x-method': request.method })
    response.end('served')
  })
  const shared = cors && { cors }
  const { url } = await testProxy(t, active('1', [route({
    rules: [
      rule({ ...shared, matches: [match('/v2', { method: 'POST', headers: [{ type: 'Exact', name: 'x-tier', value: 'gold' }] })] }),
      rule({ ...shared, name: 'guarded', auth: closed, matches: [match('/guarded')] }),
      rule({ ...shared, name: 'open', matches: [match('/open')] }),
    ],
  })], { 'ml/s:80': [port] }))
  const ask = async (path: string, headers: Record<string, string>, method = 'OPTIONS') => {
    const answer = await fetch(url + path, { method, headers })
    const told = [...answer.headers].filter(([name]) => name.startsWith('access-control-') || name === 'vary')
    return { status: answer.status, told: Object.fromEntries(told), error: answer.headers.get('x-modelroute-error') }
  }
  return { ask, asked: () => asked }
}

const preflight = (origin = page, method = 'POST', headers = 'x-api-key') => (
  { origin, 'access-control-request-method': method, ...(headers && { 'access-control-request-headers': headers }) }
)
const vary = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers'

test('a preflight is answered for whoever asks from a page that may, past credentials and other headers', async (t) => {
  const { ask, asked } = await gateway(t, policy())
  const expected = {
    'access-control-allow-origin': page, 'access-control-allow-methods': 'GET, POST', 'access-control-allow-headers': 'x-api-key',
    'access-control-max-age': '600', vary,
  }
  for (const path of ['/v2/models/m/infer', '/guarded', '/open']) {
    assert.deepEqual(await ask(path, preflight()), { status: 204, told: expected, error: null }, path)
  }
  assert.equal(asked(), 0)
})

test('a page that may not is told nothing, and its origin is not sent back', async (t) => {
  const { ask } = await gateway(t, policy())
  for (const origin of ['https://evil.example', 'http://app.example.com', 'https://app.example.com.evil.example', 'https://app.example.com:8443',
    'https://example.net', 'https://evil.example/.example.net', 'null', `${page}, https://a.example.net`]) {
    assert.deepEqual((await ask('/open', preflight(origin))).told, { vary }, origin)
    assert.deepEqual((await ask('/open', { origin }, 'GET')).told, { vary: 'Accept, Origin' }, origin)
  }
  assert.equal((await ask('/open', preflight('https://a.b.example.net'))).told['access-control-allow-origin'], 'https://a.b.example.net')
})

test('a preflight for a method that no rule serves here is a request like any other', async (t) => {
  const { ask } = await gateway(t, policy())
  assert.equal((await ask('/v2/models/m/infer', preflight(page, 'DELETE'))).error, 'no_route')
  assert.equal((await ask('/elsewhere', preflight())).error, 'no_route')
  assert.equal((await ask('/open', { origin: page })).status, 200, 'an OPTIONS without the question goes to the backend')
})

test('what the route says takes the place of what the backend says, in errors too', async (t) => {
  const { ask } = await gateway(t, policy({ credentials: true }))
  const told = { 'access-control-allow-origin': page, 'access-control-allow-credentials': 'true', 'access-control-expose-headers': 'x-request-id' }
  assert.deepEqual((await ask('/open', { origin: page }, 'GET')).told, { ...told, vary: 'Accept, Origin' })
  const refused = await ask('/guarded', { origin: page }, 'GET')
  assert.equal(refused.error, 'auth_unavailable')
  assert.deepEqual(refused.told, { ...told, vary: 'Origin' })
  assert.deepEqual((await ask('/open', {}, 'GET')).told, { vary: 'Accept, Origin' })
})

test('any origin, any method and any header: by name where the letter would be taken for a name', async (t) => {
  const { ask } = await gateway(t, policy({ origins: ['*'], methods: ['*'], headers: ['*'], expose: ['*'] }))
  assert.deepEqual((await ask('/open', preflight('https://x.example', 'PATCH', 'authorization, x-a,\tbad name'))).told, {
    'access-control-allow-origin': '*', 'access-control-allow-methods': 'PATCH', 'access-control-allow-headers': 'authorization, x-a',
    'access-control-max-age': '600', vary,
  })
  assert.deepEqual((await ask('/open', { origin: 'https://x.example' }, 'GET')).told, {
    'access-control-allow-origin': '*', 'access-control-expose-headers': '*', vary: 'Accept',
  })
})

test('a route that says nothing of it leaves all of it to the backend', async (t) => {
  const { ask, asked } = await gateway(t, undefined)
  assert.deepEqual((await ask('/open', preflight())).told, { 'access-control-allow-origin': '*', 'access-control-allow-credentials': 'true', vary: 'Accept' })
  assert.equal(asked(), 1)
})
