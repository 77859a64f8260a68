import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { BackendCredentials } from '../../../table/backend.ts'
import type { Rule, Variant } from '../../../table/route.ts'
import { testProxy, type TestProxy } from '../proxy.ts'
import { deadPort, eventually, httpUpstream, rawUpstream } from '../sockets.ts'
import { active, route, rule, variant } from '../table.ts'
import { bodyOf, failing, metric, recording, retry } from './rig.ts'

const over = (t: TestContext, variants: readonly Variant[], sets: Record<string, readonly number[]>, more: Partial<Rule> = {}): Promise<TestProxy> =>
  testProxy(t, active('1', [route({ rules: [rule({ variants, ...more })] })], sets))

const second = (more: Partial<Variant> = {}) => variant('backup', 'backup', { priority: 1, ...more })
const resets = (socket: Socket): void => { socket.resetAndDestroy() }
const unavailable = (socket: Socket): void => { socket.end('HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno') }
const told = (answer: Response) => [answer.status, answer.headers.get('x-modelroute-variant'), answer.headers.get('x-modelroute-fallback')]

test('a fallback is asked where the first has no endpoint, does not resolve, or refuses connections; and says so', { timeout: 120_000 }, async (t) => {
  const good = await recording(t, (_request, response) => response.end('good'))
  const dead = await deadPort()
  const firsts: readonly (readonly [Variant, readonly number[], string])[] = [
    [variant('stable', 'stable'), [], 'no_endpoints'],
    [variant('stable', 'x', { target: { kind: 'unresolved', why: 'gone' } }), [], 'backend_unresolved'],
    [variant('stable', 'stable'), [dead], 'upstream_connect_failed'],
    [variant('stable', 'stable', { credentials: { kind: 'static', value: { secret: 'ml/none', key: 'k' }, header: 'x-key', scheme: '' } }), [dead], 'no_endpoints'],
  ]
  for (const [first, ports, error] of firsts) {
    const proxy = await over(t, [first, second()], { stable: ports, backup: [good.port] })
    const answer = await fetch(proxy.url, { method: 'POST', body: 'x' })
    assert.deepEqual(told(answer), [200, 'backup', 'backup'], error)
    await eventually(() => proxy.lines().length === 1)
    const [line] = proxy.lines()
    assert.deepEqual([line?.['variant'], line?.['fallback'], line?.['code'], line?.['cause']], ['backup', 'backup', undefined, undefined])
    assert.match(String(await metric(proxy, 'modelroute_fallbacks_total')), new RegExp(`variant="stable".*to="backup",error="${error}"\\} 1$`))
    assert.match(String(await metric(proxy, 'modelroute_requests_total')), /variant="backup".*code="200"/)
    assert.ok((await metric(proxy, 'modelroute_inflight_requests')).every((text) => text.endsWith(' 0')))
  }
})

test('while the first can take requests the fallback gets none, and nothing says fallback', { timeout: 120_000 }, async (t) => {
  const good = await recording(t, (_request, response) => response.end('good'))
  const backup = await recording(t, (_request, response) => response.end('backup'))
  const proxy = await over(t, [variant('stable', 'stable'), second()], { stable: [good.port], backup: [backup.port] })
  for (let i = 0; i < 10; i++) assert.deepEqual(told(await fetch(proxy.url)), [200, 'stable', null])
  assert.equal(backup.seen.length, 0)
})

test('what may have been acted on is not passed on; what was not, or may be repeated, is, with all of its body', { timeout: 120_000 }, async (t) => {
  const cases: readonly (readonly [string, (socket: Socket) => void, RequestInit, Partial<Rule>, boolean])[] = [
    ['reset, GET', resets, {}, {}, true],
    ['reset, POST', resets, { method: 'POST', body: 'x' }, {}, false],
    ['reset, POST with a key', resets, { method: 'POST', body: 'x', headers: { 'idempotency-key': 'k' } }, {}, true],
    ['503 that nobody lists', unavailable, {}, {}, false],
    ['503, POST', unavailable, { method: 'POST', body: 'x'.repeat(300_000) }, { retry: retry({ attempts: 0, codes: [503] }) }, true],
    ['500, POST', (socket) => { socket.end('HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n') }, { method: 'POST', body: 'x' }, { retry: retry({ codes: [500] }) }, false],
  ]
  for (const [what, fails, init, more, passed] of cases) {
    const bad = await failing(t, fails)
    const good = await recording(t, (_request, response) => response.end('good'))
    const proxy = await over(t, [variant('stable', 'stable'), second()], { stable: [bad.port], backup: [good.port] }, more)
    const answer = await fetch(proxy.url, init)
    assert.equal(answer.headers.get('x-modelroute-fallback'), passed ? 'backup' : null, what)
    assert.equal(good.seen.length, passed ? 1 : 0, what)
    if (passed && init.body !== undefined) assert.ok(good.seen[0] === init.body, what)
    assert.equal(bad.seen.length, more.retry?.attempts === 1 && passed ? 2 : 1, what)
  }
})

test('others of the same priority come before those of the next', { timeout: 120_000 }, async (t) => {
  const good = await recording(t, (_request, response) => response.end('good'))
  const backup = await recording(t, (_request, response) => response.end('backup'))
  const proxy = await over(t, [
    variant('canary', 'none', { weight: 500_000 }), variant('stable', 'stable', { weight: 500_000 }),
    variant('shadow', 'backup', { weight: 0 }), second(),
  ], { none: [], stable: [good.port], backup: [backup.port] })
  for (let i = 0; i < 10; i++) assert.equal((await fetch(proxy.url)).headers.get('x-modelroute-variant'), 'stable')
  assert.equal(backup.seen.length, 0)
})

test('without another priority each variant answers for its own share', { timeout: 120_000 }, async (t) => {
  const good = await recording(t, (_request, response) => response.end('good'))
  const proxy = await over(t, [variant('canary', 'none', { weight: 500_000 }), variant('stable', 'stable', { weight: 500_000 })], { none: [], stable: [good.port] })
  const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await fetch(proxy.url)).status))
  assert.equal(statuses.filter((status) => status === 503).length, 5)
})

test('fallbacks of one priority share by their weights', { timeout: 120_000 }, async (t) => {
  const backup = await recording(t, (_request, response) => response.end())
  const proxy = await over(t, [
    variant('stable', 'none'), second({ name: 'a', weight: 750_000 }), second({ name: 'b', weight: 250_000 }),
  ], { none: [], backup: [backup.port] })
  const names = await Promise.all(Array.from({ length: 8 }, async () => (await fetch(proxy.url)).headers.get('x-modelroute-fallback')))
  assert.equal(names.filter((name) => name === 'a').length, 6)
})

test('the fallback gets its own model, host and credential, and nothing of the first one\'s', { timeout: 120_000 }, async (t) => {
  const secret = (key: string) => ({ id: `ml/${key}`, data: { token: Buffer.from(key).toString('base64') } })
  const credentials = (key: string, header: string): BackendCredentials => ({ kind: 'static', value: { secret: `ml/${key}`, key: 'token' }, header, scheme: 'Bearer' })
  let seen: Record<string, unknown> = {}
  const port = await httpUpstream(t, (request, response) => {
    void bodyOf(request).then((body) => {
      const { authorization, 'x-key': key, host } = request.headers
      seen = { url: request.url, authorization, key, host, body: body.toString() }
      response.end('good')
    })
  })
  const stable = variant('stable', 'stable', {
    credentials: credentials('one', 'authorization'), model: { name: 'large', version: '7' }, target: { kind: 'endpoints', set: 'stable', host: 'one.test' },
  })
  const backup = second({ credentials: credentials('two', 'x-key'), model: { name: 'small', version: '1' } })
  const routes = [route({ rules: [rule({ variants: [stable, backup], retry: retry({ attempts: 0, codes: [503] }) })] })]
  const bad = await failing(t, unavailable)
  const table = active('1', routes, { stable: [bad.port], backup: [port] })
  const proxy = await testProxy(t, { ...table, secrets: new Map([secret('one'), secret('two')].map((one) => [one.id, one])) })
  const answer = await fetch(`${proxy.url}/v2/models/m/infer?a=1`, { method: 'POST', body: '{}', headers: { authorization: 'Bearer caller' } })
  assert.deepEqual(seen, { url: '/v2/models/small/versions/1/infer?a=1', authorization: 'Bearer caller', key: 'Bearer two', host: new URL(proxy.url).host, body: '{}' })
  assert.equal(answer.headers.get('x-modelroute-model-version'), '1')
  assert.match(bad.seen[0] ?? '', /^POST \/v2\/models\/large\/versions\/7\/infer\?a=1 /)
  assert.match(bad.seen[0] ?? '', /authorization: Bearer one\r\n/)
  assert.match(bad.seen[0] ?? '', /host: one\.test\r\n/)
})

test('what has an open circuit, or all that it may have, is passed on', { timeout: 120_000 }, async (t) => {
  const held: Socket[] = []
  const busy = await failing(t, (socket) => held.push(socket))
  const good = await recording(t, (_request, response) => response.end('good'))
  const variants = [variant('stable', 'stable'), second()]
  const terms = { maxPending: 0, minRequests: 1, openFor: 60_000 }
  const full = await over(t, variants, { stable: [busy.port], backup: [good.port] }, { breaker: { ...terms, maxRequests: 1 } })
  const first = fetch(full.url)
  await eventually(() => held.length === 1)
  assert.deepEqual(told(await fetch(full.url)), [200, 'backup', 'backup'])
  held[0]?.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
  assert.deepEqual(told(await first), [200, 'stable', null])
  assert.match(String(await metric(full, 'modelroute_fallbacks_total')), /error="overloaded"\} 1$/)

  const bad = await failing(t, (socket) => socket.end('HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n'))
  const open = await over(t, variants, { stable: [bad.port], backup: [good.port] }, { breaker: { ...terms, errorPercent: 50 } })
  assert.deepEqual(told(await fetch(open.url)), [500, 'stable', null])
  assert.deepEqual(told(await fetch(open.url, { method: 'POST', body: 'x' })), [200, 'backup', 'backup'])
  assert.match(String(await metric(open, 'modelroute_fallbacks_total')), /error="circuit_open"\} 1$/)
  assert.equal(bad.seen.length, 1)
})

test('a place that was given up for a fallback is free again, while the fallback still works', { timeout: 120_000 }, async (t) => {
  const silent = await failing(t, () => {})
  const backup = await failing(t, () => {})
  const breaker = { maxPending: 0, minRequests: 100, openFor: 60_000, maxRequests: 2 }
  const proxy = await over(t, [variant('stable', 'stable'), second()], { stable: [silent.port], backup: [backup.port] },
    { breaker, timeouts: { request: 8000, firstByte: 500, connect: 10_000 } })
  const all = [fetch(proxy.url), fetch(proxy.url)]
  await eventually(() => backup.seen.length === 2)
  // Both places of stable were given up: two more are taken in there, and refused by the fallback, which is full.
  const more = await Promise.all([fetch(proxy.url), fetch(proxy.url)])
  assert.deepEqual(more.map((answer) => answer.headers.get('x-modelroute-error')), ['timeout', 'timeout'])
  assert.equal(silent.seen.length, 4)
  await Promise.all(all)
})

test('on OpenAI paths the model is renamed in the body, whose other bytes stay; what cannot be read goes on to who needs no renaming', { timeout: 120_000 }, async (t) => {
  const good = await recording(t, (_request, response) => response.end('good'))
  const cases = [
    ['{"model": "large",  "messages":[]}', '{"model": "small",  "messages":[]}'],
    ['{ }', '{"model":"small" }'],
    ['{"messages":[{"model":"large"}]}', '{"model":"small","messages":[{"model":"large"}]}'],
    [`{"model":"large","x":"${'y'.repeat(100_000)}"}`, `{"model":"small","x":"${'y'.repeat(100_000)}"}`],
  ] as const
  const proxy = await over(t, [variant('stable', 'none'), second({ model: { name: 'small' } })], { none: [], backup: [good.port] })
  for (const [sent, expected] of cases) {
    good.seen.length = 0
    assert.deepEqual(told(await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: sent })), [200, 'backup', 'backup'])
    assert.ok(good.seen[0] === expected, good.seen[0]?.slice(0, 100))
  }
  const bad = await failing(t, unavailable)
  for (const [sent, expected] of cases) {
    good.seen.length = 0
    const later = await over(t, [variant('stable', 'stable'), second({ model: { name: 'small' } })], { stable: [bad.port], backup: [good.port] },
      { retry: retry({ attempts: 1, codes: [503] }) })
    assert.deepEqual(told(await fetch(`${later.url}/v1/chat/completions`, { method: 'POST', body: sent })), [200, 'backup', 'backup'])
    assert.ok(good.seen[0] === expected, good.seen[0]?.slice(0, 100))
    assert.ok(bad.seen.at(-1)?.endsWith(sent))
  }
  good.seen.length = 0
  const both = await over(t, [variant('stable', 'none'), second({ model: { name: 'small' } }), variant('last', 'backup', { priority: 2 })], { none: [], backup: [good.port] })
  assert.deepEqual(told(await fetch(`${both.url}/v1/chat/completions`, { method: 'POST', body: 'no json' })), [200, 'last', 'last'])
  assert.deepEqual(good.seen, ['no json'])
})

test('where nobody can, the caller is told why the first could not, and it counts for that one', { timeout: 120_000 }, async (t) => {
  const proxy = await over(t, [variant('stable', 'none'), second()], { none: [], backup: [await deadPort()] })
  const answer = await fetch(proxy.url)
  assert.deepEqual([...told(answer), answer.headers.get('x-modelroute-error')], [503, 'stable', null, 'no_endpoints'])
  await eventually(() => proxy.lines().length === 1)
  assert.deepEqual([proxy.lines()[0]?.['variant'], proxy.lines()[0]?.['fallback']], ['stable', undefined])
  assert.ok((await metric(proxy, 'modelroute_inflight_requests')).every((text) => text.endsWith(' 0')))
})

test('a request that is itself at fault is not passed on', { timeout: 120_000 }, async (t) => {
  const backup = await recording(t, (_request, response) => response.end())
  const proxy = await over(t, [variant('stable', 'none'), second()], { none: [], backup: [backup.port] }, { sizeLimits: { request: 10 } })
  assert.equal((await fetch(proxy.url, { method: 'POST', body: 'x'.repeat(11) })).status, 413)
  assert.equal(backup.seen.length, 0)
})

test('the time of a request is one for all: a fallback has what is left of it', { timeout: 120_000 }, async (t) => {
  const silent = await rawUpstream(t, () => {})
  const proxy = await over(t, [variant('stable', 'stable'), second()], { stable: [silent], backup: [silent] }, { timeouts: { request: 1500, firstByte: 1000, connect: 2000 } })
  const from = performance.now()
  assert.equal((await fetch(proxy.url)).status, 504)
  const took = performance.now() - from
  assert.ok(took >= 1495 && took < 1990, String(took))
})

const canned = { fallbackResponse: { status: 200, contentType: 'application/json', body: '{"score":null}' } }

test('the static answer is given where no backend answers, and the failure is still known', { timeout: 120_000 }, async (t) => {
  const dead = await deadPort()
  const bad = await failing(t, unavailable)
  const listed = { ...canned, retry: retry({ codes: [503] }) }
  const cases: readonly (readonly [string, Partial<Rule>, readonly number[]])[] = [
    ['no_endpoints', canned, []], ['upstream_connect_failed', canned, [dead]], ['overloaded', listed, [bad.port]],
  ]
  for (const [error, more, ports] of cases) {
    const proxy = await over(t, [variant('stable', 'stable')], { stable: ports }, more)
    const answer = await fetch(proxy.url, { method: 'POST', body: 'x' })
    assert.deepEqual(told(answer), [200, 'stable', 'static'], error)
    assert.deepEqual([answer.headers.get('content-type'), await answer.text()], ['application/json', '{"score":null}'])
    await eventually(() => proxy.lines().length === 1)
    const [line] = proxy.lines()
    assert.deepEqual([line?.['status'], line?.['code'], line?.['fallback']], [200, error, 'static'])
    assert.match(String(await metric(proxy, 'modelroute_fallbacks_total')), new RegExp(`to="static",error="${error}"\\} 1$`))
  }
})

test('the static answer takes no refusal\'s place, nor that of an answer that nobody lists, nor a broken one\'s', { timeout: 120_000 }, async (t) => {
  const bad = await failing(t, unavailable)
  const half = await failing(t, (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf'))
  const proxy = await over(t, [variant('stable', 'stable')], { stable: [bad.port] }, canned)
  assert.equal((await fetch(proxy.url)).status, 503)
  const limited = await over(t, [variant('stable', 'stable')], { stable: [bad.port] }, { ...canned, sizeLimits: { request: 1 } })
  assert.equal((await fetch(limited.url, { method: 'POST', body: 'xx' })).status, 413)
  const broken = await over(t, [variant('stable', 'stable')], { stable: [half.port] }, canned)
  await assert.rejects((await fetch(broken.url)).text())
})

test('a HEAD gets the head of the static answer', { timeout: 120_000 }, async (t) => {
  const proxy = await over(t, [variant('stable', 'stable')], { stable: [] }, canned)
  const answer = await fetch(proxy.url, { method: 'HEAD' })
  assert.deepEqual([answer.status, answer.headers.get('content-length'), await answer.text()], [200, '14', ''])
})
