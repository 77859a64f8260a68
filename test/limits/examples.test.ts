import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createCompiler } from '../../controller/compile/compile.ts'
import { readManifests } from '../../controller/sources/files.ts'
import { anonymous, type Authenticate } from '../../dataplane/pipeline/principal.ts'
import { testProxy } from '../dataplane/proxy.ts'
import { eventually, httpUpstream } from '../dataplane/sockets.ts'
import { serviceAt } from '../manifests.ts'

const folder = join(import.meta.dirname, '../../examples/limits')

type Caller = Readonly<{ consumer: string; tier?: string; groups?: readonly string[]; org?: string }>

/** The key is the caller: how keys and tokens become callers is tested elsewhere. */
const authenticate: Authenticate = (exchange) => {
  const caller = JSON.parse(exchange.header('x-api-key') ?? '{}') as Caller
  const { consumer, tier, groups = [], org } = caller
  return { ...anonymous, via: 'jwt', consumer, tier, groups, claims: new Map(org === undefined ? [] : [['org', org]]) }
}

/** Everything that an example names, served by one model server. */
async function serve(t: TestContext, example: string, listener: RequestListener) {
  const port = await httpUpstream(t, listener)
  const dir = await mkdtemp(join(tmpdir(), 'modelroute-limits-'))
  t.after(() => rm(dir, { recursive: true }))
  const services = ['fraud', 'models', 'llama'].map((name) => `
${serviceAt(name, port, 'ml')}
`)
  await writeFile(join(dir, 'services.yaml'), services.join('---\n'))
  const { snapshot, problems } = await readManifests([join(folder, `${example}.yaml`), join(dir, 'services.yaml')])
  assert.deepEqual(problems, [])
  const compiled = createCompiler({ allowUrls: ['login.example.com'], allowLoopback: true, allowUnmanagedEndpointSlices: true })(snapshot)
  for (const { accepted, targets } of compiled.policies.values()) {
    assert.deepEqual([accepted.status, ...targets.map(({ reason }) => reason)], ['True', 'Accepted'], accepted.message)
  }
  const fleet = compiled.fleets.get('default')
  assert.ok(fleet)
  const auth = { anyOf: [], anonymous: false }
  const routes = new Map([...fleet.routes].map(([id, route]) => [id, { ...route, rules: route.rules.map((rule) => ({ ...rule, auth })) }]))
  const proxy = await testProxy(t, { version: '1', ...fleet, routes }, { filterDeps: { authenticators: () => authenticate } })
  const call = (caller: Caller, path: string, body?: unknown) => fetch(new URL(path, proxy.url), {
    method: 'POST', headers: { 'x-api-key': JSON.stringify(caller) }, body: JSON.stringify(body ?? {}),
  })
  const statuses = async (times: number, ...request: Parameters<typeof call>) => {
    const seen = new Map<number, number>()
    for (let i = 0; i < times; i++) {
      const { status } = await call(...request)
      seen.set(status, (seen.get(status) ?? 0) + 1)
    }
    return Object.fromEntries(seen)
  }
  const metrics = async () => (await fetch(new URL('/metrics', proxy.urls.admin))).text()
  return { proxy, call, statuses, metrics }
}

const ok: RequestListener = (request, response) => {
  request.resume()
  request.on('end', () => response.end('{}'))
}
const tested = new Set<string>()
function example(name: string, what: string, run: (t: TestContext) => Promise<void>): void {
  tested.add(name)
  test(`examples/limits/${name}.yaml: ${what}`, run)
}

const infer = '/v2/models/fraud/infer'

example('tiers', 'free 100 a day, pro 10,000 a day, enterprise unlimited', async (t) => {
  const { call, statuses } = await serve(t, 'tiers', ok)
  assert.deepEqual(await statuses(102, { consumer: 'ann', tier: 'free' }, infer), { 200: 100, 429: 2 })
  assert.deepEqual(await statuses(1, { consumer: 'bob', tier: 'free' }, infer), { 200: 1 })
  const pro = await call({ consumer: 'carl', tier: 'pro' }, infer)
  assert.equal(pro.headers.get('ratelimit-policy'), '"pro-daily";q=10000;w=86400')
  assert.match(pro.headers.get('ratelimit') ?? '', /^"pro-daily";r=9999;t=\d+$/)
  const enterprise = await call({ consumer: 'dora', tier: 'enterprise' }, infer)
  assert.deepEqual([enterprise.status, enterprise.headers.get('ratelimit-policy')], [200, null])
  assert.deepEqual(await statuses(1, { consumer: 'eve' }, infer), { 429: 1 })
})

example('per-key', '100 a minute for each key', async (t) => {
  const { statuses } = await serve(t, 'per-key', ok)
  assert.deepEqual(await statuses(105, { consumer: 'ann' }, infer), { 200: 100, 429: 5 })
  assert.deepEqual(await statuses(1, { consumer: 'bob' }, infer), { 200: 1 })
})

example('models', 'tighter for the model on GPUs', async (t) => {
  const { call, statuses } = await serve(t, 'models', ok)
  const ann = { consumer: 'ann' }
  assert.deepEqual(await statuses(12, ann, '/v2/models/vision-large/infer'), { 200: 10, 429: 2 })
  assert.deepEqual(await statuses(12, ann, infer), { 200: 12 })
  const refused = await call(ann, '/v2/models/vision-large/infer')
  // One comes back every six seconds.
  assert.ok(Number(refused.headers.get('retry-after')) <= 6)
})

example('token-quota', 'two million tokens a month, 100,000 a minute', async (t) => {
  const { proxy, call } = await serve(t, 'token-quota', (request, response) => {
    request.resume()
    request.on('end', () => response.end(JSON.stringify({ usage: { prompt_tokens: 30_000, completion_tokens: 5000 } })))
  })
  const chat = { model: 'llama', messages: [{ role: 'user', content: 'x'.repeat(40_000) }], max_tokens: 10_000 }
  const seen: string[] = []
  for (let i = 0; i < 4; i++) {
    const answer = await call({ consumer: 'ann' }, '/v1/chat/completions', chat)
    await answer.text()
    await eventually(() => proxy.lines().length === i + 1)
    seen.push(answer.status === 200 ? 'served' : answer.headers.get('x-modelroute-error') ?? '')
  }
  // 35,000 each: after two, 30,000 are left, and each is expected to take more.
  assert.deepEqual(seen, ['served', 'served', 'quota_exhausted', 'quota_exhausted'])
  assert.equal((await call({ consumer: 'bob' }, '/v1/chat/completions', chat)).status, 200)
})

example('organisation', 'key, team and organisation in one step', async (t) => {
  const { statuses } = await serve(t, 'organisation', ok)
  const ann = { consumer: 'ann', groups: ['fraud', 'risk'], org: 'acme' }
  const bob = { consumer: 'bob', groups: ['risk'], org: 'acme' }
  const carl = { consumer: 'carl', groups: ['ads'], org: 'acme' }
  assert.deepEqual(await statuses(52, ann, infer), { 200: 50, 429: 2 })
  // Of the 80 of the team risk, ann took 50; what was refused took nothing of anybody's.
  assert.deepEqual(await statuses(32, bob, infer), { 200: 30, 429: 2 })
  assert.deepEqual(await statuses(22, carl, infer), { 200: 20, 429: 2 })
  assert.deepEqual(await statuses(1, { consumer: 'dora', groups: ['ads'], org: 'other' }, infer), { 200: 1 })
})

example('budget', 'a budget of rows and backend seconds, and a lower one on trial', async (t) => {
  const { proxy, call, metrics } = await serve(t, 'budget', ok)
  const rows = (count: number) => ({ inputs: [{ name: 'x', shape: [count, 4], datatype: 'FP32', data: [] }] })
  const seen: number[] = []
  for (const count of [100, 120, 120, 120, 120, 120, 120, 120, 120]) {
    const answer = await call({ consumer: 'ann' }, infer, rows(count))
    await answer.text()
    await eventually(() => proxy.lines().length === seen.length + 1)
    seen.push(answer.status)
  }
  assert.deepEqual(seen, [200, 200, 200, 200, 200, 200, 200, 200, 429])
  assert.match(await metrics(), /limit="half",decision="shadow_rejected"\} [1-9]/)
})

example('concurrency', 'four at once for each caller', async (t) => {
  const held: (() => void)[] = []
  const { call } = await serve(t, 'concurrency', (request, response) => {
    request.resume()
    held.push(() => response.end('{}'))
  })
  const ann = { consumer: 'ann' }
  const running = Array.from({ length: 4 }, () => call(ann, '/v1/chat/completions'))
  await eventually(() => held.length === 4)
  assert.equal((await call(ann, '/v1/chat/completions')).status, 429)
  const other = call({ consumer: 'bob' }, '/v1/chat/completions')
  await eventually(() => held.length === 5)
  for (const answer of held) answer()
  for (const one of [...running, other]) assert.equal((await one).status, 200)
})

example('queue', 'who comes too early waits, where there is room to; a batch job has a count of its own', async (t) => {
  const { call } = await serve(t, 'queue', ok)
  const nightly = await call({ consumer: 'nightly', groups: ['batch'] }, infer)
  assert.match(nightly.headers.get('ratelimit-policy') ?? '', /"batch";q=10000;w=3600/)
  // Twenty have their turn at once, fifty wait for it.
  const answers = await Promise.all(Array.from({ length: 400 }, () => call({ consumer: 'ann' }, infer)))
  assert.doesNotMatch(answers[0]?.headers.get('ratelimit-policy') ?? '', /batch/)
  const codes = answers.map(({ status, headers }) => (status === 200 ? 'served' : headers.get('x-modelroute-error')))
  assert.deepEqual(new Set(codes), new Set(['queue_timeout', 'served']))
  assert.ok(codes.filter((code) => code === 'served').length >= 19)
})

test('every example is tested', () => {
  assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith('.yaml')).sort(), [...tested].map((name) => `${name}.yaml`).sort())
})
