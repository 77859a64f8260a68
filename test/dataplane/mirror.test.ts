import assert from 'node:assert/strict'
import type { IncomingHttpHeaders, RequestListener } from 'node:http'
import { gzipSync } from 'node:zlib'
import { test, type TestContext } from 'node:test'
import type { BackendCredentials } from '../../table/backend.ts'
import type { Rule, Variant } from '../../table/route.ts'
import { explain } from '../../dataplane/explain/explain.ts'
import { Mirrors, type MirrorsOptions } from '../../dataplane/mirror/mirrors.ts'
import type { MirrorReport } from '../../dataplane/mirror/tally.ts'
import { createRuntime } from '../../dataplane/runtime.ts'
import { testProxy } from './proxy.ts'
import { deadPort, eventually, httpUpstream, rawClient, rawUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

type Seen = Readonly<{ method: string; url: string; headers: IncomingHttpHeaders; body: string }>
type Answer = Readonly<{ status?: number; headers?: Record<string, string>; body?: string | Buffer }>

const answering = (seen: Seen[], answer: (request: Seen) => Answer): RequestListener => (request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk)).once('end', () => {
    const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks).toString() }
    seen.push(one)
    const { status = 200, headers = { 'content-type': 'application/json' }, body = '{}' } = answer(one)
    response.writeHead(status, headers).end(body)
  })
}

const variants = (more: Partial<Variant> = {}) => [variant('stable', 'ml/a:80'), variant('shadow', 'ml/b:80', { weight: 0, ...more })]
/** The value `token` of a Secret of that name. */
const fixed = (name: string): BackendCredentials => ({ kind: 'static', value: { secret: `ml/${name}`, key: 'token' }, header: 'authorization', scheme: '' })
const secrets = new Map(['stable', 'shadow'].map((name) => [`ml/${name}`, { id: `ml/${name}`, data: { token: Buffer.from(name).toString('base64') } }]))

const exact = { absolute: 0, relative: 0, ignore: [] }

type Setting = Readonly<{
  rule?: Partial<Rule>
  caller?: (request: Seen) => Answer
  copy?: (request: Seen) => Answer
  /** In place of a server for the copies, or for the callers. */
  port?: number
  callerPort?: number
  mirrors?: MirrorsOptions
}>

/** A proxy that mirrors to a second server, and what both of them saw. */
async function mirrored(t: TestContext, { rule: more = {}, caller = () => ({}), copy = caller, port, callerPort, mirrors: options }: Setting = {}) {
  const [seen, copies]: [Seen[], Seen[]] = [[], []]
  const sets = {
    'ml/a:80': [callerPort ?? await httpUpstream(t, answering(seen, caller))],
    'ml/b:80': [port ?? await httpUpstream(t, answering(copies, copy))],
  }
  const mirrors = new Mirrors(options)
  const rules = [rule({ variants: variants(), mirror: { variant: 'shadow', percent: 100, compare: exact }, ...more })]
  const proxy = await testProxy(t, { ...active('1', [route({ rules })], sets), secrets }, { filterDeps: { mirrors } })
  const ask = async (path = '/v1/models/m:predict', init: RequestInit = { method: 'POST', body: '{"instances":[1]}' }) => {
    const answer = await fetch(`${proxy.url}${path}`, init)
    return { status: answer.status, body: await answer.text(), headers: answer.headers }
  }
  const told = async (): Promise<MirrorReport> => {
    const { items } = await (await fetch(`${proxy.urls.admin}/mirrors`)).json() as { items: MirrorReport[] }
    assert.equal(items.length, 1)
    return items[0]!
  }
  const idle = () => eventually(() => [...mirrors.values()].every(({ inFlight }) => inFlight === 0))
  return { proxy, seen, copies, mirrors, ask, told, idle }
}

test('a copy is what the caller sent, marked as one, and its answer goes nowhere', { timeout: 120_000 }, async (t) => {
  const { ask, seen, copies, idle, proxy } = await mirrored(t, { copy: () => ({ status: 500, body: 'never seen' }) })
  const { status, body, headers } = await ask('/v1/models/m:predict?x=1', { method: 'POST', body: '{"a":1}', headers: { 'x-user': 'ann', 'x-modelroute-mirror': 'lie' } })
  assert.deepEqual([status, body, headers.get('x-modelroute-variant')], [200, '{}', 'stable'])
  await idle()
  assert.deepEqual([seen.length, copies.length], [1, 1])
  const [mine, its] = [seen[0]!, copies[0]!]
  assert.deepEqual([its.method, its.url, its.body], [mine.method, mine.url, mine.body])
  const { 'x-modelroute-mirror': mark, ...rest } = its.headers
  const { 'accept-encoding': _, ...given } = mine.headers
  assert.equal(mark, 'true')
  assert.deepEqual(rest, given)
  await eventually(() => proxy.lines().length === 1)
})

test('so many of each hundred are copied, exactly', { timeout: 120_000 }, async (t) => {
  const { ask, copies, idle, told } = await mirrored(t, { rule: { mirror: { variant: 'shadow', percent: 30 } } })
  for (let i = 0; i < 50; i++) await ask()
  await idle()
  assert.equal(copies.length, 15)
  assert.deepEqual((await told()).copies, { answered: 15 })
})

test('the copy is asked for its own model, with its own credentials, at its own host', { timeout: 120_000 }, async (t) => {
  const { ask, seen, copies, idle } = await mirrored(t, {
    rule: {
      variants: [variant('stable', 'ml/a:80', { credentials: fixed('stable') }), ...variants({
        model: { name: 'fraud-b', version: '4' }, target: { kind: 'endpoints', set: 'ml/b:80', host: 'shadow.example.com' }, credentials: fixed('shadow'),
      }).slice(1)],
      mirror: { variant: 'shadow', percent: 100 },
    },
  })
  await ask('/v2/models/fraud/infer')
  await ask('/v2/models/fraud/versions/1/infer', { headers: { authorization: 'Bearer caller' } })
  await idle()
  assert.deepEqual(seen.map(({ headers }) => headers.authorization), ['stable', 'stable'])
  assert.deepEqual(copies.map(({ url }) => url), ['/v2/models/fraud-b/versions/4/infer', '/v2/models/fraud-b/versions/4/infer'])
  assert.deepEqual(copies.map(({ headers: { host, authorization } }) => [host, authorization]), [['shadow.example.com', 'shadow'], ['shadow.example.com', 'shadow']])
})

test('what the variant of the copy would itself answer is not copied', { timeout: 120_000 }, async (t) => {
  const { ask, copies, idle, told } = await mirrored(t, {
    rule: { mirror: { variant: 'shadow', percent: 100 }, overrides: [{ header: 'x-shadow', value: '1', variant: 'shadow' }] },
  })
  await ask('/p', { headers: { 'x-shadow': '1' } })
  await ask('/p')
  await idle()
  assert.deepEqual(copies.map(({ headers }) => headers['x-modelroute-mirror']), [undefined, 'true'])
  assert.deepEqual((await told()).copies, { answered: 1 })
})

test('bodies of every framing and size are copied whole, up to the limit; a larger one is not, and reaches its backend', { timeout: 120_000 }, async (t) => {
  const { ask, seen, copies, idle, told, mirrors } = await mirrored(t, { mirrors: { limits: { body: 1_000_000, moved: 1e9 } } })
  const sizes = [0, 1, 65_536, 65_537, 400_000, 1_000_000, 1_000_001, 3_000_000]
  for (const size of sizes) await ask('/p', { method: 'POST', body: 'x'.repeat(size) })
  const streamed = (size: number) => new ReadableStream({
    start(controller) {
      for (let at = 0; at < size; at += 10_000) controller.enqueue(Buffer.alloc(Math.min(10_000, size - at), 'y'))
      controller.close()
    },
  })
  for (const size of [10, 200_000, 1_500_000]) await ask('/p', { method: 'POST', body: streamed(size), duplex: 'half' })
  await idle()
  assert.deepEqual(seen.map(({ body }) => body.length), [...sizes, 10, 200_000, 1_500_000])
  assert.deepEqual(copies.map(({ body }) => body.length), [...sizes.slice(0, 6), 10, 200_000])
  for (const { body } of copies) assert.ok(seen.some((one) => one.body === body))
  assert.deepEqual((await told()).copies, { answered: 8, too_large: 3 })
  assert.equal(mirrors.held, 0)
})

test('a mirror that hangs, is dead, or breaks off costs the caller nothing, and what it holds is bounded', { timeout: 120_000 }, async (t) => {
  const hanging = await rawUpstream(t, (socket) => { socket.resume() })
  const breaking = await rawUpstream(t, (socket) => { socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal')) })
  for (const [port, results] of [
    [hanging, { failed: 4, full: 16 }], [await deadPort(), { failed: 20 }], [breaking, { failed: 20 }],
  ] as const) {
    const { ask, idle, told, mirrors } = await mirrored(t, {
      port, rule: { timeouts: { backendRequest: 400, connect: 100 } }, mirrors: { limits: { inFlight: port === hanging ? 4 : 64, afterFailure: 0 } },
    })
    for (let i = 0; i < 20; i++) {
      const { status, body } = await ask()
      assert.deepEqual([status, body], [200, '{}'])
    }
    await idle()
    const { copies, compared } = await told()
    assert.deepEqual(copies, results)
    assert.equal(compared.failed, results.failed)
    assert.equal(mirrors.held, 0)
  }
})

test('a dead variant is asked now and then, and not for every request', { timeout: 120_000 }, async (t) => {
  const { ask, idle, told } = await mirrored(t, { port: await deadPort(), mirrors: { limits: { afterFailure: 60_000 } } })
  for (let i = 0; i < 5; i++) {
    await ask()
    await idle()
  }
  assert.deepEqual((await told()).copies, { failed: 1, full: 4 })
})

test('an answer to a copy that does not end is cut off', { timeout: 120_000 }, async (t) => {
  let cut = 0
  const port = await httpUpstream(t, (_request, response) => {
    response.once('close', () => cut++)
    const more = () => { while (response.write(Buffer.alloc(65_536, 'x'))); response.once('drain', more) }
    more()
  })
  for (const compare of [exact, undefined]) {
    const { ask, idle, told, mirrors } = await mirrored(t, { port, rule: { mirror: { variant: 'shadow', percent: 100, ...(compare && { compare }) } } })
    await ask()
    await idle()
    // A variant that does this once will do it again.
    await ask()
    const { copies, compared, skipped } = await told()
    assert.deepEqual([copies, compared, skipped, mirrors.held], [{ answered: 1, full: 1 }, compare ? { skipped: 1 } : {}, compare ? { too_large: 1 } : {}, 0])
  }
  await eventually(() => cut === 2)
})

test('a caller whose answer does not come to an end keeps no place', { timeout: 120_000 }, async (t) => {
  let finish = (): void => {}
  const open = await httpUpstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: {}\n\n')
    finish = () => response.end()
  })
  const { ask, idle, told, mirrors } = await mirrored(t, {
    callerPort: open, mirrors: { limits: { callerPatience: 100 } },
  })
  const asked = ask()
  await eventually(() => [...mirrors.values()].some(({ inFlight }) => inFlight === 1))
  await idle()
  assert.deepEqual([(await told()).skipped, mirrors.held], [{ caller_failed: 1 }, 0])
  finish()
  assert.equal((await asked).status, 200)
  await idle()
  assert.deepEqual([(await told()).compared, mirrors.held], [{ skipped: 1 }, 0])
})

test('nothing is copied while there is more to do, and nothing beyond what copies may hold', { timeout: 120_000 }, async (t) => {
  let busy = true
  const { ask, copies, idle, told, mirrors } = await mirrored(t, { mirrors: { busy: () => busy, limits: { held: 100_000, moved: 1e9 } } })
  await ask()
  busy = false
  await ask('/p', { method: 'POST', body: 'x'.repeat(100_001) })
  await ask()
  await idle()
  assert.equal(copies.length, 1)
  assert.deepEqual((await told()).copies, { busy: 1, memory: 1, answered: 1 })
  assert.equal(mirrors.held, 0)
})

test('a variant that nobody serves, or that cannot be asked for the model, is counted and not called', { timeout: 120_000 }, async (t) => {
  const none = await mirrored(t, { rule: { variants: [variant('stable', 'ml/a:80'), variant('shadow', 'ml/none:80', { weight: 0 })] } })
  assert.equal((await none.ask()).status, 200)
  assert.deepEqual((await none.told()).copies, { no_endpoints: 1 })
  const versioned = await mirrored(t, { rule: { variants: variants({ model: { version: '2' } }) } })
  assert.equal((await versioned.ask('/v1/models/m:predict')).status, 200)
  assert.deepEqual((await versioned.told()).copies, { unsupported: 1 })
})

test('a caller who leaves before the body is whole leaves no copy', { timeout: 120_000 }, async (t) => {
  const { proxy, idle, told, copies, mirrors } = await mirrored(t)
  const client = await rawClient(t, proxy.url)
  client.send('POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\nhalf')
  await eventually(() => [...mirrors.values()].some(({ inFlight }) => inFlight === 1))
  client.socket.destroy()
  await idle()
  assert.deepEqual([(await told()).copies, copies.length, mirrors.held], [{ abandoned: 1 }, 0, 0])
})

test('copies are no requests: not in the metrics of requests, the logs, the audit or the limits', { timeout: 120_000 }, async (t) => {
  const { proxy, ask, copies, idle } = await mirrored(t, {
    copy: () => ({ body: '{"usage":{"prompt_tokens":1000,"completion_tokens":1000}}' }),
    rule: {
      audit: 'Buffered',
      limits: [{
        policy: 'ml/p', name: 'all', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [{ type: 'Variant' }],
        algorithm: { type: 'FixedWindow', window: 86_400_000 }, unit: 'requests', amount: 3, scope: 'Global', shadow: false, onStoreFailure: 'Local',
      }],
    },
  })
  const statuses: number[] = []
  for (let i = 0; i < 4; i++) statuses.push((await ask()).status)
  await idle()
  assert.deepEqual(statuses, [200, 200, 200, 429])
  // Nor is one made of what was refused.
  assert.equal(copies.length, 3)
  await eventually(() => proxy.lines().length === 4)
  assert.deepEqual(proxy.text().split('\n').filter((line) => line.includes('"shadow"')), [])
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  const shadow = metrics.split('\n').filter((line) => line.includes('variant="shadow"'))
  assert.deepEqual(shadow, [
    'modelroute_mirror_requests_total{route="ml/fraud",rule="infer",variant="shadow",model_version="",result="answered"} 3',
    'modelroute_mirror_compared_total{route="ml/fraud",rule="infer",variant="shadow",model_version="",result="mismatch"} 3',
  ])
})

test('answers are compared, and of what differs only the place and the distance are kept', { timeout: 120_000 }, async (t) => {
  const caller = ({ body }: Seen): Answer => ({ body: `{"predictions":[{"score":${body.length},"name":"Ann Smith"}],"id":"a"}` })
  const copy = ({ body }: Seen): Answer => ({ body: `{"predictions":[{"score":${body.length + (body.includes('off') ? 0.5 : 0.0001)},"name":"${body.includes('off') ? 'Bob Stone' : 'Ann Smith'}"}],"id":"b"}` })
  const { ask, idle, told, mirrors } = await mirrored(t, {
    caller, copy, rule: { mirror: { variant: 'shadow', percent: 100, compare: { absolute: 0.001, relative: 0, ignore: ['/id'] } } },
  })
  await ask()
  await ask('/v1/models/m:predict', { method: 'POST', body: '"off"', headers: { 'x-request-id': 'r-1' } })
  await idle()
  const { compared, samples, places } = await told()
  assert.deepEqual(compared, { match: 1, mismatch: 1 })
  const { time, ...sample } = samples[0]!
  assert.ok(!Number.isNaN(Date.parse(time)))
  assert.deepEqual(sample, {
    requestId: 'r-1', variant: 'stable',
    differences: [{ place: '/predictions/*/score', kind: 'value', count: 1, largest: 0.5 }, { place: '/predictions/*/name', kind: 'value', count: 1 }],
  })
  assert.deepEqual(places.map(({ place, answers }) => [place, answers]), [['/predictions/*/score', 1], ['/predictions/*/name', 1]])
  assert.ok(!/Ann|Bob/.test(JSON.stringify(await told())))
  assert.equal(mirrors.held, 0)
})

test('an answer that the caller got compressed is compared as what it says', { timeout: 120_000 }, async (t) => {
  const plain = '{"predictions":[1,2,3]}'
  const { ask, idle, told } = await mirrored(t, {
    caller: () => ({ headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: gzipSync(plain) }),
    copy: ({ headers }) => ({ body: headers['accept-encoding'] === undefined ? plain : 'it was asked for a compressed one' }),
  })
  assert.equal((await ask()).body, plain)
  await idle()
  assert.deepEqual((await told()).compared, { match: 1 })
})

test('where the caller got no good answer there is nothing to compare with; statuses of another class differ', { timeout: 120_000 }, async (t) => {
  const status = ({ url }: Seen, at: number): Answer => ({ status: Number(url.split('/')[at]) })
  const { ask, idle, told } = await mirrored(t, { caller: (request) => status(request, 1), copy: (request) => status(request, 2) })
  for (const pair of ['/500/200', '/200/503', '/404/400', '/400/200', '/200/201']) await ask(pair)
  await idle()
  const { compared, skipped, samples } = await told()
  assert.deepEqual([compared, skipped], [{ skipped: 1, mismatch: 2, match: 2 }, { caller_failed: 1 }])
  assert.deepEqual(samples.map(({ differences }) => differences[0]?.place), ['status', 'status'])
})

test('samples are the latest, and bounded', { timeout: 120_000 }, async (t) => {
  let n = 0
  const { ask, idle, told } = await mirrored(t, { caller: () => ({ body: '1' }), copy: () => ({ body: String(2 + n++) }) })
  for (let i = 0; i < 30; i++) {
    await ask('/p', { headers: { 'x-request-id': `r-${i}` } })
    await idle()
  }
  const { samples, compared } = await told()
  assert.deepEqual([compared.mismatch, samples.length, samples[0]?.requestId, samples.at(-1)?.requestId], [30, 20, 'r-29', 'r-10'])
})

test('a rollout that watches the rule is told how many copies differed', { timeout: 120_000 }, async (t) => {
  const { proxy, ask, idle } = await mirrored(t, {
    caller: () => ({ body: '1' }), copy: ({ body }) => ({ body: body === 'off' ? '2' : '1' }),
    rule: { measured: { id: 'm1', fields: [] } },
  })
  for (const body of ['', 'off', '']) await ask('/p', { method: 'POST', body })
  await idle()
  const rules = await proxy.measured(false)
  assert.deepEqual(rules[0]?.variants.map(({ variant: name, compared, mismatched }) => [name, compared, mismatched]), [['stable', 0, 0], ['shadow', 3, 1]])
})

test('edits of the table keep the counts, a rule that mirrors no more loses them, and no endpoint is left open', { timeout: 120_000 }, async (t) => {
  const { proxy, ask, idle, told, mirrors } = await mirrored(t)
  await ask()
  await idle()
  const { routes, endpoints } = { routes: [route({ generation: 2, rules: [rule({ variants: variants(), mirror: { variant: 'shadow', percent: 50 } })] })], endpoints: {} }
  proxy.activate(active('2', routes, endpoints))
  assert.deepEqual((await told()).copies, { answered: 1 })
  proxy.activate(active('3', [route({ generation: 3 })], {}))
  assert.deepEqual([...mirrors.values()], [])
})

test('explain says that a copy would go out, and sends none', { timeout: 120_000 }, async (t) => {
  const runtime = createRuntime()
  t.after(() => runtime.close())
  runtime.activate(active('1', [route({ rules: [rule({ variants: variants(), mirror: { variant: 'shadow', percent: 10 } })] })], {}))
  const { steps } = await explain(runtime.table()!, { method: 'GET', url: '/', headers: {} })
  assert.equal(steps.find(({ filter }) => filter === 'mirror')?.why, 'a copy of 10 % of these goes to shadow')
})
