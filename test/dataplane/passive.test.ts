import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const passive = { consecutiveErrors: 3, window: 10_000, ejectFor: 200, maxEjectedPercent: 50 }
const breaker = { maxPending: 0, minRequests: 10, openFor: 150 }

/** A model server that is told what to answer, and counts. */
async function server(t: TestContext, status = 200) {
  const state = { status, requests: 0, port: 0 }
  state.port = await httpUpstream(t, (_request, response) => {
    state.requests++
    response.writeHead(state.status).end('{}')
  })
  return state
}

const table = (version: string, more: Partial<Rule>, ...ports: number[]) => active(version, [route({ rules: [rule(more)] })], { 'ml/s:80': ports })

async function statuses(url: string, count: number): Promise<number[]> {
  const all: number[] = []
  for (let i = 0; i < count; i++) {
    const response = await fetch(`${url}/v2/models/fraud/infer`, { method: 'POST', body: '{}' })
    await response.arrayBuffer()
    all.push(response.status)
  }
  return all
}

const failures = (all: readonly number[]) => all.filter((status) => status >= 500).length

/** Asks until the server has been asked once more. */
async function until(url: string, { requests }: { requests: number }, now: () => number): Promise<number[]> {
  const all: number[] = []
  while (now() === requests) all.push(...await statuses(url, 1))
  return all
}

test('an endpoint that fails again and again is put out, and comes back by one request when it is well', { timeout: 120_000 }, async (t) => {
  const [good, bad] = [await server(t), await server(t, 500)]
  const proxy = await testProxy(t, table('1', { health: { passive: { ...passive, ejectFor: 700 } } }, good.port, bad.port))
  assert.equal(failures(await statuses(proxy.url, 6)), 3)
  assert.equal(failures(await statuses(proxy.url, 20)), 0)
  assert.equal(bad.requests, 3)
  // Its time is over: one request tries, and it is out again, for longer.
  assert.equal(failures(await until(proxy.url, { ...bad }, () => bad.requests)), 1)
  assert.equal(failures(await statuses(proxy.url, 20)), 0)
  bad.status = 200
  const before = performance.now()
  assert.equal(failures(await until(proxy.url, { ...bad }, () => bad.requests)), 0)
  assert.ok(performance.now() - before > 700, 'the second time is longer')
  const { requests } = bad
  assert.equal(failures(await statuses(proxy.url, 20)), 0)
  assert.equal(bad.requests, requests + 10, 'it has its full share again')
  assert.match(proxy.text(), /"msg":"an endpoint is not asked for a while".*"why":"failures in a row"/)
  assert.match(proxy.text(), /"msg":"an endpoint is asked again".*"endpoint":"127\.0\.0\.1:/)
})

test('what was put out stays out over a table that changes something else', { timeout: 120_000 }, async (t) => {
  const [good, bad] = [await server(t), await server(t, 503)]
  const long = { ...passive, ejectFor: 60_000 }
  const proxy = await testProxy(t, table('1', { health: { passive: long } }, good.port, bad.port))
  await statuses(proxy.url, 8)
  assert.equal(bad.requests, 3)
  proxy.activate(table('2', { health: { passive: { ...long, consecutiveErrors: 5 } }, timeouts: { request: 5000 } }, good.port, bad.port))
  assert.equal(failures(await statuses(proxy.url, 10)), 0)
  const explained = await fetch(`${proxy.urls.admin}/explain`, { method: 'POST', body: '{"url":"/"}' })
  const { endpoint, unfit: [out] } = await explained.json() as { endpoint: string; unfit: [{ backInMs: number }] }
  assert.equal(endpoint, `127.0.0.1:${good.port}`)
  assert.ok(out.backInMs > 0 && out.backInMs <= 60_000)
  assert.deepEqual(out, { endpoint: `127.0.0.1:${bad.port}`, state: 'ejected', inFlight: 0, why: 'failures in a row', backInMs: out.backInMs })
  // Without what put it out, nothing keeps it out.
  proxy.activate(table('3', {}, good.port, bad.port))
  assert.equal(failures(await statuses(proxy.url, 10)), 5)
})

test('never more than the cap are put out, whatever they answer', { timeout: 120_000 }, async (t) => {
  const all = [await server(t, 500), await server(t, 500), await server(t, 500)]
  const proxy = await testProxy(t, table('1', { health: { passive: { ...passive, ejectFor: 60_000 } } }, ...all.map(({ port }) => port)))
  const answers = await statuses(proxy.url, 60)
  assert.ok(answers.every((status) => status === 500), 'each is an answer of a backend')
  assert.equal(all.filter(({ requests }) => requests === 3).length, 1)
})

test('a backend of which too much fails is left alone, says when to come again, and is tried by one request', { timeout: 120_000 }, async (t) => {
  const only = await server(t, 500)
  const proxy = await testProxy(t, table('1', { breaker: { ...breaker, errorPercent: 50 } }, only.port))
  await statuses(proxy.url, 10)
  const refused = await fetch(proxy.url)
  assert.equal(refused.status, 503)
  assert.equal(refused.headers.get('x-modelroute-error'), 'circuit_open')
  assert.equal(refused.headers.get('retry-after'), '1')
  assert.equal(only.requests, 10)
  const explained = await fetch(`${proxy.urls.admin}/explain`, { method: 'POST', body: '{"url":"/"}' })
  assert.equal((await explained.json() as { code: string }).code, 'circuit_open')
  // Half-open: of many at once one goes through, and its failure opens it again.
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  const codes = await Promise.all(Array.from({ length: 8 }, async () => (await fetch(proxy.url)).status))
  assert.deepEqual(codes.toSorted((a, b) => a - b), [500, 503, 503, 503, 503, 503, 503, 503])
  only.status = 200
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  assert.deepEqual(await statuses(proxy.url, 20), Array(20).fill(200))
  assert.match(proxy.text(), /"msg":"the circuit of a variant is open".*"variant":"stable","why":"errors"/)
  assert.match(proxy.text(), /"msg":"the circuit of a variant is closed"/)
})

test('where one endpoint is to blame, its circuit opens and not that of the variant', { timeout: 120_000 }, async (t) => {
  const [good, bad] = [await server(t), await server(t, 500)]
  const proxy = await testProxy(t, table('1', { breaker: { ...breaker, errorPercent: 50, openFor: 60_000 } }, good.port, bad.port))
  const answers = await statuses(proxy.url, 60)
  assert.ok(failures(answers) <= 10, `${failures(answers)} failed`)
  assert.deepEqual(answers.slice(30), Array(30).fill(200))
})

test('answers that take too long open the circuit too', { timeout: 120_000 }, async (t) => {
  const port = await httpUpstream(t, (_request, response) => { setTimeout(() => response.end('{}'), 25) })
  const proxy = await testProxy(t, table('1', { breaker: { ...breaker, slow: { percent: 80, after: 10 }, openFor: 60_000 } }, port))
  const answers = await Promise.all(Array.from({ length: 10 }, async () => (await fetch(proxy.url)).status))
  assert.deepEqual(answers, Array(10).fill(200))
  assert.equal((await fetch(proxy.url)).headers.get('x-modelroute-error'), 'circuit_open')
})

test('an open circuit stays open over a table that changes something else, and goes with its variant', { timeout: 120_000 }, async (t) => {
  const only = await server(t, 500)
  const rules = { breaker: { ...breaker, errorPercent: 50, openFor: 60_000 } }
  const proxy = await testProxy(t, table('1', rules, only.port))
  await statuses(proxy.url, 10)
  proxy.activate(table('2', { ...rules, timeouts: { request: 5000 } }, only.port))
  assert.equal((await fetch(proxy.url)).headers.get('x-modelroute-error'), 'circuit_open')
  proxy.activate(table('3', { ...rules, variants: [variant('other', 'ml/s:80')] }, only.port))
  assert.equal((await fetch(proxy.url)).status, 500)
})

test('a model that answers nobody takes none of the connections of another one of the same server', { timeout: 120_000 }, async (t) => {
  let hanging = 0
  const port = await httpUpstream(t, (request, response) => {
    if (request.url === '/hangs') hanging++
    else response.end('{}')
  })
  const rules = [rule({ name: 'hangs', matches: [match('/hangs')] }), rule({ name: 'answers', matches: [match('/answers')] })]
  const proxy = await testProxy(t, active('1', [route({ rules })], { 'ml/s:80': [port] }), { limits: { connections: 4, pending: 16 } })
  const leave = new AbortController()
  const stuck = Array.from({ length: 40 }, () => fetch(`${proxy.url}/hangs`, { signal: leave.signal }).then(({ status }) => status, () => 0))
  await eventually(() => hanging === 4)
  for (let i = 0; i < 10; i++) assert.equal((await fetch(`${proxy.url}/answers`)).status, 200)
  leave.abort()
  const settled = await Promise.all(stuck)
  assert.equal(settled.filter((status) => status === 503).length, 20, 'beyond connections and places in the line: refused')
})

test('requests beyond maxRequests wait in a line, and beyond that are refused at once', { timeout: 120_000 }, async (t) => {
  const waiting: (() => void)[] = []
  let most = 0
  const port = await httpUpstream(t, (_request, response) => {
    waiting.push(() => response.end('{}'))
    most = Math.max(most, waiting.length)
  })
  const proxy = await testProxy(t, table('1', { breaker: { ...breaker, maxRequests: 2, maxPending: 3 } }, port))
  const all = Array.from({ length: 8 }, async () => (await fetch(proxy.url)).status)
  await eventually(() => waiting.length === 2)
  await eventually(() => proxy.lines().length === 3)
  while (waiting.length > 0) {
    waiting.shift()?.()
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  const answers = await Promise.all(all)
  assert.deepEqual(answers.toSorted((a, b) => a - b), [200, 200, 200, 200, 200, 503, 503, 503])
  assert.equal(most, 2)
})

test('a stream that begins well closes the circuit: nobody waits for its end', { timeout: 120_000 }, async (t) => {
  const state = { status: 500 }
  const open: (() => void)[] = []
  const port = await httpUpstream(t, (_request, response) => {
    response.writeHead(state.status, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    if (state.status === 200) open.push(() => response.end())
    else response.end()
  })
  const proxy = await testProxy(t, table('1', { breaker: { ...breaker, errorPercent: 50, openFor: 50 } }, port))
  await statuses(proxy.url, 10)
  state.status = 200
  const streams: Response[] = []
  while (streams.length < 3) {
    const answer = await fetch(proxy.url)
    if (answer.status === 200) streams.push(answer)
  }
  for (const end of open) end()
})
