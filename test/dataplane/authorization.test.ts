import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Auth, Permission } from '../../table/principal.ts'
import { keySet, withKeys } from './keys.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

const auth: Auth = { anyOf: [{ kind: 'apiKey', in: 'Header', name: 'x-api-key', set: 'ml?' }], anonymous: true }
const holders = keySet('ml?', { ann: { consumer: 'ann', groups: ['research'], tier: 'pro' }, bob: { consumer: 'bob', tier: 'free' } })

const allow = (more: Partial<Permission>): Permission => (
  { consumers: [], groups: [], tiers: [], scopes: [], models: [], methods: [], ...more }
)

type Call = Readonly<{ key?: string; path?: string; method?: string; body?: string; headers?: Record<string, string> }>

async function gateway(t: TestContext, authorization: readonly Permission[], terms: Auth | null = auth) {
  const port = await httpUpstream(t, (request, response) => void request.pipe(response))
  const own = rule({ ...(terms && { auth: terms }), authorization })
  const proxy = await testProxy(t, withKeys(active('1', [route({ rules: [own] })], { 'ml/s:80': [port] }), holders))
  return async ({ key, path = '/', method = 'POST', body = '', headers = {} }: Call): Promise<string> => {
    const all = { ...headers, ...(key !== undefined && { 'x-api-key': key }) }
    const answer = await fetch(proxy.url + path, { method, headers: all, ...(method === 'POST' && { body }) })
    const text = await answer.text()
    if (answer.status === 200 && method === 'POST') assert.equal(text, body, 'what was read is sent on')
    return answer.headers.get('x-modelroute-error') ?? String(answer.status)
  }
}

test('a request is let through when one permission holds, with all that it names', async (t) => {
  const call = await gateway(t, [allow({ consumers: ['bob'], methods: ['GET'] }), allow({ groups: ['research', 'x'], tiers: ['pro'] })])
  assert.equal(await call({ key: 'ann' }), '200')
  assert.equal(await call({ key: 'bob' }), 'forbidden')
  assert.equal(await call({ key: 'bob', method: 'GET' }), '200')
  assert.equal(await call({}), 'forbidden')
  assert.equal(await call({ key: 'nobody' }), 'unauthenticated')
})

test('a scope is one that the token has; an API key has none', async (t) => {
  const call = await gateway(t, [allow({ scopes: ['infer'] })])
  assert.equal(await call({ key: 'ann' }), 'forbidden')
})

test('where nobody is asked who calls, only what names no caller can hold', async (t) => {
  const call = await gateway(t, [allow({ methods: ['GET'] }), allow({ consumers: ['ann'] })], null)
  const open = await gateway(t, [allow({ methods: ['GET'] })], { anyOf: [], anonymous: true })
  assert.deepEqual([await call({ method: 'GET' }), await call({ key: 'ann' })], ['200', 'forbidden'])
  assert.deepEqual([await open({ method: 'GET' }), await open({})], ['200', 'forbidden'])
})

test('a model is the one in the path', async (t) => {
  const call = await gateway(t, [allow({ models: ['fraud', 'org/m'] })])
  assert.equal(await call({ path: '/v2/models/fraud/infer' }), '200')
  assert.equal(await call({ path: '/v2/models/f%72aud/versions/1/infer' }), '200')
  assert.equal(await call({ path: '/v2/models/org%2Fm/infer' }), '200')
  assert.equal(await call({ path: '/v1/models/fraud:predict' }), '200')
  assert.equal(await call({ path: '/v2/models/other/infer', body: '{"model":"fraud"}' }), 'forbidden')
  assert.equal(await call({ path: '/v2/health/ready' }), 'forbidden')
  assert.equal(await call({ path: '/elsewhere', body: '{"model":"fraud"}' }), 'forbidden')
})

test('a model is the one in the body on the paths of the OpenAI API, and no other reading of the body is let through', async (t) => {
  const call = await gateway(t, [allow({ consumers: ['ann'] }), allow({ models: ['cheap'] })])
  const path = '/v1/chat/completions'
  assert.equal(await call({ path, body: '{"messages":[{"model":"dear"}],"model":"cheap"}' }), '200')
  assert.equal(await call({ path, body: '{"model":"dear"}' }), 'forbidden')
  assert.equal(await call({ path, key: 'ann', body: '{"model":"dear"}' }), '200')
  assert.equal(await call({ path, body: '{"model":"cheap","model":"dear"}' }), 'invalid_request')
  assert.equal(await call({ path, body: '{"model":"cheap","MODEL":"dear"}' }), 'invalid_request')
  assert.equal(await call({ path, body: '{"model":["cheap"]}' }), 'forbidden')
  assert.equal(await call({ path, body: '' }), 'invalid_request')
  assert.equal(await call({ path: '/openai/v1/embeddings', body: '{"model":"cheap"}' }), '200')
})

test('an expression sees the request and the caller, and what it cannot tell is a no', async (t) => {
  const call = await gateway(t, [
    allow({ when: 'principal.tier == "pro" && request.headers["x-beta"] == "1"' }),
    allow({ when: 'request.model == "cheap"', methods: ['POST'] }),
    allow({ when: '"x-api-key" in request.headers || request.path == "/keys"' }),
    allow({ when: 'no expression' }),
  ])
  assert.equal(await call({ key: 'ann', headers: { 'x-beta': '1' } }), '200')
  assert.equal(await call({ key: 'ann' }), 'forbidden', 'the key itself is not to be seen')
  assert.equal(await call({ key: 'bob', headers: { 'x-beta': '1' } }), 'forbidden')
  assert.equal(await call({ path: '/v1/completions', body: '{"model":"cheap"}' }), '200')
})
