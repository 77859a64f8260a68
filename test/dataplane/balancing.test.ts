import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { EndpointSet } from '../../table/endpoints.ts'
import type { Balance } from '../../table/resilience.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

/** Backends that say which of them answers, unless told otherwise. */
function backends(t: TestContext, count: number, listener: (index: number) => RequestListener = (index) => (_, response) => response.end(String(index))): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => httpUpstream(t, listener(index))))
}

const tableOf = (version: string, balance: Balance, ports: readonly number[]) =>
  active(version, [route({ rules: [rule({ balance })] })], { 'ml/s:80': ports })

async function ask(url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  return (await fetch(url, { headers })).text()
}

const times = async <T>(count: number, of: () => Promise<T>): Promise<T[]> => {
  const all: T[] = []
  for (let i = 0; i < count; i++) all.push(await of())
  return all
}

test('PeakEWMA asks a slow endpoint and one that fails once, and the others from then on', async (t) => {
  const ports = await backends(t, 6, (index) => (_, response) => {
    if (index === 1) response.statusCode = 503
    setTimeout(() => response.end(String(index)), index === 0 ? 200 : 0)
  })
  const { url } = await testProxy(t, tableOf('1', { policy: 'PeakEWMA' }, ports))
  const asked = await times(100, () => ask(url))
  assert.equal(asked.filter((one) => one === '0').length, 1)
  assert.equal(asked.filter((one) => one === '1').length, 1)
  assert.equal(new Set(asked).size, 6)
})

test('what PeakEWMA has learnt outlives the table', async (t) => {
  const ports = await backends(t, 3, (index) => (_, response) => { setTimeout(() => response.end(String(index)), index === 0 ? 200 : 0) })
  const { url, activate } = await testProxy(t, tableOf('1', { policy: 'PeakEWMA' }, ports))
  await times(10, () => ask(url))
  activate(tableOf('2', { policy: 'PeakEWMA', slowStart: 1 }, ports))
  assert.ok(!(await times(20, () => ask(url))).includes('0'))
})

test('ConsistentHash: a header, a cookie or a caller stays on its endpoint, over tables and while others come', async (t) => {
  const ports = await backends(t, 5)
  const keys = [
    [{ by: 'Header', name: 'x-user' }, (user: string) => ({ 'x-user': user })],
    [{ by: 'Cookie', name: 'session' }, (user: string) => ({ cookie: `other=1; session=${user}` })],
  ] as const
  for (const [key, headers] of keys) {
    const { url, activate } = await testProxy(t, tableOf('1', { policy: 'ConsistentHash', key }, ports.slice(0, 4)))
    const users = Array.from({ length: 30 }, (_, i) => `user-${i}`)
    // One after the other: what is in flight at once would meet the bound.
    const owners = async () => {
      const found = new Map<string, string>()
      for (const user of users) found.set(user, await ask(url, headers(user)))
      return found
    }
    const before = await owners()
    assert.ok(new Set(before.values()).size > 1, 'not everybody is on the same one')
    activate(tableOf('2', { policy: 'ConsistentHash', key }, ports.slice(0, 4)))
    assert.deepEqual(await owners(), before)
    activate(tableOf('3', { policy: 'ConsistentHash', key }, ports))
    for (const [user, owner] of await owners()) assert.ok(owner === before.get(user) || owner === '4', `${user} moved from ${before.get(user)} to ${owner}`)
    assert.equal(new Set(await times(10, () => ask(url))).size, 5, 'without a key they take turns')
  }
  const { url } = await testProxy(t, tableOf('1', { policy: 'ConsistentHash', key: { by: 'Principal' } }, ports))
  assert.equal(new Set(await times(10, () => ask(url))).size, 1, 'a caller nobody knows is its address')
})

test('explain tells how the endpoints look to the policy', async (t) => {
  const ports = await backends(t, 3)
  const { url, urls } = await testProxy(t, tableOf('1', { policy: 'ConsistentHash', key: { by: 'Header', name: 'x-user' } }, ports))
  const owner = await ask(url, { 'x-user': 'ann' })
  const answer = await fetch(`${urls.admin}/explain`, { method: 'POST', body: JSON.stringify({ url: '/', headers: { 'x-user': 'ann' } }) })
  const { endpoint, endpoints } = await answer.json() as { endpoint: string; endpoints: { endpoint: string; why: string }[] }
  assert.equal(endpoint, `127.0.0.1:${ports[Number(owner)]}`)
  assert.deepEqual(endpoints.map(({ why }) => why), [
    'has the key, 0 of at most 4 in flight', '1 after it on the ring, 0 of at most 4 in flight', '2 after it on the ring, 0 of at most 4 in flight',
  ])
})

const vllm = (waiting: number, running = 0) => `# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{model_name="m"} ${waiting}\n` +
  `vllm:num_requests_running{model_name="m"} ${running}\nvllm:kv_cache_usage_perc{model_name="m"} 0.2\n`

/**
 * Waits until `explain` has the endpoints in this order, each with so many waiting. (What else it says of them is of the
 * moment: reports are believed less and less until the next.)
 */
async function toldOf(admin: string | undefined, wanted: readonly (readonly [port: number | undefined, waiting: number])[]): Promise<void> {
  for (;;) {
    const answer = await fetch(`${admin}/explain`, { method: 'POST', body: JSON.stringify({ url: '/' }) })
    const { endpoints } = await answer.json() as { endpoints: { endpoint: string; why: string }[] }
    const told = endpoints.map(({ endpoint, why }) => `${endpoint} ${/\d+ waiting/.exec(why)?.[0]}`)
    if (told.join() === wanted.map(([port, waiting]) => `127.0.0.1:${port} ${waiting} waiting`).join()) return
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}

test('InferenceAware: what a server has to do for others keeps ours away from it, as long as it says so', { timeout: 120_000 }, async (t) => {
  const waiting = [40, 0]
  const ports = await backends(t, 2, (index) => (request, response) => {
    response.end(request.url === '/metrics' ? vllm(waiting[index]!) : String(index))
  })
  const { url, urls } = await testProxy(t, tableOf('1', { policy: 'InferenceAware' }, ports))
  assert.equal(new Set(await times(4, () => ask(url))).size, 2, 'nobody knows anything yet')
  await toldOf(urls.admin, [[ports[1], 0], [ports[0], 40]])
  assert.deepEqual(new Set(await times(20, () => ask(url))), new Set(['1']))
  waiting.reverse()
  await toldOf(urls.admin, [[ports[0], 0], [ports[1], 40]])
  assert.deepEqual(new Set(await times(20, () => ask(url))), new Set(['0']))
})

test('metrics on a port of their own are asked there, and only for rules that want them', { timeout: 120_000 }, async (t) => {
  const pages = [0, 0]
  const metrics = await backends(t, 2, (index) => (_, response) => {
    pages[index]!++
    response.end(`nv_inference_pending_request_count{model="m",version="1"} ${index === 0 ? 9 : 0}\n`)
  })
  const paths = new Set<string | undefined>()
  const ports = await backends(t, 2, (index) => (request, response) => {
    paths.add(request.url)
    response.end(String(index))
  })
  const set: EndpointSet = { id: 'ml/s:80', endpoints: ports.map((port, i) => ({ address: '127.0.0.1', port, metrics: metrics[i]! })) }
  const table = (version: string, balance: Balance) => ({ ...tableOf(version, balance, ports), endpoints: new Map([[set.id, set]]) })
  const { url, urls, activate } = await testProxy(t, table('1', { policy: 'LeastRequest' }))
  await times(10, () => ask(url))
  activate(table('2', { policy: 'InferenceAware' }))
  assert.deepEqual(pages, [0, 0])
  await ask(url)
  await toldOf(urls.admin, [[ports[1], 0], [ports[0], 9]])
  assert.deepEqual(new Set(await times(10, () => ask(url))), new Set(['1']))
  assert.deepEqual(paths, new Set(['/']))
})

test('a report in the headers of an answer is used, and not passed on; the caller cannot ask for it', async (t) => {
  const formats: unknown[] = []
  const ports = await backends(t, 2, (index) => (request, response) => {
    if (request.url === '/metrics') {
      response.statusCode = 404
      response.end()
      return
    }
    formats.push(request.headers['endpoint-load-metrics-format'])
    response.setHeader('endpoint-load-metrics', `TEXT named_metrics.kv_cache_usage_perc=0.5, named_metrics.num_requests_waiting=${index === 0 ? 12 : 1}`)
    response.end(String(index))
  })
  const { url } = await testProxy(t, tableOf('1', { policy: 'InferenceAware' }, ports))
  const answer = await fetch(url, { headers: { 'endpoint-load-metrics-format': 'JSON' } })
  assert.equal(answer.headers.get('endpoint-load-metrics'), null)
  const first = await answer.text()
  // The first says how busy it is; the second need not be asked more than once to say that it is not, or is.
  const asked = [first, ...await times(20, () => ask(url))]
  assert.ok(asked.filter((one) => one === '0').length <= 2, asked.join())
  assert.deepEqual(new Set(formats), new Set(['text']))
})

test('ConsistentHash by prompt: conversations stay where their beginning is in the cache; what has no prompt is spread', async (t) => {
  const ports = await backends(t, 4)
  const { url, urls } = await testProxy(t, tableOf('1', { policy: 'ConsistentHash', key: { by: 'PromptPrefix' } }, ports))
  const chat = async (...messages: readonly (readonly [role: string, content: string])[]) => (await fetch(`${url}/v1/chat/completions`, {
    method: 'POST', body: JSON.stringify({ model: 'm', messages: messages.map(([role, content]) => ({ role, content })) }),
  })).text()
  const owners = new Set<string>()
  for (let i = 0; i < 12; i++) {
    const first = ['user', `Question ${i}`] as const
    const owner = await chat(['system', 'Be kind.'], first)
    owners.add(owner)
    assert.equal(await chat(['system', 'Be kind.'], first, ['assistant', 'Answer'], ['user', 'And then?']), owner)
  }
  assert.ok(owners.size > 1, 'the conversations are not all in one place')
  const sent = (body: string | null, headers: Readonly<Record<string, string>> = {}) => async () => (await fetch(url, { method: 'POST', body, headers })).text()
  for (const send of [sent('no JSON'), sent('{"a":1,"a":2}'), sent(null), sent('{}'), sent('--x', { 'content-type': 'multipart/form-data; boundary=x' })]) {
    assert.equal(new Set(await times(8, send)).size, 4)
  }
  const answer = await fetch(`${urls.admin}/explain`, { method: 'POST', body: JSON.stringify({ method: 'POST', url: '/', body: '{"prompt":"Once"}' }) })
  const { steps } = await answer.json() as { steps: { filter: string; why: string }[] }
  assert.equal(steps.find(({ filter }) => filter === 'prompt_prefix')?.why, 'the first 6 characters decide')
})

test('a proxy that knows its zone stays in it, and goes elsewhere where nobody is left', async (t) => {
  const ports = await backends(t, 3)
  const set = (zones: readonly string[]): EndpointSet => ({ id: 'ml/s:80', endpoints: zones.map((zone, i) => ({ address: '127.0.0.1', port: ports[i] ?? 0, zone })) })
  const table = (version: string, zones: readonly string[]) => ({ ...tableOf(version, { policy: 'RoundRobin', zoneAware: true }, ports), endpoints: new Map([['ml/s:80', set(zones)]]) })
  const { url, activate } = await testProxy(t, table('1', ['a', 'b', 'c']), { zone: 'b' })
  assert.deepEqual(new Set(await times(9, () => ask(url))), new Set(['1']))
  activate(table('2', ['a', 'c', 'c']))
  assert.equal(new Set(await times(9, () => ask(url))).size, 3)
})
