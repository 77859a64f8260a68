import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Authenticate, Principal } from '../../dataplane/pipeline/principal.ts'
import { anonymous } from '../../dataplane/pipeline/principal.ts'
import type { Rule } from '../../table/route.ts'
import type { Limit } from '../../table/limits.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const everybody = { tiers: [], groups: [], consumers: [], models: [] }

function limit(name: string, amount: number, more: Partial<Limit> = {}): Limit {
  return {
    policy: 'ml/tiers', name, appliesTo: everybody, counters: [], algorithm: { type: 'FixedWindow', window: 86_400_000 },
    unit: 'requests', amount, scope: 'Global', shadow: false, onStoreFailure: 'Local', ...more,
  }
}

/** `x-who: alice free acme,beta`: consumer, tier, groups. */
const authenticate: Authenticate = (exchange) => {
  const [consumer = '', tier, groups] = exchange.header('x-who')?.split(' ') ?? []
  if (consumer === '') return anonymous
  const principal: Principal = {
    ...anonymous, via: 'jwt', consumer, tier, groups: groups?.split(',') ?? [], claims: new Map([['org', ['x', tier]]]),
  }
  return principal
}

async function proxyWith(t: TestContext, limits: readonly Limit[], more: Partial<Rule> = {}) {
  const port = await httpUpstream(t, (_, response) => response.end('served'))
  const table = (of: readonly Limit[]) =>
    active('1', [route({ rules: [rule({ auth: { anyOf: [], anonymous: true }, limits: of, ...more })] })], { 'ml/s:80': [port] })
  const proxy = await testProxy(t, table(limits), { filterDeps: { authenticators: () => authenticate } })
  const get = (who = '', path = '/', headers: Record<string, string> = {}) =>
    fetch(new URL(path, proxy.url), { headers: { ...(who === '' ? {} : { 'x-who': who }), ...headers } })
  const statuses = async (times: number, ...request: Parameters<typeof get>) => {
    const seen: number[] = []
    for (let i = 0; i < times; i++) seen.push((await get(...request)).status)
    return seen
  }
  return { proxy, table, get, statuses }
}

test('a limit for a tier counts each of its callers, and nobody else', async (t) => {
  const free = limit('free', 2, { appliesTo: { ...everybody, tiers: ['free'] }, counters: [{ type: 'Principal' }] })
  const { statuses } = await proxyWith(t, [free])
  assert.deepEqual(await statuses(3, 'alice free'), [200, 200, 429])
  assert.deepEqual(await statuses(3, 'bob free'), [200, 200, 429])
  assert.deepEqual(await statuses(3, 'carol pro'), [200, 200, 200])
  assert.deepEqual(await statuses(3), [200, 200, 200])
})

test('a refusal says when to try again and where the limits stand, as admitted answers do', async (t) => {
  const { get } = await proxyWith(t, [limit('daily', 2), limit('seen', 1, { shadow: true })])
  const first = await get()
  assert.equal(first.headers.get('ratelimit-policy'), '"daily";q=2;w=86400')
  assert.match(first.headers.get('ratelimit') ?? '', /^"daily";r=1;t=\d+$/)
  await get()
  const refused = await get()
  assert.equal(refused.status, 429)
  assert.equal(refused.headers.get('x-modelroute-error'), 'rate_limited')
  assert.equal(refused.headers.get('ratelimit-policy'), '"daily";q=2;w=86400')
  const wait = Number(refused.headers.get('retry-after'))
  assert.ok(wait > 0 && wait <= 86_400)
  assert.equal(refused.headers.get('ratelimit'), `"daily";r=0;t=${wait}`)
  assert.match(JSON.stringify(await refused.json()), /The limit daily \(2 requests in 1 d\) is reached/)
})

test('an OpenAI client is told in its own form, and not to try again where it would not wait long enough', async (t) => {
  const { get } = await proxyWith(t, [limit('none', 0)])
  const refused = await get('', '/v1/chat/completions')
  assert.deepEqual([refused.status, refused.headers.get('x-should-retry')], [429, 'false'])
  const { error } = await refused.json() as { error: Record<string, unknown> }
  assert.deepEqual([error['code'], error['type'], error['param']], ['rate_limited', 'rate_limit_error', null])
})

test('an edit of the amount goes on from what was counted, a new name counts anew', async (t) => {
  const { proxy, table, statuses } = await proxyWith(t, [limit('daily', 3)])
  assert.deepEqual(await statuses(2), [200, 200])
  proxy.activate(table([limit('daily', 4)]))
  assert.deepEqual(await statuses(3), [200, 200, 429])
  proxy.activate(table([limit('daily', 1)]))
  assert.deepEqual(await statuses(1), [429])
  proxy.activate(table([limit('other', 1)]))
  assert.deepEqual(await statuses(2), [200, 429])
})

test('all limits of a request are taken or none', async (t) => {
  const { statuses } = await proxyWith(t, [limit('wide', 3), limit('each', 1, { counters: [{ type: 'Principal' }] })])
  assert.deepEqual(await statuses(3, 'alice'), [200, 429, 429])
  // The two that were refused took nothing of the wide one.
  assert.deepEqual(await statuses(1, 'bob'), [200])
  assert.deepEqual(await statuses(1, 'carol'), [200])
  assert.deepEqual(await statuses(1, 'dave'), [429])
})

const counters: [what: string, counter: Limit['counters'][number], same: [string, string, object], other: [string, string, object]][] = [
  ['a header', { type: 'Header', name: 'x-team' }, ['', '/', { 'x-team': 'a' }], ['', '/', { 'x-team': 'b' }]],
  ['a missing header', { type: 'Header', name: 'x-team' }, ['', '/', {}], ['', '/', { 'x-team': '-' }]],
  ['a tier', { type: 'Tier' }, ['alice free', '/', {}], ['alice pro', '/', {}]],
  ['a claim', { type: 'Claim', name: 'org' }, ['alice free', '/', {}], ['', '/', {}]],
  ['a model', { type: 'Model' }, ['', '/v2/models/a/infer', {}], ['', '/v2/models/b/infer', {}]],
  ['a consumer', { type: 'Principal' }, ['alice free', '/', {}], ['', '/', {}]],
]
for (const [what, counter, same, other] of counters) {
  test(`a count is told from another by ${what}`, async (t) => {
    const { statuses } = await proxyWith(t, [limit('one', 1, { counters: [counter] })])
    assert.deepEqual(await statuses(2, ...same as [string, string, Record<string, string>]), [200, 429])
    assert.deepEqual(await statuses(1, ...other as [string, string, Record<string, string>]), [200])
  })
}

test('a caller in several groups counts for each, and one group at its limit refuses', async (t) => {
  const { statuses } = await proxyWith(t, [limit('group', 2, { counters: [{ type: 'Group' }] })])
  assert.deepEqual(await statuses(1, 'alice pro acme,beta'), [200])
  assert.deepEqual(await statuses(2, 'bob pro acme'), [200, 429])
  assert.deepEqual(await statuses(2, 'alice pro acme,beta'), [429, 429])
  assert.deepEqual(await statuses(2, 'carol pro beta'), [200, 429])
})

test('a limit for a model counts its requests by the path', async (t) => {
  const { statuses } = await proxyWith(t, [limit('gpu', 1, { appliesTo: { ...everybody, models: ['llm'] } })])
  assert.deepEqual(await statuses(2, '', '/v2/models/llm/infer'), [200, 429])
  assert.deepEqual(await statuses(2, '', '/v2/models/l%6cm/infer'), [429, 429])
  assert.deepEqual(await statuses(2, '', '/v2/models/cpu/infer'), [200, 200])
})

test('a count by variant is of the variant that serves the request', async (t) => {
  const { get } = await proxyWith(t, [limit('each', 1, { counters: [{ type: 'Variant' }] })], {
    variants: [variant('a', 'ml/s:80', { weight: 500_000 }), variant('b', 'ml/s:80', { weight: 500_000 })],
  })
  const answers = [await get(), await get(), await get()]
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 429])
  assert.equal(new Set(answers.slice(0, 2).map(({ headers }) => headers.get('x-modelroute-variant'))).size, 2)
})

test('requests in progress are counted until they end, also when the client leaves', async (t) => {
  let inside = 0
  const held: (() => void)[] = []
  const port = await httpUpstream(t, (_, response) => {
    inside++
    held.push(() => response.end('served'))
  })
  const running = limit('running', 2, { algorithm: { type: 'Concurrency' } })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ limits: [running] })] })], { 'ml/s:80': [port] }))
  const leaving = new AbortController()
  const first = fetch(proxy.url)
  const second = fetch(proxy.url, { signal: leaving.signal }).catch(() => {})
  await eventually(() => inside === 2)
  const refused = await fetch(proxy.url)
  assert.equal(refused.status, 429)
  assert.equal(refused.headers.get('ratelimit-policy'), '"running";q=2;qu="concurrent-requests"')
  leaving.abort()
  await second
  await eventually(() => proxy.lines().some(({ code }) => code === 'client_closed'))
  const third = fetch(proxy.url)
  await eventually(() => inside === 3)
  for (const answer of held) answer()
  assert.deepEqual([(await first).status, (await third).status], [200, 200])
})

test('a shadow limit refuses nobody, and its metric says whom it would have', async (t) => {
  const { proxy, statuses } = await proxyWith(t, [limit('trial', 1, { shadow: true }), limit('real', 2)])
  assert.deepEqual(await statuses(3), [200, 200, 429])
  const metrics = await (await fetch(new URL('/metrics', proxy.urls.admin))).text()
  assert.match(metrics, /modelroute_ratelimit_decisions_total\{policy="ml\/tiers",limit="trial",decision="shadow_rejected"\} 2/)
  assert.match(metrics, /modelroute_ratelimit_decisions_total\{policy="ml\/tiers",limit="trial",decision="allowed"\} 1/)
  assert.match(metrics, /modelroute_ratelimit_decisions_total\{policy="ml\/tiers",limit="real",decision="rejected"\} 1/)
})

test('what would become of a request is told without taking anything', async (t) => {
  const { proxy, statuses } = await proxyWith(t, [limit('daily', 1)])
  const explain = async () =>
    await (await fetch(new URL('/explain', proxy.urls.admin), { method: 'POST', body: '{"url":"/"}' })).json() as { code?: string; steps: { filter: string; why: string }[] }
  const before = await explain()
  assert.equal(before.code, undefined)
  assert.equal(before.steps.find(({ filter }) => filter === 'rate_limit')?.why, 'ml/tiers daily: 1 of 1 left')
  assert.deepEqual(await statuses(2), [200, 429])
  assert.equal((await explain()).code, 'rate_limited')
})

test('callers at once are let through exactly as often as the limit says', async (t) => {
  const { get } = await proxyWith(t, [limit('exact', 100), limit('by-who', 1000, { counters: [{ type: 'Principal' }] })])
  const answers = await Promise.all(Array.from({ length: 300 }, async (_, i) => (await get(`c${i % 7}`)).status))
  assert.equal(answers.filter((status) => status === 200).length, 100)
})

test('a limit on one match leaves the others alone', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end('served'))
  const rules = [
    rule({ name: 'a', matches: [match('/a')], limits: [limit('one', 1)] }),
    rule({ name: 'b', matches: [match('/b')] }),
  ]
  const { url } = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port] }))
  const statusOf = async (path: string) => (await fetch(new URL(path, url))).status
  assert.deepEqual([await statusOf('/a'), await statusOf('/a'), await statusOf('/b'), await statusOf('/b')], [200, 429, 200, 200])
})

async function queued(t: TestContext, queue: NonNullable<Limit['queue']>) {
  const held: (() => void)[] = []
  const port = await httpUpstream(t, (_, response) => { held.push(() => response.end('served')) })
  const running = limit('running', 1, { algorithm: { type: 'Concurrency' }, queue })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ limits: [running] })] })], { 'ml/s:80': [port] }))
  return { proxy, held, get: (signal?: AbortSignal) => fetch(proxy.url, signal ? { signal } : {}) }
}

test('a request waits for its turn where the limit lets it, and one whose client leaves makes room', async (t) => {
  const { proxy, held, get } = await queued(t, { maxWait: 20_000, maxDepth: 2 })
  const first = get()
  await eventually(() => held.length === 1)
  const others = Array.from({ length: 3 }, () => {
    const leaving = new AbortController()
    const answer = get(leaving.signal).catch(() => undefined)
    return { leaving, answer }
  })
  // Two of them find room.
  const refused = await Promise.race(others.map(async (one) => ({ one, answer: await one.answer })))
  assert.deepEqual([refused.answer?.status, refused.answer?.headers.get('x-modelroute-error')], [429, 'queue_timeout'])
  const [left, last] = others.filter((one) => one !== refused.one)
  left?.leaving.abort()
  await left?.answer
  await eventually(() => proxy.lines().some(({ code }) => code === 'client_closed'))
  held[0]?.()
  assert.equal((await first).status, 200)
  await eventually(() => held.length === 2)
  held[1]?.()
  assert.equal((await last?.answer)?.status, 200)
})

test('a request that waits too long is told so', async (t) => {
  const { proxy, held, get } = await queued(t, { maxWait: 60, maxDepth: 2 })
  const first = get()
  await eventually(() => held.length === 1)
  const late = await get()
  assert.deepEqual([late.status, late.headers.get('x-modelroute-error')], [429, 'queue_timeout'])
  assert.ok(Number(late.headers.get('retry-after')) >= 1)
  held[0]?.()
  await first
  const metrics = await (await fetch(new URL('/metrics', proxy.urls.admin))).text()
  assert.match(metrics, /limit="running",decision="queue_timeout"\} 1/)
})
