import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Auth, Permission } from '../../table/principal.ts'
import type { Route } from '../../table/route.ts'
import { keySet, withKeys } from './keys.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule } from './table.ts'

const auth = (set: string): Auth => ({ anyOf: [{ kind: 'apiKey', in: 'Header', name: 'x-api-key', set }], anonymous: false })
const allow = (more: Partial<Permission>): Permission => (
  { consumers: [], groups: [], tiers: [], scopes: [], models: [], methods: [], ...more }
)

async function gateway(t: TestContext, routes: readonly Route[]) {
  const port = await httpUpstream(t, (_, response) => void response.end('"the backend"'))
  const keys = [
    keySet('ml?', { ann: { consumer: 'ann', tier: 'pro' }, bob: { consumer: 'bob', tier: 'free' } }),
    keySet('other?', { eve: { consumer: 'ann', tier: 'pro' } }),
  ]
  const proxy = await testProxy(t, withKeys(active('1', routes, { 'ml/s:80': [port] }), ...keys))
  return async (path: string, key?: string, method = 'GET') => {
    const answer = await fetch(proxy.url + path, { method, headers: key === undefined ? {} : { 'x-api-key': key } })
    const body: unknown = await answer.json()
    return answer.status === 200 ? body : answer.headers.get('x-modelroute-error')
  }
}

const mine = (rules: Route['rules']) => route({ rules: rules.map((each) => ({ ...each, auth: auth('ml?') })) })
const theirs = route({
  id: 'other/route', tenant: 'other', rules: [rule({ auth: auth('other?'), matches: [match('/v2/models/secret')] })],
})
const names = (list: unknown) => (list as { data: { id: string }[] }).data.map(({ id }) => id)

test('a caller sees what they may use, and nothing of other tenants', async (t) => {
  const ask = await gateway(t, [mine([
    rule({ name: 'all', matches: [match('/v2/models/fraud', { model: { name: 'fraud', version: '2' } }), match('/v2/models/churn', { method: 'POST' })] }),
    rule({ name: 'pro', matches: [match('/v2/models/dear')], authorization: [allow({ tiers: ['pro'] })] }),
    rule({ name: 'chat', matches: [match('/v1/chat/completions')], authorization: [allow({ models: ['llama'], tiers: ['free'] }), allow({ models: ['gpt'], tiers: ['pro'] })] }),
  ]), theirs])
  assert.deepEqual(names(await ask('/v1/models', 'ann')), ['churn', 'dear', 'fraud', 'gpt'])
  assert.deepEqual(names(await ask('/v1/models', 'bob')), ['churn', 'fraud', 'llama'])
  assert.deepEqual(await ask('/v2/repository/index', 'bob', 'POST'), [
    { name: 'churn', state: 'READY' }, { name: 'fraud', version: '2', state: 'READY' }, { name: 'llama', state: 'READY' },
  ])
  assert.deepEqual(names(await ask('/v1/models', 'eve')), ['secret'])
  assert.equal(await ask('/v1/models'), 'unauthenticated')
  assert.equal(await ask('/v1/models', 'nobody'), 'unauthenticated')
})

test('a rule that serves the list beats the one of the gateway', async (t) => {
  const ask = await gateway(t, [route({ rules: [rule({ matches: [match('/v1/models', { type: 'Exact' }), match('/v2/models/fraud')] })] })])
  assert.equal(await ask('/v1/models'), 'the backend')
  assert.deepEqual(await ask('/v2/repository/index'), [{ name: 'fraud', state: 'READY' }])
})

test('where no route names a model there is no list', async (t) => {
  const ask = await gateway(t, [route({ rules: [rule({ matches: [match('/predict')] })] })])
  assert.equal(await ask('/v1/models'), 'no_route')
  assert.equal(await ask('/v2/repository/index', undefined, 'DELETE'), 'no_route')
})
