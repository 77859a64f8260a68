import assert from 'node:assert/strict'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import * as v from 'valibot'
import { ConsoleState } from '../../table/console.ts'
import type { Limit } from '../../table/limits.ts'
import type { Authenticate } from '../../dataplane/pipeline/principal.ts'
import { anonymous } from '../../dataplane/pipeline/principal.ts'
import { testProxy } from './proxy.ts'
import { deadPort, httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const authenticate: Authenticate = (exchange) => {
  const consumer = exchange.header('x-who')
  return consumer === undefined ? anonymous : { ...anonymous, via: 'jwt', consumer }
}

const limit: Limit = {
  policy: 'ml/tiers', name: 'daily', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [{ type: 'Principal' }],
  algorithm: { type: 'FixedWindow', window: 86_400_000 }, unit: 'requests', amount: 2, scope: 'Global', shadow: false, onStoreFailure: 'Local',
}

async function proxyWith(t: TestContext) {
  const port = await httpUpstream(t, (asked, response) => asked.resume().once('end', () => response.writeHead(asked.url === '/bad' ? 500 : 200).end('served')))
  const dead = await deadPort()
  const variants = [
    variant('stable', 'ml/s:80', { weight: 900_000, model: { version: '1' } }), variant('canary', 'ml/c:80', { weight: 100_000, model: { version: '2' } }),
  ]
  const proxy = await testProxy(t, active('table-7', [
    route({ rules: [rule({ variants })] }),
    route({ id: 'ml/limited', rules: [rule({ matches: [match('/limited')], auth: { anyOf: [], anonymous: true }, limits: [limit] })] }),
    route({ id: 'ml/down', hostnames: ['down.test'], rules: [rule({ matches: [match('/down', { method: 'POST' })], variants: [variant('stable', 'ml/d:80')] })] }),
    route({ id: 'ml/kept', hostnames: ['kept.test'], rules: [rule({ matches: [match('/kept')], measured: { id: 'a', fields: [] }, cache: { ttl: 60_000, scope: 'Shared', maxBytes: 1000, maxEntryBytes: 1000, headers: [], pointers: [], tags: [], billed: 100 } })] }),
  ], { 'ml/s:80': [port], 'ml/c:80': [port], 'ml/d:80': [dead] }), { filterDeps: { authenticators: () => authenticate } })
  const state = async (query: string) => {
    const answer = await fetch(`${proxy.urls.admin}/console/state?${query}`)
    assert.equal(answer.status, 200)
    return v.parse(ConsoleState, await answer.json())
  }
  return { proxy, state }
}

test('the console counts what the metrics count, by rule and variant', async (t) => {
  const { proxy, state } = await proxyWith(t)
  for (let i = 0; i < 20; i++) await (await fetch(`${proxy.url}/v2`)).text()
  await (await fetch(`${proxy.url}/bad`)).text()
  for (let i = 0; i < 3; i++) await (await fetch(`${proxy.url}/limited`, { headers: { 'x-who': 'ann' } })).text()
  const { total, traffic, table, endings, window, server } = await state('view=traffic')
  assert.deepEqual([total.requests, total.failed, total.refused], [24, 1, 1])
  assert.deepEqual([table?.version, table?.routes, window, server.kind, server.ready], ['table-7', 4, null, 'proxy', true])
  assert.deepEqual(endings.map(({ status, code, count }) => `${status} ${code} ${count}`).toSorted(), ['429 rate_limited 1', '500  1'])
  assert.deepEqual(traffic?.items.slice(0, 2).map((one) => `${one.route} ${one.flow.requests}`), ['ml/fraud 21', 'ml/limited 3'])
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  for (const { variant: name, weight, flow, modelVersion } of traffic?.items[0]?.variants ?? []) {
    const told = [...metrics.matchAll(new RegExp(`^modelroute_requests_total\\{route="ml/fraud".*variant="${name}".*\\} (\\d+)$`, 'gm'))]
    assert.equal(flow.requests, told.reduce((sum, [, count]) => sum + Number(count), 0))
    assert.deepEqual([weight, modelVersion], name === 'stable' ? [0.9, '1'] : [0.1, '2'])
  }
  const one = await state('view=traffic&search=LIMITED&limit=1')
  assert.deepEqual([one.traffic?.total, one.traffic?.items[0]?.route], [1, 'ml/limited'])
})

test('the other views tell limits and callers, endpoints, rollouts, caches and the table', async (t) => {
  const { proxy, state } = await proxyWith(t)
  for (let i = 0; i < 3; i++) await (await fetch(`${proxy.url}/limited`, { headers: { 'x-who': 'ann' } })).text()
  await (await fetch(`${proxy.url}/limited`, { headers: { 'x-who': 'bob' } })).text()
  const { limits } = await state('view=limits')
  assert.equal(limits?.list.items[0]?.terms, '2 requests in 24 h, by Principal')
  assert.deepEqual(limits?.list.items[0]?.decisions.map(({ decision, count }) => `${decision} ${count}`), ['allowed 3', 'rejected 1'])
  assert.deepEqual(limits?.callers.map(({ consumer, requests, rejected, limits: [left] }) => `${consumer} ${requests} ${rejected} ${left?.remaining}`), ['ann 2 1 0', 'bob 1 0 1'])
  const { endpoints } = await state('view=endpoints&search=down')
  assert.deepEqual(endpoints?.list.items.map(({ route: id, circuit, endpoints: all }) => [id, circuit, all.length]), [['ml/down', null, 1]])
  const { rollouts } = await state('view=rollouts')
  assert.deepEqual(rollouts?.items.map((one) => [one.route, one.variants.map(({ weight, requests }) => [weight, requests])]), [['ml/fraud', [[0.9, undefined], [0.1, undefined]]], ['ml/kept', [[1, 0]]]])
  const { caches } = await state('view=caches')
  assert.deepEqual(caches?.items.map((one) => [one.route, one.maxBytes, one.hitRate]), [['ml/kept', 1000, null]])
  const { routes } = await state('view=table&search=down.test')
  assert.deepEqual(routes?.items.map(({ route: id, rules }) => [id, rules[0]?.matches]), [['ml/down', ['POST /down/…']]])
})

test('a list is cut into pages, and what is beyond reach has to be searched for', async (t) => {
  const { proxy, state } = await proxyWith(t)
  const { routes } = await state('view=table&offset=1&limit=2')
  assert.deepEqual([routes?.total, routes?.items.map((one) => one.route)], [4, ['ml/fraud', 'ml/kept']])
  for (const wrong of ['view=secrets', 'sort=1', 'limit=101', 'offset=1000', 'offset=-1', 'limit=x', `search=${'x'.repeat(201)}`]) {
    assert.equal((await fetch(`${proxy.urls.admin}/console/state?${wrong}`)).status, 400, wrong)
  }
})

/** What a browser would not let be said. */
async function asked(admin: string, method: string, path: string, headers: Record<string, string>, body?: string) {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number | undefined; headers: Record<string, unknown>; body: string }>()
  request(new URL(path, admin), { method, headers }, (response) => {
    text(response).then((all) => resolve({ status: response.statusCode, headers: response.headers, body: all }), reject)
  }).once('error', reject).end(body)
  return promise
}

test('another web page is told nothing, also where its name leads here, and what only looks goes on by any address', async (t) => {
  const { proxy } = await proxyWith(t)
  const admin = proxy.urls.admin ?? ''
  for (const path of ['/console', '/console/state', '/table', '/usage', '/upstreams', '/mirrors']) {
    assert.equal((await asked(admin, 'GET', path, { host: 'evil.example:9901' })).status, 403, path)
    assert.equal((await asked(admin, 'GET', path, { host: 'modelroute.ml.svc.cluster.local:9901' })).status, 200, path)
  }
  assert.equal((await asked(admin, 'GET', '/metrics', { host: 'proxy.example.com' })).status, 200)
  const { host } = new URL(admin)
  const explain = (headers: Record<string, string>) => asked(admin, 'POST', '/explain', { 'content-type': 'text/plain', ...headers }, '{"url":"/x"}')
  assert.equal((await explain({ host, origin: 'http://evil.example' })).status, 403)
  assert.equal((await explain({ host, origin: 'null' })).status, 403)
  assert.equal((await explain({ host, 'sec-fetch-site': 'cross-site' })).status, 403)
  assert.equal((await explain({ host: 'evil.example', origin: 'http://evil.example' })).status, 403)
  assert.equal((await explain({ host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' })).status, 200)
  assert.equal((await explain({ host })).status, 200)
})

test('the page takes nothing from elsewhere, and is not sent again where it is known', async (t) => {
  const { proxy } = await proxyWith(t)
  const admin = proxy.urls.admin ?? ''
  const page = await asked(admin, 'GET', '/console', {})
  assert.match(page.body, /^<!doctype html>/)
  assert.match(String(page.headers['content-security-policy']), /default-src 'none'.*require-trusted-types-for 'script'/)
  assert.doesNotMatch(String(page.headers['content-security-policy']), /unsafe|\*/)
  for (const [, path] of page.body.matchAll(/(?:href|src)="(console\/[^"]+\.\w+)"/g)) {
    const file = await asked(admin, 'GET', `/${path}`, {})
    assert.equal(file.status, 200, path)
    assert.equal((await asked(admin, 'GET', `/${path}`, { 'if-none-match': String(file.headers['etag']) })).status, 304)
  }
  assert.equal((await asked(admin, 'GET', '/console/../console/port.ts', {})).status, 404)
  assert.equal((await asked(admin, 'GET', '/console/', {})).headers['location'], '../console')
  assert.equal((await asked(admin, 'POST', '/console', {})).status, 405)
  assert.equal((await asked(admin, 'HEAD', '/console', {})).body, '')
})
