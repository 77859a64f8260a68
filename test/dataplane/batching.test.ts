import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Mirrors } from '../../dataplane/mirror/mirrors.ts'
import { removeHeader } from '../../dataplane/pipeline/headers.ts'
import { anonymous, type Authenticate } from '../../dataplane/pipeline/principal.ts'
import type { Batching } from '../../table/batching.ts'
import type { Rule } from '../../table/route.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

/** They wait for as many as are meant to come, and not for a moment. */
const policy = (maxSize: number, more: Partial<Batching> = {}): Batching => ({ maxSize, maxDelay: 20_000, scope: 'Principal', ...more })

/** `x-who: alice`. */
const authenticate: Authenticate = (exchange) => {
  const { headers } = exchange.received
  const consumer = exchange.header('x-who') ?? ''
  if (consumer === '') return anonymous
  removeHeader(headers, 'x-who')
  headers.push('x-modelroute-consumer', consumer)
  return { ...anonymous, via: 'jwt', consumer }
}

type Seen = Readonly<{ request: IncomingMessage; rows: number; body: string; response: ServerResponse }>
type Answering = (seen: Seen) => void

const infer = '/v2/models/m/infer'
const asking = (x: number, more: object = {}) => JSON.stringify({ id: `id-${x}`, inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: [x] }], ...more })

/** Doubles each row; refuses what holds a number above 100. */
const doubling: Answering = ({ body, response }) => {
  const { id, inputs: [tensor = { shape: [], data: [] }] = [] } = JSON.parse(body) as { id?: string; inputs?: { shape: number[]; data: number[] }[] }
  const fails = tensor.data.some((x) => x > 100)
  response.writeHead(fails ? 400 : 200, { 'content-type': 'application/json', 'set-cookie': 'a=b', 'x-kind': 'one' })
  response.end(JSON.stringify(fails ? { error: 'too large' } : { model_name: 'm', id, outputs: [{ name: 'y', shape: tensor.shape, datatype: 'FP32', data: tensor.data.map((x) => 2 * x) }] }))
}

async function proxyWith(t: TestContext, terms: Batching, answer: Answering = doubling, more: Partial<Rule> = {}) {
  const seen: Seen[] = []
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const { inputs, instances = inputs?.[0]?.data ?? [] } = JSON.parse(body) as { inputs?: { data: unknown[] }[]; instances?: unknown[] }
      const one: Seen = { request, response, body, rows: instances.length }
      seen.push(one)
      answer(one)
    })
  })
  const table = (of: Batching) => active('1', [route({ rules: [rule({ auth: { anyOf: [], anonymous: true }, batching: of, ...more })] })], { 'ml/s:80': [port], 'ml/t:80': [port] })
  const proxy = await testProxy(t, table(terms), { filterDeps: { authenticators: () => authenticate, mirrors: new Mirrors() } })
  const ask = async (body: string, headers: Record<string, string> = {}, path = infer) => {
    const got = await fetch(new URL(path, proxy.url), { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })
    const text = await got.text()
    return { status: got.status, text, headers: got.headers }
  }
  const y = async (x: number, headers?: Record<string, string>) => {
    const { status, text } = await ask(asking(x), headers)
    const { id, outputs } = JSON.parse(text) as { id?: string; outputs?: { data: number[] }[] }
    return outputs === undefined ? status : `${id} ${outputs[0]?.data.join()}`
  }
  const metrics = async (...names: string[]) => {
    const lines = (await (await fetch(`${proxy.urls.admin}/metrics`)).text()).split('\n')
    return names.map((name) => Number(lines.find((line) => line.startsWith(`modelroute_${name}`) && line.includes('variant="stable"'))?.split(' ').at(-1)))
  }
  return { proxy, ask, y, seen, metrics, table, rows: () => seen.map(({ rows }) => rows).join() }
}

test('requests that come together are one call, and each gets its own rows with its own id', async (t) => {
  const { proxy, y, ask, seen, rows, metrics } = await proxyWith(t, policy(4))
  assert.deepEqual(await Promise.all([1, 2, 3, 4].map((x) => y(x))), ['id-1 2', 'id-2 4', 'id-3 6', 'id-4 8'])
  assert.equal(rows(), '4')
  const [first] = await Promise.all([5, 6, 7, 8].map((x) => ask(asking(x), { 'x-request-id': `r${x}`, traceparent: `00-${x}`, 'user-agent': `a${x}` })))
  assert.deepEqual([first?.headers.get('x-kind'), first?.headers.get('set-cookie'), first?.headers.get('x-request-id'), first?.headers.get('x-modelroute-variant')], ['one', null, 'r5', 'stable'])
  const call = seen[1]?.request.headers
  assert.deepEqual([call?.host, call?.['traceparent'], call?.['user-agent'], call?.['x-forwarded-for'], call?.['content-type']], [new URL(proxy.url).host, undefined, undefined, undefined, 'application/json'])
  const lines = proxy.lines().slice(4)
  assert.deepEqual(lines.map(({ batch, batch_requests: requests, batch_rows: of, batch_id: id }) => [batch, requests, of, id]), lines.map(() => ['joined', 4, 4, call?.['x-request-id']]))
  assert.ok(lines.every((line) => Number(line['batch_wait_ms']) >= 0 && Number(line['first_byte_ms']) > 0))
  assert.deepEqual(await metrics('batch_size_sum', 'batch_size_count', 'batch_wait_seconds_count', 'batch_waiting', 'upstream_duration_seconds_count', 'inflight_requests'), [8, 2, 8, 0, 8, 0])
  const [joined] = await metrics('batch_requests_total{route="ml/fraud",rule="infer",variant="stable",model="",model_version="",result="joined"}')
  assert.equal(joined, 8)
})

test('the first waits no longer than it is told to, and who is alone is asked for as ever', async (t) => {
  const { y, rows, seen, proxy } = await proxyWith(t, policy(8, { maxDelay: 5 }))
  assert.equal(await y(1), 'id-1 2')
  assert.equal(rows(), '1')
  assert.match(seen[0]?.body ?? '', /"id":"id-1"/)
  assert.equal(proxy.lines()[0]?.['batch'], 'alone')
})

test('a request that is refused fails none of its neighbours', async (t) => {
  const { proxy, y, rows } = await proxyWith(t, policy(4))
  assert.deepEqual(await Promise.all([1, 200, 3, 4].map((x) => y(x))), ['id-1 2', 400, 'id-3 6', 'id-4 8'])
  assert.equal(rows(), '4,1,1,1,1')
  assert.deepEqual(proxy.lines().map((line) => [line['batch'], line['batch_why']]), Array.from({ length: 4 }, () => ['apart', 'status 400']))
})

test('what a server says of everybody is said to everybody, and not asked again', async (t) => {
  for (const status of [429, 502, 404]) {
    const { ask, rows } = await proxyWith(t, policy(2), ({ response }) => response.writeHead(status, { 'content-type': 'text/plain', 'retry-after': '7' }).end('no'))
    const answers = await Promise.all([ask(asking(1)), ask(asking(2))])
    assert.deepEqual(answers.map(({ status: got, text, headers }) => [got, text, headers.get('retry-after'), headers.get('content-type')]), [[status, 'no', '7', 'text/plain'], [status, 'no', '7', 'text/plain']])
    assert.equal(rows(), '2')
  }
})

test('where the backend did not take the call, each goes on to the next variant, or is told why', async (t) => {
  const spare = { variants: [variant('stable', 'ml/none:80'), variant('spare', 'ml/s:80', { priority: 1 })] }
  const { y, rows, proxy } = await proxyWith(t, policy(2), doubling, spare)
  assert.deepEqual(await Promise.all([y(1), y(2)]), ['id-1 2', 'id-2 4'])
  assert.equal(rows(), '1,1')
  assert.deepEqual(proxy.lines().map((line) => [line['fallback'], line['batch_why']]), [['spare', 'no_endpoints'], ['spare', 'no_endpoints']])
  const { ask } = await proxyWith(t, policy(2), ({ response }) => response.destroy())
  const broken = await Promise.all([ask(asking(1)), ask(asking(2))])
  assert.deepEqual(broken.map(({ status, headers }) => [status, headers.get('x-modelroute-error')]), [[502, 'upstream_reset'], [502, 'upstream_reset']])
})

test('each is held to its own time, and the others go on', async (t) => {
  const { ask, y, rows, seen, metrics } = await proxyWith(t, policy(2), () => {}, { deadlineHeader: 'x-deadline' })
  const patient = y(1)
  while ((await metrics('batch_waiting'))[0] !== 1);
  const late = await ask(asking(2), { 'x-deadline': '60ms' })
  assert.deepEqual([late.status, late.headers.get('x-modelroute-error'), rows()], [504, 'timeout', '2'])
  const [call] = seen
  assert.ok(call)
  doubling(call)
  assert.equal(await patient, 'id-1 2')
})

function leaver(url: string, x: number): () => void {
  const leaving = httpRequest(new URL(infer, url), { method: 'POST' })
  leaving.on('error', () => {})
  leaving.end(asking(x))
  return () => leaving.destroy()
}

test('a call that nobody waits for any more is given up', async (t) => {
  let gone = false
  const { proxy, seen } = await proxyWith(t, policy(2), ({ response }) => { response.on('close', () => { gone = true }) })
  const leave = [1, 2].map((x) => leaver(proxy.url, x))
  await eventually(() => seen.length === 1)
  for (const one of leave) one()
  await eventually(() => gone)
})

test('what is no single prediction is passed through as ever, and explain says which is which', async (t) => {
  const { ask, seen, proxy } = await proxyWith(t, policy(2))
  const full = JSON.stringify({ inputs: [{ name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }] })
  const cases: [string, string, Record<string, string>, string][] = [
    [infer, full, {}, 'it fills a call by itself'], [infer, '{"inputs":[]}', {}, 'its tensors cannot be read'], ['/v2/models/m/generate', full, {}, 'it does not ask for predictions'],
    [infer, asking(1, { parameters: { sequence_id: 1 } }), {}, 'it is part of a sequence'], [infer, asking(1), { 'content-encoding': 'gzip' }, 'its body is packed'],
    [infer, asking(1, { id: 'x'.repeat(300_000) }), {}, 'its body is large'],
  ]
  for (const [path, body, headers] of cases) await ask(body, headers, path)
  assert.deepEqual(seen.map(({ body }) => body), cases.map(([, body]) => body))
  assert.deepEqual(proxy.lines().map((line) => [line['batch'], line['batch_why']]), cases.map(([,,, why]) => ['bypass', why]))
  const explain = async (body: string) => {
    const told = await (await fetch(`${proxy.urls.admin}/explain`, { method: 'POST', body: JSON.stringify({ method: 'POST', url: infer, body }) })).json() as { variant: string; steps: { filter: string; why: string }[] }
    return [told.variant, told.steps.find(({ filter }) => filter === 'batching')?.why]
  }
  assert.deepEqual(await explain(asking(1)), ['stable', 'waits up to 20000 ms for others like it, in a call of up to 2 rows'])
  assert.deepEqual(await explain(full), ['stable', 'goes alone: it fills a call by itself'])
  assert.equal(seen.length, cases.length)
})

test('a shadow gets a copy of each request that was joined', async (t) => {
  const { y, rows, seen } = await proxyWith(t, policy(2), doubling, {
    variants: [variant('stable', 'ml/s:80'), variant('shadow', 'ml/t:80', { weight: 0 })], mirror: { variant: 'shadow', percent: 100 },
  })
  assert.deepEqual(await Promise.all([y(1), y(2)]), ['id-1 2', 'id-2 4'])
  await eventually(() => seen.length === 3)
  assert.equal(rows().split(',').sort().join(), '1,1,2')
})

test('a model that does not take rows is asked one by one after three calls', async (t) => {
  const { y, rows } = await proxyWith(t, policy(2), ({ body, response }) => {
    const { inputs: [{ data }] } = JSON.parse(body) as { inputs: [{ data: number[] }] }
    // The sum of all: an answer that is nobody's.
    response.end(JSON.stringify({ outputs: [{ name: 'y', shape: [1], datatype: 'FP32', data: [data.reduce((a, b) => a + b)] }] }))
  })
  for (let round = 0; round < 4; round++) assert.deepEqual(await Promise.all([y(1), y(2)]), ['undefined 1', 'undefined 2'])
  assert.equal(rows(), '2,1,1,2,1,1,2,1,1,1,1')
})

test('callers, variants, versions, parameters and headers are never mixed', async (t) => {
  const two = { variants: [variant('stable', 'ml/s:80'), variant('canary', 'ml/t:80', { weight: 0 })], overrides: [{ header: 'x-canary', value: 'always', variant: 'canary' }] }
  const { ask, seen, rows } = await proxyWith(t, policy(2), doubling, two)
  const different: [Record<string, string>, string, string][] = [
    [{}, infer, asking(1)], [{ 'x-who': 'alice' }, infer, asking(1)], [{ 'x-who': 'bob' }, infer, asking(1)], [{ 'x-canary': 'always' }, infer, asking(1)], [{ 'x-tenant': 'a' }, infer, asking(1)],
    [{ authorization: 'Bearer b' }, infer, asking(1)], [{}, '/v2/models/m/versions/2/infer', asking(1)], [{}, '/v2/models/n/infer', asking(1)], [{}, `${infer}?q=1`, asking(1)],
    [{}, infer, asking(1, { parameters: { p: 1 } })], [{}, infer, asking(1, { inputs: [{ name: 'x', shape: [1], datatype: 'FP64', data: [1] }] })],
  ]
  const waiting = different.map(([headers, path, body]) => ask(body, headers, path))
  const others = different.map(([headers, path, body]) => ask(body, headers, path))
  for (const { status } of await Promise.all([...waiting, ...others])) assert.equal(status, 200)
  assert.equal(rows(), different.map(() => '2').join())
  const told = seen.map(({ request: { headers, url } }) => `${url} ${String(headers['x-modelroute-consumer'] ?? '')} ${headers['authorization'] ?? ''}`)
  assert.equal(new Set(told).size, 7)
})

test('callers of a tenant are mixed where the route says so, and the backend is told of none', async (t) => {
  const { y, seen, rows } = await proxyWith(t, policy(2, { scope: 'Tenant' }))
  assert.deepEqual(await Promise.all([y(1, { 'x-who': 'alice' }), y(2, { 'x-who': 'bob' })]).then((all) => all.sort()), ['id-1 2', 'id-2 4'])
  assert.deepEqual([rows(), seen[0]?.request.headers['x-modelroute-consumer']], ['2', undefined])
})

test('a client that leaves takes its rows with it', async (t) => {
  const { proxy, y, rows, metrics } = await proxyWith(t, policy(2))
  const leave = leaver(proxy.url, 9)
  while ((await metrics('batch_waiting'))[0] !== 1);
  leave()
  await eventually(() => proxy.lines()[0]?.['code'] === 'client_closed')
  assert.deepEqual((await Promise.all([y(1), y(2)])).sort(), ['id-1 2', 'id-2 4'])
  assert.equal(rows(), '2')
})

test('instances of V1 are joined too', async (t) => {
  const { ask, seen } = await proxyWith(t, policy(2), ({ response }) => response.end('{"predictions":[[0.1],[2e-1]]}'))
  const answers = await Promise.all(['{"instances":[[1]]}', '{"instances":[{"a":2}]}'].map((body) => ask(body, {}, '/v1/models/m:predict')))
  assert.deepEqual(answers.map(({ text }) => text).sort(), ['{"predictions":[[2e-1]]}', '{"predictions":[[0.1]]}'].sort())
  assert.equal(seen.length, 1)
})

test('batching.md: what is asked, called, answered and got is what the page says', async (t) => {
  const page = await readFile(join(import.meta.dirname, '../../docs/batching.md'), 'utf8')
  const block = (language: string) => (new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'm').exec(page)?.[1] ?? '').trim()
  const example = await readFile(join(import.meta.dirname, '../../examples/batching/route.yaml'), 'utf8')
  assert.equal(example.replace(/^#.*\n/, '').trim(), block('yaml'))
  const { ask, seen, metrics } = await proxyWith(t, policy(2), ({ response }) => response.end(block('json answer')))
  const first = ask(block('json first'))
  while ((await metrics('batch_waiting'))[0] !== 1);
  const second = await ask(block('json second'))
  assert.deepEqual([seen[0]?.body, second.text, (await first).status], [block('json call'), block('json share'), 200])
})
