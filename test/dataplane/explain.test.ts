import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anonymous } from '../../dataplane/pipeline/principal.ts'
import { failure } from '../../dataplane/pipeline/errors.ts'
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
    assert.deepEqual((body['steps'] as unknown[]).at(-1), { filter: 'fallback', verdict: 'pass', why: 'stable cannot take it: no_endpoints' })
  }
  activate(active('2', [route({ rules: [rule({ variants, ...canned })] })], { none: [], 'ml/s:80': [] }))
  const { body } = await ask(urls.admin, { url: '/' })
  assert.deepEqual([body['variant'], body['code'], body['endpoint']], ['stable', undefined, undefined])
  assert.deepEqual((body['steps'] as { why: string }[]).map(({ why }) => why).slice(-2), ['b cannot take it: no_endpoints', 'the static answer, with status 202'])
})
