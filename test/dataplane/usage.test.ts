import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rawHeader } from '../../dataplane/pipeline/door.ts'
import { failure } from '../../dataplane/pipeline/errors.ts'
import { anonymous, type Authenticate } from '../../dataplane/pipeline/principal.ts'
import { readPriceList } from '../../dataplane/prices/list.ts'
import type { Limit } from '../../table/limits.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, match, route, rule } from './table.ts'

const perDay: Limit = {
  policy: 'ml/calls', name: 'calls', appliesTo: { tiers: [], groups: [], consumers: [], models: [] },
  counters: [{ type: 'Principal' }], algorithm: { type: 'FixedWindow', window: 86_400_000 }, amount: 3, unit: 'requests', scope: 'Local', shadow: false, onStoreFailure: 'Local',
}

test('GET /usage tells what every consumer took, whether or not a limit was for it, and of others those that a limit counts', async (t) => {
  const prices = readPriceList({ currency: 'EUR', prices: [{ name: 'tokens', inputTokens: '0.5', outputTokens: '2' }] })
  assert.ok('prices' in prices)
  const answer = JSON.stringify({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } })
  const upstream = await httpUpstream(t, (request, response) => {
    request.resume().on('end', () => response.setHeader('content-type', 'application/json').end(answer))
  })
  const principals = new Map(['ann', 'bob'].map((consumer) => [consumer, { ...anonymous, via: 'apiKey' as const, consumer }]))
  const authenticate: Authenticate = ({ request }) => {
    const key = rawHeader(request, 'x-key')
    return key === undefined ? anonymous : principals.get(key) ?? failure('unauthenticated', 'Nobody has this key.')
  }
  const auth = { anyOf: [], anonymous: true }
  const proxy = await testProxy(t, active('1', [
    route({ id: 'ml/open', rules: [rule({ name: 'a', auth, matches: [match('/v1')] }), rule({ name: 'limited', auth, matches: [match('/v1/embeddings')], limits: [perDay] })] }),
    route({ id: 'other/open', hostnames: ['localhost'], rules: [rule({ auth })] }),
  ], { 'ml/s:80': [upstream] }), { prices, ledger: { to: { to: 'stdout' } }, filterDeps: { authenticators: () => authenticate } })
  let asked = 0
  const ask = async (path: string, key?: string, base = proxy.url) => {
    const { status } = await fetch(new URL(path, base), { method: 'POST', headers: { 'content-type': 'application/json', ...(key !== undefined && { 'x-key': key }) }, body: '{"model":"m","messages":[]}' })
      .then(async (answer) => (await answer.arrayBuffer(), answer))
    asked++
    return status
  }
  assert.deepEqual([await ask('/v1/chat/completions', 'ann'), await ask('/v1/chat/completions', 'ann'), await ask('/v1/chat/completions'), await ask('/v1/chat/completions', 'eve')], [200, 200, 200, 401])
  assert.deepEqual([await ask('/v1/embeddings', 'bob'), await ask('/v1/chat/completions', 'bob')], [200, 200])
  const statuses = []
  for (let i = 0; i < 4; i++) statuses.push(await ask('/v1/embeddings'))
  assert.deepEqual(statuses, [200, 200, 200, 429])
  assert.equal(await ask('/v1/chat/completions', 'ann', proxy.url.replace('127.0.0.1', 'localhost')), 200, 'the same name with another tenant')
  await eventually(() => proxy.lines().length === asked)

  const { items } = await (await fetch(new URL('/usage', proxy.urls.admin))).json() as { items: object[] }
  const took = (requests: number, rejected = 0) => ({ requests, rejected, inputTokens: requests * 10, outputTokens: requests * 5, rows: requests, cost: requests * 15 })
  const left = (remaining: number) => ({ policy: 'ml/calls', limit: 'calls', unit: 'requests', amount: 3, remaining })
  const told = items.map((item) => JSON.parse(JSON.stringify(item, (name, value: unknown) => (name === 'resetSeconds' ? undefined : value))) as object)
  assert.deepEqual(told, [
    { tenant: 'other', consumer: 'ann', ...took(1), limits: [] },
    { tenant: 'ml', address: '127.0.0.1', ...took(3, 1), limits: [left(0)] },
    { tenant: 'ml', consumer: 'bob', ...took(2), limits: [left(2)] },
    { tenant: 'ml', consumer: 'ann', ...took(2), limits: [] },
  ])
})
