import assert from 'node:assert/strict'
import { createHmac, hash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { Vault } from '../../dataplane/vault.ts'
import type { ApiKey } from '../../table/credentials.ts'
import type { Limit } from '../../table/limits.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, match, route, rule } from './table.ts'

const pepper = Buffer.from('pepper')
const keyOf = (key: string, more: Partial<ApiKey> = {}): ApiKey => ({
  digest: createHmac('sha256', pepper).update(hash('sha256', key, 'buffer')).digest('hex'), name: `${key}-secret`, consumer: key, groups: [], ...more,
})
const auth = (set: string, place: 'Header' | 'Bearer' = 'Header') =>
  ({ anyOf: [{ kind: 'apiKey' as const, in: place, name: place === 'Header' ? 'x-api-key' : '', set }], anonymous: false })
const anybody = { consumers: [], groups: [], tiers: [], scopes: [], models: [], methods: [] }
const daily: Limit = {
  policy: 'ml/p', name: 'daily', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [{ type: 'Principal' }],
  algorithm: { type: 'FixedWindow', window: 86_400_000 }, unit: 'requests', amount: 10, scope: 'Global', shadow: false, onStoreFailure: 'Local',
}

async function portal(t: TestContext) {
  const port = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('ok')) })
  const routes = [
    route({ id: 'ml/fraud', tenant: 'ml', rules: [
      rule({ name: 'v2', auth: auth('ml?'), limits: [daily], matches: [match('/v2/models/fraud')] }),
      rule({ name: 'chat', auth: auth('ml?', 'Bearer'), authorization: [{ ...anybody, models: ['llama<b>'] }], matches: [match('/v1')] }),
      rule({ name: 'vip', auth: auth('ml?'), authorization: [{ ...anybody, consumers: ['bob'] }], matches: [match('/v2/models/secret-of-bob')] }),
    ] }),
    route({ id: 'other/x', tenant: 'other', hostnames: ['other.example.com'], rules: [rule({ name: 'r', auth: auth('other?'), matches: [match('/v2/models/tucked-away')] })] }),
  ]
  const table = active('1', routes, { 'ml/s:80': [port] })
  const credentials = new Map([
    ['ml?', { id: 'ml?', keys: [keyOf('ann', { tier: 'pro', groups: ['<i>team'] }), keyOf('bob'), keyOf('old', { expires: 1 })] }],
    ['other?', { id: 'other?', keys: [keyOf('mallory')] }],
  ])
  const proxy = await testProxy(t, undefined, { vault: new Vault(pepper), portal: true })
  assert.deepEqual(proxy.activate({ ...table, credentials }), [])
  const at = `${proxy.url}/portal`
  const signIn = (key: string, headers: Record<string, string> = {}) =>
    fetch(`${at}/sign-in`, { method: 'POST', body: new URLSearchParams({ key }), redirect: 'manual', headers: { origin: proxy.url, ...headers } })
  const cookieOf = (answer: Response) => (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
  const page = async (cookie: string) => (await fetch(at, { headers: { cookie } })).text()
  return { proxy, at, signIn, cookieOf, page, table, credentials }
}

test('the holder of a key sees their models, snippets, limits and what is left, and nobody else\'s', async (t) => {
  const { proxy, signIn, cookieOf, page } = await portal(t)
  for (let i = 0; i < 3; i++) await (await fetch(`${proxy.url}/v2/models/fraud/infer`, { method: 'POST', body: '{}', headers: { 'x-api-key': 'ann' } })).text()
  const cookie = cookieOf(await signIn('ann'))
  const text = await page(cookie)
  assert.match(text, /<dd>ann<\/dd>/)
  assert.match(text, /3 served, 0 refused/)
  assert.match(text, /daily: 3 of 10 requests in 24 h used, 7 left/)
  assert.match(text, /<h3>fraud<\/h3>[\s\S]*curl -X POST &#39;http:\/\/127\.0\.0\.1:\d+\/v2\/models\/fraud\/infer&#39;[\s\S]*tritonclient/)
  assert.match(text, /<h3>llama&lt;b&gt;<\/h3>[\s\S]*from openai import OpenAI/)
  for (const hidden of ['secret-of-bob', 'tucked-away', 'mallory', '<i>team', '<b>', 'bob']) assert.ok(!text.includes(hidden), hidden)
  assert.match(await page(cookieOf(await signIn('bob'))), /secret-of-bob/)
  assert.match(await page(cookie), /daily: 3 of 10/, 'looking takes nothing')
})

test('only a key that holds opens a session, and it ends with the key', async (t) => {
  const { proxy, signIn, cookieOf, page, table, credentials } = await portal(t)
  for (const key of ['nobody', 'old', '', 'ann\0']) {
    const answer = await signIn(key)
    assert.ok([400, 401].includes(answer.status), key)
    assert.equal(answer.headers.get('set-cookie'), null)
  }
  const answer = await signIn('ann')
  assert.equal(answer.status, 303)
  assert.match(answer.headers.get('set-cookie') ?? '', /^modelroute-portal=[\w-]+; Max-Age=\d+; Path=\/portal; HttpOnly; SameSite=Strict$/)
  const cookie = cookieOf(answer)
  const bytes = Buffer.from(cookie.split('=')[1] ?? '', 'base64url')
  for (const at of [0, 20, bytes.length - 1]) {
    const forged = Buffer.from(bytes)
    forged[at] = (forged[at] ?? 0) ^ 1
    assert.match(await page(`modelroute-portal=${forged.toString('base64url')}`), /Your API key/)
  }
  assert.match(await page('modelroute-portal=x'), /Your API key/)
  assert.match(await page(cookie), /<dd>ann<\/dd>/)
  const ml = { id: 'ml?', keys: (credentials.get('ml?')?.keys ?? []).filter(({ consumer }) => consumer !== 'ann') }
  proxy.activate({ ...table, version: '2', credentials: new Map(credentials).set('ml?', ml) })
  assert.match(await page(cookie), /Your API key/)
})

test('another site can neither sign in, nor out, nor frame it, nor run a script in it', async (t) => {
  const { at, signIn, cookieOf } = await portal(t)
  assert.equal((await signIn('ann', { origin: 'https://evil.example' })).status, 400)
  assert.equal((await signIn('ann', { 'sec-fetch-site': 'cross-site' })).status, 400)
  assert.equal((await fetch(`${at}/sign-in`, { method: 'POST', body: '{"key":"ann"}', headers: { 'content-type': 'text/plain' } })).status, 400)
  const cookie = cookieOf(await signIn('ann'))
  for (const what of ['sign-out', 'rotate']) {
    for (const body of [new URLSearchParams(), new URLSearchParams({ token: 'x'.repeat(43) })]) {
      assert.equal((await fetch(`${at}/${what}`, { method: 'POST', body, headers: { cookie }, redirect: 'manual' })).status, 403)
    }
  }
  // From another site a browser sends no cookie (SameSite=Strict), and would forget it all the same if it were told to.
  const elsewhere = await fetch(`${at}/sign-out`, { method: 'POST', body: new URLSearchParams({ token: 'x' }), redirect: 'manual' })
  assert.deepEqual([elsewhere.status, elsewhere.headers.get('set-cookie')], [303, null])
  const shown = await fetch(at, { headers: { cookie } })
  const token = /name="token" value="([^"]+)"/.exec(await shown.text())?.[1] ?? ''
  assert.equal(shown.headers.get('content-security-policy'), "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
  assert.deepEqual([shown.headers.get('x-frame-options'), shown.headers.get('cache-control')], ['DENY', 'no-store'])
  const out = await fetch(`${at}/sign-out`, { method: 'POST', body: new URLSearchParams({ token }), headers: { cookie }, redirect: 'manual' })
  assert.match(out.headers.get('set-cookie') ?? '', /Max-Age=0/)
})

test('the portal is only there where it was asked for, and a stranger\'s key is in no log', async (t) => {
  const { proxy, signIn } = await portal(t)
  await (await signIn('canary-of-a-key')).text()
  await (await signIn('ann')).text()
  const text = proxy.text()
  assert.ok(text.includes('/portal/sign-in') && !text.includes('canary-of-a-key'))
  assert.ok(text.includes('"msg":"audit"') && text.includes('"credential":"ann-secret"'))
  const without = await testProxy(t, active('1', [], {}))
  assert.equal((await fetch(`${without.url}/portal`)).status, 404)
})
