import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { RuleMeasurements, VariantMeasurements } from '../../table/delivery.ts'
import { LATENCY_BOUNDS } from '../../table/delivery.ts'
import { sumOf } from '../../table/measurements.ts'
import type { Rule } from '../../table/route.ts'
import { createMeasuredSum, reportMeasured } from '../../dataplane/measured.ts'
import { Measurements } from '../../dataplane/telemetry/measurements.ts'
import { testProxy, type TestProxy } from './proxy.ts'
import { deadPort, eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

/** What proxies count for a rollout. */

const watched = (more: Partial<Rule> = {}) => rule({
  measured: { id: 'one', fields: [] },
  variants: [variant('stable', 'ml/s:80', { weight: 500_000 }), variant('canary', 'ml/c:80', { weight: 500_000 })],
  overrides: ['stable', 'canary'].map((name) => ({ header: 'x-to', value: name, variant: name })),
  ...more,
})

async function of(proxy: TestProxy, name: string): Promise<VariantMeasurements | undefined> {
  const [told] = await proxy.measured(false)
  return told?.variants.find((one) => one.variant === name)
}

const to = (variant: string) => ({ headers: { 'x-to': variant } })
const latencies = (told: VariantMeasurements | undefined) => told?.latency.counts.reduce((sum, count) => sum + count, 0)

async function measuredProxy(t: TestContext, canary: RequestListener, more: Partial<Rule> = {}) {
  const stable = await httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('ok')) })
  const port = await httpUpstream(t, canary)
  const table = (version: string, changed: Partial<Rule> = more) => active(version, [route({ rules: [watched(changed)] })], { 'ml/s:80': [stable], 'ml/c:80': [port] })
  return { proxy: await testProxy(t, table('1')), table }
}

test('errors are those that the backend is to blame for: no answer, 5xx; not 4xx', { timeout: 120_000 }, async (t) => {
  const { proxy } = await measuredProxy(t, (request, response) => {
    const status = Number(request.url?.slice(1))
    if (status === 0) request.socket.destroy()
    else response.writeHead(status).end('x')
  })
  for (const status of [200, 404, 429, 500, 503, 0]) await (await fetch(`${proxy.url}/${status}`, to('canary'))).text()
  await (await fetch(proxy.url, to('stable'))).text()
  await eventually(() => proxy.lines().length === 7)
  const canary = await of(proxy, 'canary')
  assert.deepEqual([canary?.requests, canary?.errors], [6, 3])
  assert.equal(latencies(canary), 3, 'an error is not fast')
  const stable = await of(proxy, 'stable')
  assert.deepEqual([stable?.requests, stable?.errors, latencies(stable)], [1, 0, 1])
})

test('a variant that nobody answers for fails', { timeout: 120_000 }, async (t) => {
  const dead = await deadPort()
  const proxy = await testProxy(t, active('1', [route({ rules: [watched()] })], { 'ml/s:80': [], 'ml/c:80': [dead] }))
  for (const name of ['canary', 'stable']) await (await fetch(proxy.url, to(name))).text()
  await eventually(() => proxy.lines().length === 2)
  for (const name of ['canary', 'stable']) {
    const told = await of(proxy, name)
    assert.deepEqual([told?.requests, told?.errors, latencies(told)], [1, 1, 0])
  }
})

test('where another variant answers in its place, the chosen one has failed, and the other is not praised for it', { timeout: 120_000 }, async (t) => {
  const backup = await httpUpstream(t, (_request, response) => response.end('backup'))
  const dead = await deadPort()
  const variants = [variant('canary', 'ml/c:80'), variant('backup', 'ml/b:80', { priority: 1 })]
  const proxy = await testProxy(t, active('1', [route({ rules: [watched({ variants, overrides: [] })] })], { 'ml/c:80': [dead], 'ml/b:80': [backup] }))
  assert.equal(await (await fetch(proxy.url)).text(), 'backup')
  await eventually(() => proxy.lines().length === 1)
  const [canary, other] = await Promise.all([of(proxy, 'canary'), of(proxy, 'backup')])
  assert.deepEqual([canary?.requests, canary?.errors, latencies(canary), other?.requests, other?.errors], [1, 1, 0, 0, 0])
})

test('what a static answer stands in for has failed; what a second try answers has not', { timeout: 120_000 }, async (t) => {
  let asked = 0
  const { proxy } = await measuredProxy(t, (request, response) => {
    asked++
    if (request.url === '/down' || asked === 1) request.socket.destroy()
    else response.end('ok')
  }, {
    retry: { attempts: 1, reasons: ['reset-before-response'], codes: [], budgetPercent: 100, backoff: 1 },
    fallbackResponse: { status: 200, contentType: 'text/plain', body: 'sorry' },
  })
  assert.equal(await (await fetch(proxy.url, to('canary'))).text(), 'ok')
  assert.equal(await (await fetch(`${proxy.url}/down`, to('canary'))).text(), 'sorry')
  await eventually(() => proxy.lines().length === 2)
  const canary = await of(proxy, 'canary')
  assert.deepEqual([canary?.requests, canary?.errors, latencies(canary)], [2, 1, 1])
})

test('a client that leaves is no error, but what it waited is a latency, so that what hangs is not fast', { timeout: 120_000 }, async (t) => {
  let asked = 0
  const { proxy } = await measuredProxy(t, () => { asked++ })
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nhost: a\r\nx-to: canary\r\n\r\n')
  await eventually(() => asked === 1)
  client.socket.destroy()
  await eventually(() => proxy.lines().length === 1)
  const told = await of(proxy, 'canary')
  assert.deepEqual([told?.requests, told?.errors, latencies(told)], [1, 0, 1])
})

test('a request that its own filters refuse is nobody\'s', { timeout: 120_000 }, async (t) => {
  const { proxy } = await measuredProxy(t, (_request, response) => response.end(), { sizeLimits: { request: 2 } })
  await (await fetch(proxy.url, { ...to('canary'), method: 'POST', body: 'xxxx' })).text()
  await eventually(() => proxy.lines().length === 1)
  assert.equal((await of(proxy, 'canary'))?.requests, 0)
})

test('counts go on over tables under one id, and begin anew under the next; what is not watched is not counted', { timeout: 120_000 }, async (t) => {
  const { proxy, table } = await measuredProxy(t, (_request, response) => response.end())
  const ask = async () => {
    const before = proxy.lines().length
    await (await fetch(proxy.url, to('canary'))).text()
    await eventually(() => proxy.lines().length > before)
  }
  await ask()
  proxy.activate(table('2', { timeouts: { request: 20_000 } }))
  await ask()
  assert.equal((await of(proxy, 'canary'))?.requests, 2)
  proxy.activate(table('3', { measured: { id: 'two', fields: [] } }))
  assert.deepEqual((await proxy.measured(false)).map(({ id }) => id), ['two'])
  assert.equal((await of(proxy, 'canary'))?.requests, 0)
  const { measured: _, ...unwatched } = watched()
  proxy.activate(active('4', [route({ rules: [unwatched] })], {}))
  assert.deepEqual(await proxy.measured(false), [])
})

test('only what is new is told, and from time to time all of it', { timeout: 120_000 }, async (t) => {
  const { proxy } = await measuredProxy(t, (_request, response) => response.end())
  assert.deepEqual(await proxy.measured(true), [])
  await (await fetch(proxy.url, to('canary'))).text()
  await eventually(() => proxy.lines().length === 1)
  assert.equal((await proxy.measured(true)).length, 1)
  assert.deepEqual(await proxy.measured(true), [])
  assert.equal((await proxy.measured(false)).length, 1)
})

test('numbers and truth values of JSON answers are added up by pointer; what is none, is not', { timeout: 120_000 }, async (t) => {
  const bodies = ['{"score":0.5,"ok":true,"out":[{"a":[1,2]}]}', '{"score":1.5,"ok":false,"out":[{"a":[3,4]}]}', '{"score":"9","out":[]}', 'no json', '{"score":1,"score":2}']
  const { proxy } = await measuredProxy(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' })
    const body = bodies[Number(request.url?.slice(1))] ?? ''
    response.write(body.slice(0, 7))
    setImmediate(() => response.end(body.slice(7)))
  }, { measured: { id: 'one', fields: ['/score', '/out/0/a/1', '/ok'] } })
  for (const i of bodies.keys()) await (await fetch(`${proxy.url}/${i}`, to('canary'))).text()
  await eventually(() => proxy.lines().length === bodies.length)
  assert.deepEqual((await of(proxy, 'canary'))?.fields, [{ count: 2, sum: 2, squares: 2.5 }, { count: 2, sum: 6, squares: 20 }, { count: 2, sum: 1, squares: 1 }])
})

test('an answer too large to look into is passed on, and has no fields', { timeout: 120_000 }, async (t) => {
  const body = JSON.stringify({ score: 1, text: 'x'.repeat(300_000) })
  const { proxy } = await measuredProxy(t, (_request, response) => response.setHeader('content-type', 'application/json').end(body), { measured: { id: 'one', fields: ['/score'] } })
  assert.equal(await (await fetch(proxy.url, to('canary'))).text(), body)
  await eventually(() => proxy.lines().length === 1)
  assert.equal((await of(proxy, 'canary'))?.fields[0]?.count, 0)
})

test('how fast tokens are written is counted, as the answer says or by its events', { timeout: 120_000 }, async (t) => {
  const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`
  const { proxy } = await measuredProxy(t, (request, response) => {
    if (request.url === '/json') response.end(JSON.stringify({ usage: { prompt_tokens: 4, completion_tokens: 12 } }))
    else response.writeHead(200, { 'content-type': 'text/event-stream' }).end(Array.from({ length: 10 }, (_, i) => event({ i })).join(''))
  }, { measured: { id: 'one', fields: [], tokens: true } })
  for (const path of ['/json', '/events']) await (await fetch(proxy.url + path, to('canary'))).text()
  await eventually(() => proxy.lines().length === 2)
  const tokens = (await of(proxy, 'canary'))?.tokens
  assert.deepEqual([tokens?.count, tokens?.sum, tokens?.squares], [2, 20, 208])
  assert.ok(tokens !== undefined && tokens.seconds > 0 && tokens.seconds < 2 && tokens.products > 0)
})

test('what workers counted is one sum, also of one that is gone, and of no other id', async () => {
  const told = (id: string, requests: number): RuleMeasurements => {
    const counts = new Measurements()
    const ofRule = counts.of('ml/fraud', watched({ measured: { id, fields: [] } }))
    for (let i = 0; i < requests; i++) ofRule?.compared('canary', i % 2 === 0)
    const canary = ofRule?.of('canary')
    if (canary) canary.latency[3] = requests
    return counts.take(false)[0] ?? assert.fail()
  }
  const primary = new Measurements()
  primary.of('ml/fraud', watched())
  let answers: unknown[] = [{ instance: 'a', rules: [told('one', 2)] }, { instance: 'b', rules: [told('one', 4)] }, { instance: 'c', rules: [told('old', 9)] }, undefined, 'garbage']
  const take = createMeasuredSum(primary, () => Promise.resolve(answers))
  const compared = (rules: RuleMeasurements[]) => rules.flatMap(({ variants }) => variants.filter(({ variant: name }) => name === 'canary').map((one) => [one.compared, one.mismatched, one.latency.from, one.latency.counts[0]]))
  assert.deepEqual(compared(await take(true)), [[6, 3, 3, 6]])
  answers = [{ instance: 'b', rules: [told('one', 6)] }, { instance: 'd', rules: [told('one', 2)] }]
  assert.deepEqual(compared(await take(true)), [[10, 5, 3, 10]])
  answers = []
  assert.deepEqual(await take(true), [])
  assert.deepEqual(compared(await take(false)), [[10, 5, 3, 10]])
})

test('reports go out once a round while there is something new, all of it from time to time, and a last one at the end', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const counts = new Measurements()
  const ofRule = counts.of('ml/fraud', watched())
  let reports = 0
  const reporter = reportMeasured({ take: (onlyNew) => counts.take(onlyNew), tell: () => { reports++ } })
  const round = async () => {
    t.mock.timers.tick(1000)
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }
  await round()
  assert.equal(reports, 0)
  ofRule?.compared('canary', false)
  await round()
  assert.equal(reports, 1)
  for (let i = 2; i < 10; i++) await round()
  assert.equal(reports, 2, 'the tenth round tells all')
  ofRule?.compared('canary', false)
  await reporter.close()
  assert.equal(reports, 3)
})

test('a latency told beyond the last bucket is left out', () => {
  const told = new Measurements().of('ml/fraud', watched())?.take(false) ?? assert.fail()
  const beyond = told.variants.map((one) => ({ ...one, latency: { from: LATENCY_BOUNDS.length, counts: [1, 1, 1] } }))
  const [sum] = sumOf([{ ...told, variants: beyond }])
  assert.equal(sum?.counts.latency.reduce((all, one) => all + one, 0), 1)
})
