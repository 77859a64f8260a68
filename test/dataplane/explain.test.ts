import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous } from '../../dataplane/pipeline/principal.ts'
import { failure } from '../../dataplane/pipeline/errors.ts'
import type { Explanation } from '../../dataplane/explain/explain.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const pro = { consumers: ['ann'], groups: [], tiers: [], claims: [] }
const auth = { anyOf: [], anonymous: false }

const table = (port: number) => active('1', [
  route({
    rules: [
      rule({ name: 'ann', auth, matches: [match('/v1', { method: 'POST', principal: pro })], variants: [variant('a', 'ml/s:80')] }),
      rule({
        name: 'rest', matches: [match('/v1', { method: 'POST' })],
        variants: [variant('b', 'ml/s:80', { weight: 500_000 }), variant('c', 'ml/s:80', { weight: 500_000 })],
      }),
    ],
  }),
  route({ id: 'ml/other', hostnames: ['b.example'], rules: [rule({ name: 'all' })] }),
], { 'ml/s:80': [port] })

const filterDeps = { authenticators: () => () => failure('unauthenticated', 'Who calls?') }

async function ask(admin: string | undefined, question: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(`${admin}/explain`, { method: 'POST', body: JSON.stringify(question) })
  const text = await answer.text()
  return { status: answer.status, body: answer.status === 200 ? JSON.parse(text) as Record<string, unknown> : { text } }
}

test('explain says which rule serves a request, and why the others do not', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const { urls } = await testProxy(t, table(port), { filterDeps })
  const { body } = await ask(urls.admin, { method: 'POST', url: '/v1/chat' })
  assert.deepEqual([body['route'], body['rule'], body['endpoint']], ['ml/fraud', 'rest', `127.0.0.1:${port}`])
  assert.deepEqual(body['considered'], [
    { route: 'ml/fraud', rule: 'ann', why: 'the caller is not one it is for' },
    { route: 'ml/other', rule: 'all', why: 'the host is none of b.example' },
  ])
  assert.deepEqual(body['endpoints'], [{ endpoint: `127.0.0.1:${port}`, cost: 0, why: 'its turn is next' }])
  const asAnn = await ask(urls.admin, { method: 'POST', url: '/v1/chat', as: 'ann' })
  assert.deepEqual([asAnn.body['rule'], asAnn.body['variant']], ['ann', 'a'])
  const get = await ask(urls.admin, { url: 'http://b.test/v1' })
  assert.deepEqual([get.body['code'], get.body['route']], ['method_not_allowed', undefined])
})

test('explaining takes no turn of the split: what is said is what the next request meets', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const { urls, url } = await testProxy(t, table(port), { filterDeps: { authenticators: () => () => anonymous } })
  const told: unknown[] = []
  const met: unknown[] = []
  for (let i = 0; i < 10; i++) {
    for (let again = 0; again < 3; again++) told[i] = (await ask(urls.admin, { method: 'POST', url: '/v1' })).body['variant']
    met.push((await fetch(`${url}/v1`, { method: 'POST' })).headers.get('x-modelroute-variant'))
  }
  assert.deepEqual(told, met)
  assert.deepEqual(new Set(met), new Set(['b', 'c']))
})

test('a question that cannot be read is answered with what is wrong with it', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const { urls } = await testProxy(t, table(port))
  for (const [question, why] of [[{ url: '' }, /url/], [{ url: '/', how: 1 }, /how/], [{ url: 'http://' }, /url/], [{ method: 'a b', url: '/' }, /method/]] as const) {
    const { status, body } = await ask(urls.admin, question)
    assert.equal(status, 400)
    assert.match(String(body['text']), why)
  }
  assert.equal((await fetch(`${urls.admin}/explain`)).status, 405)
})

test('explain says who takes a request whose variant cannot, takes no turn for it, and names the static answer', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const variants = [variant('stable', 'none'), variant('a', 'ml/s:80', { priority: 1, weight: 500_000 }), variant('b', 'ml/s:80', { priority: 1, weight: 500_000 })]
  const canned = { fallbackResponse: { status: 202, contentType: 'text/plain', body: 'later' } }
  const { urls, activate } = await testProxy(t, active('1', [route({ rules: [rule({ variants })] })], { none: [], 'ml/s:80': [port] }))
  for (let i = 0; i < 3; i++) {
    const { body } = await ask(urls.admin, { url: '/' })
    assert.deepEqual([body['variant'], body['code'], body['endpoint']], ['a', undefined, `127.0.0.1:${port}`])
    assert.deepEqual((body['steps'] as unknown[]).at(-2), { filter: 'fallback', verdict: 'pass', why: 'stable cannot take it: no_endpoints' })
  }
  activate(active('2', [route({ rules: [rule({ variants, ...canned })] })], { none: [], 'ml/s:80': [] }))
  const { body } = await ask(urls.admin, { url: '/' })
  assert.deepEqual([body['variant'], body['code'], body['endpoint']], ['stable', undefined, undefined])
  assert.deepEqual((body['steps'] as { why: string }[]).map(({ why }) => why).slice(-2), ['b cannot take it: no_endpoints', 'the static answer, with status 202'])
})

const daily = {
  policy: 'ml/tiers', name: 'daily', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [], algorithm: { type: 'FixedWindow', window: 86_400_000 },
  unit: 'requests', amount: 3, scope: 'Local', shadow: false, onStoreFailure: 'Local',
} as const
const kept = { ttl: 60_000, scope: 'Shared', maxBytes: 1_000_000, maxEntryBytes: 100_000, headers: [], pointers: [], tags: [], billed: 100 } as const

const told = async (admin: string | undefined, question: object) => (await ask(admin, question)).body as unknown as Explanation

/** Without what the time alone changes. */
const counted = async (admin: string | undefined) => (await (await fetch(`${admin}/metrics`)).text()).split('\n').filter((line) => /^modelroute_(?!event_loop|table_age)/.test(line)).join('\n')

test('explaining takes nothing: no backend is called, nothing is counted, charged or kept', async (t) => {
  let calls = 0
  const port = await httpUpstream(t, (_, response) => {
    calls++
    response.setHeader('content-type', 'application/json')
    response.end('{}')
  })
  const rules = [rule({
    limits: [daily], cache: kept, variants: [variant('a', 'ml/s:80', { weight: 500_000 }), variant('b', 'ml/s:80', { weight: 500_000 })],
    validation: { request: { source: 'ModelMetadata' } },
  }), rule({ name: 'kept', matches: [match('/kept')], limits: [daily], cache: kept })]
  const { urls, url } = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port] }))
  const kv = { method: 'POST', url: '/v2/models/m/infer', body: '{"inputs":[]}', headers: { 'content-type': 'application/json' } }
  const before = await counted(urls.admin)
  for (const question of [kv, { url: '/kept' }, kv, { url: '/kept' }]) {
    const { limits, cache } = await told(urls.admin, question)
    assert.deepEqual([limits?.map(({ left, asks, allows }) => [left, asks, allows]), cache?.result], [[[3, 1, true]], 'miss'])
  }
  assert.equal(calls, 0)
  assert.equal(await counted(urls.admin), before)
  const answer = await fetch(`${url}/kept`)
  assert.deepEqual([answer.headers.get('x-modelroute-cache'), answer.headers.get('ratelimit')?.startsWith('"daily";r=2')], ['miss', true])
  const { cache, steps } = await told(urls.admin, { url: `${url}/kept` })
  assert.deepEqual([cache?.result, cache?.lifetime, cache?.key?.length, steps.at(-1)?.verdict], ['hit', 60, 16, 'answer'])
  assert.equal((await told(urls.admin, { url: `${url}/kept`, headers: { 'cache-control': 'no-store' } })).cache?.why, 'no-store')
})

test('explain says of each step what it changes, by names and never by values', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const transform = { request: { headers: { set: [{ name: 'x-team', value: 'secret-1' }], add: [], remove: ['x-old'] }, body: { set: [{ pointer: '/parameters/x', value: '"secret-2"' }], remove: ['/ssn'] } } }
  const served = variant('a', 'ml/s:80', { model: { name: 'fraud-v3', version: '3' } })
  const { urls } = await testProxy(t, active('1', [route({ rules: [rule({ transform, variants: [served] })] })], { 'ml/s:80': [port] }))
  const said = await told(urls.admin, {
    method: 'POST', url: '/v2/models/fraud/infer', body: '{"ssn":"secret-3","inputs":[]}', headers: { 'content-type': 'application/json', 'x-old': 'secret-4' },
  })
  const changes = new Map(said.steps.map((step) => [step.filter, step.changes]))
  assert.deepEqual(changes.get('transform'), { headers: { set: ['x-team'], removed: ['x-old'] }, body: { set: ['/parameters'], removed: ['/ssn'] } })
  assert.deepEqual(changes.get('backend'), { path: '/v2/models/fraud-v3/versions/3/infer' })
  assert.doesNotMatch(JSON.stringify(said), /secret/)
  assert.deepEqual(said.terms?.timeouts, { request: 30_000, backendRequest: 30_000, connect: 10_000 })
})

test('of a rule that matches too, explain says by what the chosen one comes before it', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end())
  const header = { name: 'x-tier', type: 'Exact', value: 'gold' } as const
  const rules = [
    rule({ name: 'header', matches: [match('/a', { headers: [header] })] }), rule({ name: 'plain', matches: [match('/a')] }), rule({ name: 'again', matches: [match('/a')] }),
    rule({ name: 'short', matches: [match('/')] }), rule({ name: 'pattern', matches: [match('/a.*', { type: 'Regex', method: 'PUT' })] }),
  ]
  const { urls } = await testProxy(t, active('1', [
    route({ rules, hostnames: ['a.example'] }), route({ id: 'ml/wide', hostnames: ['*.example'] }), route({ id: 'other/any', tenant: 'other' }),
  ], { 'ml/s:80': [port] }))
  const why = async (headers: Record<string, string>) => new Map((await told(urls.admin, { url: 'http://a.example/a', headers })).considered.map(({ route: id, rule: name, why: reason }) => [id === 'ml/fraud' ? name : id, reason]))
  const gold = await why({ 'x-tier': 'gold' })
  assert.equal(gold.get('plain'), 'it matches too, but the chosen one asks for more headers')
  assert.equal(gold.get('short'), 'it matches too, but the chosen one has the longer path')
  assert.equal(gold.get('pattern'), 'the method is not PUT')
  assert.equal(gold.get('ml/wide'), 'it matches too, but the chosen one is for a more specific host')
  const plain = await why({})
  assert.equal(plain.get('header'), 'the header x-tier is not "gold"')
  assert.equal(plain.get('again'), 'it matches too, but the chosen one is of a rule that comes first in the route')
  const elsewhere = await told(urls.admin, { url: 'http://b.example/a', source: '10.1.2.3' })
  assert.equal(elsewhere.considered.find((one) => one.route === 'other/any')?.why, 'it matches too, but the chosen one is for a more specific host')
})
