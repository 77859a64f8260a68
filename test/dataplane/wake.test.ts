import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream, rawClient } from './sockets.ts'
import { active, route, rule } from './table.ts'

const table = (version: string, more: Partial<Rule>, ...ports: number[]) => active(version, [route({ rules: [rule(more)] })], { 'ml/s:80': ports })
const wakeUp = { hold: 30_000 }

async function server(t: TestContext) {
  const state = { requests: 0, port: 0 }
  state.port = await httpUpstream(t, (request, response) => {
    state.requests++
    request.pipe(response)
  })
  return state
}

type Report = Readonly<{ held: number; circuit?: string; endpoints: readonly Readonly<{ endpoint: string; state: string }>[] }>

/** Waits until the admin port says so of the only variant. */
async function until(admin: string | undefined, holds: (report: Report) => boolean): Promise<void> {
  for (;;) {
    const { items: [report] } = await (await fetch(`${admin}/upstreams`)).json() as { items: Report[] }
    if (report && holds(report)) return
  }
}

test('requests wait while a backend has no endpoint, body and all, and are served when it has one', { timeout: 120_000 }, async (t) => {
  const woken = await server(t)
  const proxy = await testProxy(t, table('1', { wakeUp }))
  const all = Array.from({ length: 50 }, async (_, i) => (await fetch(proxy.url, { method: 'POST', body: `${i} ${'x'.repeat(i * 5000)}` })).text())
  await until(proxy.urls.admin, ({ held }) => held === 50)
  proxy.activate(table('2', { wakeUp }, woken.port))
  const answers = await Promise.all(all)
  assert.deepEqual(answers.map((text) => text.split(' ')[0]), Array.from({ length: 50 }, (_, i) => String(i)))
  assert.equal(woken.requests, 50)
  await until(proxy.urls.admin, ({ held }) => held === 0)
})

test('who leaves while waiting is forgotten', { timeout: 120_000 }, async (t) => {
  const woken = await server(t)
  const proxy = await testProxy(t, table('1', { wakeUp }))
  const client = await rawClient(t, proxy.url)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}')
  await until(proxy.urls.admin, ({ held }) => held === 1)
  client.socket.destroy()
  await until(proxy.urls.admin, ({ held }) => held === 0)
  proxy.activate(table('2', { wakeUp }, woken.port))
  await (await fetch(proxy.url)).text()
  assert.equal(woken.requests, 1)
})

test('when the time to hold is over it is 503, and when the time of the request is over it is 504', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, table('1', { wakeUp: { hold: 50 } }))
  const refused = await fetch(proxy.url)
  assert.deepEqual([refused.status, refused.headers.get('x-modelroute-error')], [503, 'no_endpoints'])
  proxy.activate(table('2', { wakeUp, timeouts: { request: 100 } }))
  const late = await fetch(proxy.url)
  assert.deepEqual([late.status, late.headers.get('x-modelroute-error')], [504, 'timeout'])
  await until(proxy.urls.admin, ({ held }) => held === 0)
})

test('no more than so many are held; without wakeUp nobody is', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t, table('1', { wakeUp, timeouts: { request: 3000 } }))
  const codes = await Promise.all(Array.from({ length: 1100 }, async () => (await fetch(proxy.url)).headers.get('x-modelroute-error')))
  const count = (code: string) => codes.filter((each) => each === code).length
  assert.equal(count('overloaded'), 76)
  assert.equal(count('timeout'), 1024)
  proxy.activate(table('2', {}))
  assert.equal((await fetch(proxy.url)).status, 503)
})

test('metrics and the admin port tell how a variant stands with its endpoints', { timeout: 120_000 }, async (t) => {
  const woken = await server(t)
  const breaker = { maxRequests: 5, maxPending: 5, errorPercent: 50, minRequests: 20, openFor: 10_000 }
  const proxy = await testProxy(t, table('1', { wakeUp, breaker }))
  const held = fetch(proxy.url)
  await until(proxy.urls.admin, ({ held: count }) => count === 1)
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  const labels = 'route="ml/fraud",rule="infer",variant="stable",model_version=""'
  assert.ok(metrics.includes(`modelroute_waiting_requests{${labels},for="endpoint"} 1\n`), metrics)
  assert.ok(metrics.includes(`modelroute_circuit_state{${labels}} 0\n`))
  proxy.activate(table('2', { wakeUp, breaker }, woken.port))
  assert.equal((await held).status, 200)
  assert.ok((await (await fetch(`${proxy.urls.admin}/metrics`)).text()).includes(`modelroute_endpoint_state{${labels},state="healthy"} 1\n`))
  await until(proxy.urls.admin, ({ circuit, endpoints: [one] }) => circuit === 'closed' && one?.endpoint === `127.0.0.1:${woken.port}` && one.state === 'healthy')
})
