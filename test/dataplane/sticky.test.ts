import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Rule } from '../../table/route.ts'
import { explain } from '../../dataplane/explain/explain.ts'
import { parseNetworks } from '../../dataplane/pipeline/networks.ts'
import type { ProxyOptions } from '../../dataplane/proxy_options.ts'
import { createRuntime } from '../../dataplane/runtime.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const half = [variant('stable', 'ml/a:80', { weight: 500_000 }), variant('canary', 'ml/b:80', { weight: 500_000 })]

/** Two versions that say which they are, and a rule that splits between them. */
async function split(t: TestContext, more: Partial<Rule>, headers: Readonly<Record<string, string>> = {}, options: Partial<ProxyOptions> = {}) {
  const cookies: (string | undefined)[] = []
  const port = (name: string) => httpUpstream(t, (request, response) => {
    cookies.push(request.headers.cookie)
    response.writeHead(200, headers).end(name)
  })
  const sets = { 'ml/a:80': [await port('stable')], 'ml/b:80': [await port('canary')] }
  const table = (version: string, rules: readonly Rule[]) => active(version, [route({ rules })], sets)
  const proxy = await testProxy(t, table('1', [rule({ variants: half, ...more })]), options)
  const ask = async (given: Readonly<Record<string, string>> = {}) => {
    const answer = await fetch(`${proxy.url}/p`, { headers: given })
    const body = await answer.text()
    assert.equal(answer.headers.get('x-modelroute-variant'), body)
    return { variant: body, cookie: answer.headers.get('set-cookie') }
  }
  return { proxy, ask, cookies, activate: (version: string, changed: Partial<Rule>) => proxy.activate(table(version, [rule({ variants: half, ...more, ...changed })])) }
}

const users = Array.from({ length: 40 }, (_, n) => `user-${n}`)
const canaryAt = (weight: number): Partial<Rule> => ({
  variants: [variant('stable', 'ml/a:80', { weight: 1_000_000 - weight }), variant('canary', 'ml/b:80', { weight })],
})

test('a header keeps its caller on one variant, over every edit of the weights but the one that moves it', { timeout: 120_000 }, async (t) => {
  const { ask, activate } = await split(t, { split: { by: 'Header', name: 'x-user' }, ...canaryAt(0) })
  const all = () => Promise.all(users.map(async (user) => (await ask({ 'x-user': user })).variant))
  let before = await all()
  assert.deepEqual(new Set(before), new Set(['stable']))
  for (const [n, weight] of [50_000, 250_000, 500_000, 900_000, 1_000_000].entries()) {
    activate(`up-${n}`, canaryAt(weight))
    const after = await all()
    assert.deepEqual(await all(), after)
    for (const [i, name] of after.entries()) if (before[i] === 'canary') assert.equal(name, 'canary', `${users[i]} went back`)
    before = after
  }
  assert.deepEqual(new Set(before), new Set(['canary']))
  activate('abort', canaryAt(0))
  assert.deepEqual(new Set(await all()), new Set(['stable']))
})

test('who has no key is given by weight, exactly', { timeout: 120_000 }, async (t) => {
  const { ask } = await split(t, { split: { by: 'Header', name: 'x-user' }, ...canaryAt(250_000) })
  let canary = 0
  for (let i = 0; i < 40; i++) if ((await ask(i % 2 === 0 ? {} : { 'x-user': '' })).variant === 'canary') canary++
  assert.equal(canary, 10)
})

test('a caller whom nobody knows is the address that they call from', { timeout: 120_000 }, async (t) => {
  const { ask } = await split(t, { split: { by: 'Principal' } })
  const all = await Promise.all(users.map(async () => (await ask()).variant))
  assert.equal(new Set(all).size, 1)
})

test('a cookie is set for who has none, says nothing of the variant, and keeps its caller there', { timeout: 120_000 }, async (t) => {
  const { ask, cookies, activate } = await split(t, { split: { by: 'Cookie', name: 'ab' } })
  const first = await Promise.all(users.map(() => ask()))
  assert.deepEqual(new Set(first.map(({ variant }) => variant)), new Set(['stable', 'canary']))
  const keys = first.map(({ cookie }) => /^ab=([\w-]{22}); Path=\/; Max-Age=31536000; HttpOnly; SameSite=Lax$/.exec(cookie ?? '')?.[1] ?? '')
  assert.equal(new Set(keys).size, users.length)
  const again = await Promise.all(keys.map((key) => ask({ cookie: `x=1; ab=${key};y=2` })))
  assert.deepEqual(again.map(({ variant, cookie }) => [variant, cookie]), first.map(({ variant }) => [variant, null]))
  // It is sent on as it came: it may be one of the application's own.
  assert.ok(cookies.includes(`x=1; ab=${keys[0]};y=2`))
  activate('2', canaryAt(1_000_000))
  assert.equal((await ask({ cookie: `ab=${keys[0]}` })).variant, 'canary')
})

test('the cookie is for TLS only where the caller came by it, as far as the hop before us can be believed', { timeout: 120_000 }, async (t) => {
  const trusted = parseNetworks(['127.0.0.0/8'])
  assert.ok(typeof trusted === 'function')
  for (const [options, secure] of [[{ trusted }, true], [{}, false]] as const) {
    const { ask } = await split(t, { split: { by: 'Cookie', name: 'ab' } }, {}, options)
    const { cookie } = await ask({ 'x-forwarded-proto': 'https' })
    assert.equal(cookie?.endsWith('; Secure'), secure)
  }
})

test('limits that count by variant count the one that the key has', { timeout: 120_000 }, async (t) => {
  const limit: NonNullable<Rule['limits']>[number] = {
    policy: 'ml/p', name: 'each', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [{ type: 'Variant' }],
    algorithm: { type: 'FixedWindow', window: 86_400_000 }, unit: 'requests', amount: 3, scope: 'Global', shadow: false, onStoreFailure: 'Local',
  }
  const { proxy } = await split(t, { split: { by: 'Header', name: 'x-user' }, limits: [limit] })
  const left = new Map([['stable', 3], ['canary', 3]])
  for (const user of users) {
    const answer = await fetch(proxy.url, { headers: { 'x-user': user } })
    const name = answer.headers.get('x-modelroute-variant') ?? ''
    const before = left.get(name) ?? 0
    assert.equal(answer.status, before > 0 ? 200 : 429, `${name} with ${before} left`)
    left.set(name, Math.max(0, before - 1))
  }
  assert.deepEqual([...left.values()], [0, 0])
})

test('a cookie that the backend sets itself is not set twice', { timeout: 120_000 }, async (t) => {
  const { ask } = await split(t, { split: { by: 'Cookie', name: 'session' } }, { 'set-cookie': 'session=own' })
  assert.equal((await ask()).cookie, 'session=own')
})

test('a header for testers wins over the key, and sets no cookie', { timeout: 120_000 }, async (t) => {
  const { ask } = await split(t, { split: { by: 'Cookie', name: 'ab' }, ...canaryAt(0), overrides: [{ header: 'x-canary', value: 'always', variant: 'canary' }] })
  assert.deepEqual(await ask({ 'x-canary': 'always', cookie: 'ab=k' }), { variant: 'canary', cookie: null })
  assert.deepEqual(await ask({ 'x-canary': 'always' }), { variant: 'canary', cookie: null })
  assert.equal((await ask({ 'x-canary': 'Always', cookie: 'ab=k' })).variant, 'stable')
})

test('the assignment is returned, logged and counted', { timeout: 120_000 }, async (t) => {
  const { proxy, ask } = await split(t, { split: { by: 'Header', name: 'x-user' } })
  const assigned = await Promise.all(users.map(async (user) => (await ask({ 'x-user': user })).variant))
  await eventually(() => proxy.lines().length === users.length)
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  for (const name of ['stable', 'canary']) {
    const count = assigned.filter((one) => one === name).length
    assert.ok(count > 0)
    assert.equal(proxy.lines().filter((line) => line['variant'] === name).length, count)
    assert.match(metrics, new RegExp(`modelroute_requests_total\\{route="ml/fraud",rule="infer",variant="${name}",.*\\} ${count}$`, 'm'))
  }
})

test('explain tells the bucket of a key, and neither takes a turn nor sets a cookie', { timeout: 120_000 }, async (t) => {
  const runtime = createRuntime()
  t.after(() => runtime.close())
  runtime.activate(active('1', [route({ rules: [
    rule({ variants: half, split: { by: 'Header', name: 'x-user' }, overrides: [{ header: 'x-canary', value: 'always', variant: 'canary' }] }),
    rule({ name: 'cookie', matches: [match('/cookie')], variants: half, split: { by: 'Cookie', name: 'ab' } }),
  ] })], {}))
  const why = async (url: string, headers: Record<string, string>) => {
    const { variant: chosen, steps } = await explain(runtime.table()!, { method: 'GET', url, headers })
    return [chosen, steps.find(({ filter }) => filter === 'split')?.why]
  }
  assert.deepEqual(await why('/', { 'x-user': 'ann' }), ['canary', 'by header x-user: bucket 1887119380 of 4294967296'])
  assert.deepEqual(await why('/', { 'x-user': 'ann', 'x-canary': 'always' }), ['canary', 'by the header x-canary'])
  for (let i = 0; i < 3; i++) assert.deepEqual(await why('/', {}), ['stable', 'by weight: the request has no header x-user'])
  assert.deepEqual(await why('/cookie', {}), ['stable', 'by weight: the request has no cookie ab, and would be given one'])
})
