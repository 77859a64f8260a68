import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const ok = (t: Parameters<typeof httpUpstream>[0]) => httpUpstream(t, (request, response) => { request.resume().once('end', () => response.end('ok')) })

async function series(url: string | undefined, name: string): Promise<string[]> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(name))
}

test('requests are counted by route, rule, variant, model and outcome, and timed', { timeout: 120_000 }, async (t) => {
  const port = await ok(t)
  const proxy = await testProxy(t, active('v7', [route({ rules: [
    rule({ matches: [match('/v2', { model: { name: 'fraud' } })], variants: [variant('stable', 'ml/s:80', { model: { version: '3' } })] }),
  ] })], { 'ml/s:80': [port] }))
  await (await fetch(`${proxy.url}/v2/models/fraud/infer`, { method: 'POST', body: '{}' })).text()
  await (await fetch(`${proxy.url}/nowhere`)).text()
  await eventually(() => proxy.lines().length === 2)
  assert.deepEqual(await series(proxy.urls.health, 'modelroute_requests_total{'), [
    'modelroute_requests_total{route="",rule="",variant="",model="",model_version="",code="404",error="no_route"} 1',
    'modelroute_requests_total{route="ml/fraud",rule="infer",variant="stable",model="fraud",model_version="3",code="200",error=""} 1',
  ])
  for (const name of ['request_duration', 'upstream_duration', 'time_to_first_byte']) {
    const [count] = await series(proxy.urls.admin, `modelroute_${name}_seconds_count{route="ml/fraud"`)
    assert.match(String(count), /rule="infer",variant="stable",model_version="3"\} 1$/)
    const buckets = await series(proxy.urls.admin, `modelroute_${name}_seconds_bucket{route="ml/fraud"`)
    assert.match(String(buckets.at(-1)), /le="\+Inf"\} 1$/)
  }
  assert.deepEqual(await series(proxy.urls.admin, 'modelroute_table_version_info{'), ['modelroute_table_version_info{version="v7"} 1'])
  assert.equal((await series(proxy.urls.admin, 'modelroute_table_age_seconds ')).length, 1)
  assert.equal((await series(proxy.urls.admin, 'modelroute_event_loop_lag_seconds ')).length, 1)
})

test('requests in flight are counted while they are', { timeout: 120_000 }, async (t) => {
  const finish: (() => void)[] = []
  const port = await httpUpstream(t, (_request, response) => { finish.push(() => response.end('ok')) })
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const answers = [fetch(proxy.url), fetch(proxy.url)]
  await eventually(() => finish.length === 2)
  const gauge = () => series(proxy.urls.admin, 'modelroute_inflight_requests{route="ml/fraud"')
  assert.match(String(await gauge()), / 2$/)
  for (const end of finish) end()
  await Promise.all(answers.map(async (answer) => (await answer).text()))
  await eventually(() => proxy.lines().length === 2)
  assert.match(String(await gauge()), / 0$/)
})

test('a caller cannot make up series: models and methods of its own invention are not labels', { timeout: 120_000 }, async (t) => {
  const port = await ok(t)
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  for (let i = 0; i < 20; i++) await (await fetch(`${proxy.url}/v2/models/made-up-${i}/versions/${i}/infer`, { method: 'POST', body: '{}' })).text()
  await eventually(() => proxy.lines().length === 20)
  const lines = await series(proxy.urls.admin, 'modelroute_requests_total{route="ml/fraud"')
  assert.equal(lines.length, 1)
  assert.match(String(lines[0]), /model="",model_version="",.* 20$/)
})

test('series of a route that left the table are gone, those of an edited one go on', { timeout: 120_000 }, async (t) => {
  const port = await ok(t)
  const sets = { 'ml/s:80': [port] }
  const both = [route({ hostnames: [] }), route({ id: 'ml/b', rules: [rule({ matches: [match('/b')] })] })]
  const proxy = await testProxy(t, active('1', both, sets))
  await (await fetch(proxy.url)).text()
  await (await fetch(`${proxy.url}/b`)).text()
  await eventually(() => proxy.lines().length === 2)
  proxy.activate(active('2', [route({ generation: 2 })], sets))
  await (await fetch(proxy.url)).text()
  await eventually(() => proxy.lines().length === 3)
  const lines = await series(proxy.urls.admin, 'modelroute_requests_total{route="ml/')
  assert.equal(lines.length, 1)
  assert.match(String(lines[0]), /route="ml\/fraud".* 2$/)
})

test('the log has one line a request, and no secret of it', { timeout: 120_000 }, async (t) => {
  const port = await ok(t)
  const proxy = await testProxy(t, active('t1', [route()], { 'ml/s:80': [port] }))
  await (await fetch(`${proxy.url}/p?key=canary-query`, {
    method: 'POST', body: 'canary-body', headers: { authorization: 'Bearer canary-header', cookie: 'canary-cookie', 'x-request-id': 'r-1', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' },
  })).text()
  await eventually(() => proxy.lines().length === 1)
  assert.ok(!proxy.text().includes('canary'), proxy.text())
  const { time, duration_ms, first_byte_ms, host, ...line } = proxy.lines()[0] ?? {}
  assert.ok(time && host && Number(duration_ms) >= Number(first_byte_ms) && Number(first_byte_ms) > 0)
  assert.deepEqual(line, {
    level: 'info', msg: 'request', request_id: 'r-1', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', method: 'POST', path: '/p', route: 'ml/fraud', rule: 'infer', variant: 'stable',
    endpoint: `127.0.0.1:${port}`, status: 200, bytes_in: 11, bytes_out: 2, table: 't1',
  })
})

test('the health port tells nothing of the table, the admin port does; readiness needs a table', { timeout: 120_000 }, async (t) => {
  const proxy = await testProxy(t)
  const status = async (url: string | undefined, path: string) => (await fetch(`${url}${path}`)).status
  assert.deepEqual([await status(proxy.urls.health, '/healthz'), await status(proxy.urls.health, '/readyz')], [200, 503])
  const early = await fetch(proxy.url)
  assert.deepEqual([early.status, early.headers.get('x-modelroute-error')], [503, 'no_endpoints'])
  proxy.activate(active('1', [route()], { 'ml/s:80': [1] }))
  assert.deepEqual([await status(proxy.urls.health, '/readyz'), await status(proxy.urls.admin, '/readyz')], [200, 200])
  assert.deepEqual([await status(proxy.urls.health, '/table'), await status(proxy.urls.health, '/x')], [404, 404])
  // Whoever looks around is told what there is.
  const said = async (url: string | undefined) => (await fetch(`${url}/`)).text()
  assert.equal(await said(proxy.urls.health), 'no such page; there are /healthz, /readyz, /metrics\n')
  assert.equal(await said(proxy.urls.admin), 'no such page; there are /healthz, /readyz, /metrics, /table, /usage, /mirrors, /predictions, /upstreams, POST /explain, DELETE /cache, /console\n')
  const table = await (await fetch(`${proxy.urls.admin}/table`)).json() as { version: string; routes: { id: string }[]; endpoints: { id: string }[] }
  assert.deepEqual([table.version, table.routes[0]?.id, table.endpoints[0]?.id], ['1', 'ml/fraud', 'ml/s:80'])
  assert.equal((await fetch(`${proxy.urls.admin}/table`, { method: 'DELETE' })).status, 405)
})

test('every server says where it listens', async (t) => {
  const proxy = await testProxy(t)
  const lines = proxy.text().trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(lines.map(({ msg, name, url }) => [msg, name, url]), [
    ['listening', 'health', proxy.urls.health], ['listening', 'admin', proxy.urls.admin], ['listening', 'http', proxy.urls.http],
  ])
})

test('a duration of a request whose trace is kept leads there, in OpenMetrics', { timeout: 120_000 }, async (t) => {
  const port = await ok(t)
  const proxy = await testProxy(t, active('1', [route()], { 'ml/s:80': [port] }))
  const [kept, dropped] = ['a'.repeat(32), 'b'.repeat(32)]
  for (const [trace, flags] of [[kept, '01'], [dropped, '00']]) await (await fetch(proxy.url, { headers: { traceparent: `00-${trace}-${'1'.repeat(16)}-${flags}` } })).text()
  await eventually(() => proxy.lines().length === 2)
  const asked = await fetch(`${proxy.urls.health}/metrics`, { headers: { accept: 'application/openmetrics-text' } })
  assert.equal(asked.headers.get('content-type'), 'application/openmetrics-text; version=1.0.0; charset=utf-8')
  const text = await asked.text()
  for (const name of ['request_duration', 'upstream_duration', 'time_to_first_byte']) {
    assert.match(text, new RegExp(`^modelroute_${name}_seconds_bucket\\{route="ml/fraud".* # \\{trace_id="${kept}"\\} [\\d.e-]+ [\\d.]+$`, 'm'))
  }
  assert.ok(!text.includes(dropped))
  assert.ok(text.endsWith('\n# EOF\n'))
  assert.ok(!(await (await fetch(`${proxy.urls.health}/metrics`)).text()).includes(kept))
})
