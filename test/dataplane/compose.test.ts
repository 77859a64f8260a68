import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Compose, ComposeStep } from '../../table/compose.ts'
import type { Rule } from '../../table/route.ts'
import type { Limit } from '../../table/limits.ts'
import { deadPort, httpUpstream, rawUpstream } from './sockets.ts'
import { testProxy, type TestProxy } from './proxy.ts'
import { active, route, rule, variant } from './table.ts'

type Seen = Readonly<{ step: string; method: string; url: string; headers: IncomingMessage['headers']; body: string }>
type Model = (seen: Seen, response: ServerResponse) => unknown

const step = (name: string, more: Partial<ComposeStep> = {}): ComposeStep =>
  ({ name, variant: variant(name, `ml/${name}:80`), dependsOn: [], maxParallel: 8, onError: 'Fail', ...more })

/** A proxy with one rule of these steps. Each model gets its own port; what it gives back is answered as JSON, unless it answers itself. */
async function composed(t: TestContext, compose: Compose, models: Readonly<Record<string, Model | number>>, more: Partial<Rule> = {}) {
  const seen: Seen[] = []
  const sets: Record<string, number[]> = {}
  for (const [name, model] of Object.entries(models)) {
    sets[`ml/${name}:80`] = [typeof model === 'number' ? model : await httpUpstream(t, (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        const one: Seen = { step: name, method: request.method ?? '', url: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks).toString() }
        seen.push(one)
        const given = model(one, response)
        if (given instanceof Promise || given === undefined) return
        response.setHeader('content-type', 'application/json').end(JSON.stringify(given))
      })
    })]
  }
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ variants: [], compose, ...more })] })], sets))
  const ask = (body: unknown, init: RequestInit = {}) =>
    fetch(`${proxy.url}/v1/models/m:predict`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: typeof body === 'string' ? body : JSON.stringify(body), ...init })
  return { proxy, seen, ask }
}

type Line = Readonly<{ status: number; code?: string; cause?: string; steps: readonly Readonly<{ step: string; result: string; status: number; calls: number; why: string }>[] }>

/** The line of the log of the only request. */
async function lineOf(proxy: TestProxy): Promise<Line> {
  for (;;) {
    const [line] = proxy.lines()
    if (line !== undefined) return JSON.parse(JSON.stringify(line)) as Line
    await new Promise((resolve) => { setImmediate(resolve) })
  }
}

const parsed = (text: string): { x: number[] } => JSON.parse(text) as { x: number[] }

test('what one step answers is mapped into the next, and the last into the answer', async (t) => {
  const { proxy, seen, ask } = await composed(t, {
    steps: [
      step('pre', { input: '{"x": request.body.instances.map(i, i * 2)}', path: '/clean' }),
      step('model', { input: '{"instances": steps.pre.body.y}', dependsOn: ['pre'], variant: variant('model', 'ml/model:80', { model: { name: 'fraud', version: '3' }, protocol: 'V2' }), path: '/score' }),
    ],
    output: '{"predictions": steps.model.body.p, "first": steps.pre.status}',
  }, {
    pre: ({ body }) => ({ y: parsed(body).x.map((x) => x + 1) }),
    model: ({ body }) => ({ p: (JSON.parse(body) as { instances: number[] }).instances }),
  })
  const response = await ask({ instances: [1, 2] }, { headers: { 'content-type': 'application/json', 'x-tenant': 'a', 'if-none-match': '"x"' } })
  assert.equal(response.status, 200)
  assert.deepEqual(await response.json(), { predictions: [3, 5], first: 200 })
  assert.equal(response.headers.get('content-type'), 'application/json')
  assert.equal(response.headers.get('x-modelroute-variant'), null)
  assert.deepEqual(seen.map(({ step: name, method, url, body }) => [name, method, url, body]), [
    ['pre', 'POST', '/clean', '{"x":[2,4]}'], ['model', 'POST', '/score', '{"instances":[3,5]}'],
  ])
  const [first, second] = seen
  assert.match(String(first?.headers['traceparent']), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  assert.equal(first?.headers['traceparent'], second?.headers['traceparent'])
  assert.equal(first?.headers['x-request-id'], second?.headers['x-request-id'])
  assert.deepEqual([first?.headers['x-tenant'], first?.headers['if-none-match']], ['a', undefined])
  const { status, steps } = await lineOf(proxy)
  assert.equal(status, 200)
  assert.deepEqual(steps.map((each) => [each.step, each.result, each.status]), [['pre', 'answered', 200], ['model', 'answered', 200]])
})

test('without an output the answer is that of the last step that has one, passed on as it comes', async (t) => {
  const rest = Promise.withResolvers<undefined>()
  const { ask } = await composed(t, {
    steps: [step('guard', { onError: 'Skip' }), step('model', { dependsOn: ['guard'], path: '/generate' })],
  }, {
    guard: (_seen, response) => { response.writeHead(500).end('no') },
    model: async ({ headers }, response) => {
      response.writeHead(201, { 'content-type': 'text/event-stream', 'x-asked': headers.accept ?? '' }).write('data: one\n\n')
      await rest.promise
      response.end('data: two\n\n')
    },
  })
  const response = await ask({}, { headers: { accept: 'text/event-stream' } })
  assert.deepEqual([response.status, response.headers.get('content-type'), response.headers.get('x-asked')], [201, 'text/event-stream', 'text/event-stream'])
  const reader = response.body?.getReader()
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'data: one\n\n')
  rest.resolve(undefined)
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'data: two\n\n')
  assert.equal((await reader?.read())?.done, true)
})

test('an answer that breaks off on its way through is broken off for the client too, and is logged', async (t) => {
  const { proxy, ask } = await composed(t, { steps: [step('model')] }, {
    model: (_seen, response) => { response.writeHead(200, { 'content-length': 100 }).write('half', () => response.destroy()) },
  })
  await assert.rejects(async () => (await ask({})).text())
  const { code, status } = await lineOf(proxy)
  assert.deepEqual([code, status], ['upstream_reset', 200])
})

test('steps that wait for none run side by side, and a condition leaves one out', async (t) => {
  const both = new Set<string>()
  const meet = Promise.withResolvers<undefined>()
  const waiting = (answer: unknown): Model => async ({ step: name }, response) => {
    both.add(name)
    if (both.size === 2) meet.resolve(undefined)
    await meet.promise
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  }
  const { seen, ask } = await composed(t, {
    steps: [step('a'), step('b'), step('c', { when: 'request.body.vip' }), step('d', { when: 'request.body.nothing.at.all' })],
    output: '{"mean": mean([steps.a.body.p, steps.b.body.p, steps.c.body]), "vote": vote([steps.b.body.label, steps.a.body.label, steps.b.body.label]),'
      + ' "weighted": weighted([steps.a.body.p, steps.b.body.p], [1, 3]), "left out": steps.c.skipped && steps.d.skipped}',
  }, { a: waiting({ p: [1, 2], label: 'cat' }), b: waiting({ p: [3, 4], label: 'dog' }), c: () => ({}), d: () => ({}) })
  assert.deepEqual(await (await ask({ vip: false })).json(), { mean: [2, 3], vote: 'dog', weighted: [2.5, 3.5], 'left out': true })
  assert.deepEqual(seen.map(({ step: name }) => name).toSorted(), ['a', 'b'])
})

test('a switch takes one branch, and a request that no step is for is answered 404', async (t) => {
  const { ask } = await composed(t, {
    steps: [step('big', { when: 'request.body.n > 10' }), step('small', { when: 'request.body.n < 5' })],
  }, { big: () => ({ of: 'big' }), small: () => ({ of: 'small' }) })
  assert.deepEqual(await (await ask({ n: 11 })).json(), { of: 'big' })
  assert.deepEqual(await (await ask({ n: 1 })).json(), { of: 'small' })
  const neither = await ask({ n: 7 })
  assert.deepEqual([neither.status, neither.headers.get('x-modelroute-error')], [404, 'no_route'])
})

test('a toss is one for the whole request, and splits requests', async (t) => {
  const { ask } = await composed(t, {
    steps: [step('a', { when: 'toss("split") < 0.5' }), step('b', { when: 'toss("split") >= 0.5' })],
    output: '{"a": !steps.a.skipped, "b": !steps.b.skipped}',
  }, { a: () => ({}), b: () => ({}) })
  const took = { a: 0, b: 0 }
  for (let i = 0; i < 40; i++) {
    const { a, b } = await (await ask({})).json() as { a: boolean; b: boolean }
    assert.notEqual(a, b)
    took[a ? 'a' : 'b']++
  }
  // That one of them takes all of 40 happens once in 5 * 10^11 runs.
  assert.ok(took.a > 0 && took.b > 0, JSON.stringify(took))
})

for (const [what, model, why] of [
  ['answers with an error', (_seen: Seen, response: ServerResponse) => { response.writeHead(500).end('secret') }, 'status 500'],
  ['answers with a redirect', (_seen: Seen, response: ServerResponse) => { response.writeHead(302, { location: '/' }).end() }, 'status 302'],
  ['answers that nothing has changed', (_seen: Seen, response: ServerResponse) => { response.writeHead(304).end() }, 'status 304'],
  ['breaks off', (_seen: Seen, response: ServerResponse) => { response.writeHead(200, { 'content-length': 9 }).write('x', () => response.destroy()) }, 'upstream_reset'],
] as const) {
  test(`a step that ${what} fails the request, unless it is let fail: then another takes its place`, async (t) => {
    const { proxy, ask } = await composed(t, { steps: [step('model')], output: 'steps.model.body' }, { model })
    const response = await ask({})
    assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [502, 'step_failed'])
    assert.deepEqual(await response.json(), { error: 'The step model of this route failed.' })
    assert.match(String((await lineOf(proxy)).cause), new RegExp(`^model: .*${why}`))
    const { ask: again } = await composed(t, {
      steps: [step('model', { onError: 'Skip' }), step('other', { when: 'steps.model.failed', dependsOn: ['model'] })],
    }, { model, other: () => ({ instead: true }) })
    assert.deepEqual(await (await again({})).json(), { instead: true })
  })
}

test('a step has its own time, its own retries, and the time of the whole request ends all of them', async (t) => {
  let calls = 0
  const retry = { attempts: 2, reasons: [], codes: [503], budgetPercent: 100, backoff: 1 }
  const silent = await rawUpstream(t, () => {})
  const flaky: Model = (_seen, response) => {
    if (++calls < 3) response.writeHead(503).end()
    else return { calls }
    return undefined
  }
  const { ask } = await composed(t, {
    steps: [step('slow', { timeout: 30, onError: 'Skip' }), step('flaky', { retry })], output: '{"flaky": steps.flaky.body.calls, "slow": steps.slow.failed}',
  }, { slow: silent, flaky })
  assert.deepEqual(await (await ask({})).json(), { flaky: 3, slow: true })
  const { ask: late, proxy } = await composed(t, { steps: [step('slow', { onError: 'Skip' }), step('next', { dependsOn: ['slow'] })] }, { slow: silent, next: () => ({}) }, { timeouts: { request: 50 } })
  const response = await late({})
  assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [504, 'timeout'])
  assert.equal((await lineOf(proxy)).status, 504)
})

test('a client who asks for less time has it for all steps together', async (t) => {
  const { ask } = await composed(t, { steps: [step('slow', { onError: 'Skip' }), step('next', { dependsOn: ['slow'] })] }, {
    slow: await rawUpstream(t, () => {}), next: () => ({}),
  }, { deadlineHeader: 'x-deadline' })
  const late = await ask({}, { headers: { 'x-deadline': '40ms' } })
  assert.equal(late.headers.get('x-modelroute-error'), 'timeout')
  const wrong = await ask({}, { headers: { 'x-deadline': 'soon' } })
  assert.equal(wrong.headers.get('x-modelroute-error'), 'invalid_request')
})

test('a client who leaves ends all calls', async (t) => {
  const arrived = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
  const closed = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
  const hanging = (at: number): Model => (_seen, response) => {
    response.once('close', () => closed[at]?.resolve(undefined))
    arrived[at]?.resolve(undefined)
  }
  const { proxy, ask } = await composed(t, { steps: [step('a', { onError: 'Skip' }), step('b')], output: '1' }, { a: hanging(0), b: hanging(1) })
  const left = new AbortController()
  const asked = ask({}, { signal: left.signal })
  await Promise.all(arrived.map(({ promise }) => promise))
  left.abort()
  await assert.rejects(asked)
  await Promise.all(closed.map(({ promise }) => promise))
  assert.equal((await lineOf(proxy)).code, 'client_closed')
})

test('a list is gone through with so many calls at a time, and what fails of it may be left out', async (t) => {
  let now = 0
  let most = 0
  const three = Promise.withResolvers<undefined>()
  const model: Model = async ({ body }, response) => {
    most = Math.max(most, ++now)
    if (now === 3) three.resolve(undefined)
    await three.promise
    await new Promise((resolve) => { setImmediate(resolve) })
    now--
    const { n, at } = JSON.parse(body) as { n: number; at: number }
    response.writeHead(n === 13 ? 500 : 200, { 'content-type': 'application/json' }).end(JSON.stringify({ n: n + 1, at }))
  }
  const each = { forEach: 'request.body.ns', input: '{"n": item, "at": index}', maxParallel: 3 }
  const { ask, proxy } = await composed(t, { steps: [step('one', { ...each, onError: 'Skip' })], output: 'steps.one.body.map(r, r == null ? -1 : r.n * 100 + r.at)' }, { one: model })
  assert.deepEqual(await (await ask({ ns: [1, 2, 13, 4, 5, 6, 7] })).json(), [200, 301, -1, 503, 604, 705, 806])
  assert.equal(most, 3)
  const { steps } = await lineOf(proxy)
  const [record] = steps
  assert.deepEqual([record?.calls, record?.why], [7, '1 of 7 failed: status 500'])
  assert.deepEqual(await (await ask({ ns: [] })).json(), [])
  const { ask: strict } = await composed(t, { steps: [step('one', each)] }, { one: model })
  assert.equal((await strict({ ns: [1, 13] })).status, 502)
  assert.equal(await (await strict({ ns: [1, 2] })).text(), '[{"n":2,"at":0},{"n":3,"at":1}]')
  for (const ns of ['x', { a: 1 }, Array.from({ length: 1025 }, () => 1)]) assert.equal((await strict({ ns })).status, 502)
})

test('without an input each item is the body, and an answer that is no value cannot make another list of it', async (t) => {
  const { ask, seen } = await composed(t, { steps: [step('one', { forEach: 'request.body' })] }, {
    one: ({ body }, response) => { response.end(body === '"trick"' ? '1],[2' : body) },
  })
  assert.equal(await (await ask('[{"a":1},9007199254740993,"x"]')).text(), '[{"a":1},9007199254740993,"x"]')
  assert.deepEqual(seen.map(({ body }) => body).toSorted(), ['"x"', '9007199254740993', '{"a":1}'])
  assert.equal((await ask('["trick"]')).status, 502)
})

test('a body goes from step to step as it came, byte for byte', async (t) => {
  const odd = '{ "b":1.0,"a" : 12345678901234567890, "__proto__": {"x":1}}'
  const { ask, seen } = await composed(t, {
    steps: [step('a'), step('b', { input: 'steps.a.body', dependsOn: ['a'] })], output: ' steps["b"].body ',
  }, { a: ({ body }, response) => { response.setHeader('content-type', 'application/json').end(body) }, b: ({ body }, response) => { response.setHeader('content-type', 'text/odd').end(body) } })
  const response = await ask(odd)
  assert.equal(response.headers.get('content-type'), 'text/odd')
  assert.equal(await response.text(), odd)
  assert.deepEqual(seen.map(({ body, headers }) => [body, headers['content-type']]), [[odd, 'application/json'], [odd, 'application/json']])
})

test('what is wrong with the request is told as that, before anybody is called', async (t) => {
  const { ask, seen } = await composed(t, { steps: [step('a', { input: '{"x": request.body.amount * 2}' })] }, { a: () => ({}) })
  const codeOf = async (body: string) => {
    const response = await ask(body)
    return [response.status, response.headers.get('x-modelroute-error')]
  }
  assert.deepEqual(await codeOf('{"amount":'), [400, 'invalid_request'])
  assert.deepEqual(await codeOf(`{"amount":"${'x'.repeat(1_100_000)}"}`), [400, 'invalid_request'])
  const lacking = await ask('{}')
  assert.equal(lacking.status, 400)
  assert.match(await lacking.text(), /No such key: amount/)
  assert.equal(seen.length, 0)
  assert.equal((await ask('{"amount":1}')).status, 200)
})

for (const [what, answer] of [
  ['endless', (_seen: Seen, response: ServerResponse) => {
    const more = () => { while (response.write(Buffer.alloc(65_536, 32)) && !response.destroyed); }
    response.setHeader('content-type', 'application/json').on('drain', more)
    more()
  }],
  ['packed to a thousandth', (_seen: Seen, response: ServerResponse) => { response.setHeader('content-encoding', 'gzip').end(gzipSync(Buffer.alloc(40_000_000, 32))) }],
  ['deep', (_seen: Seen, response: ServerResponse) => { response.end('['.repeat(500_000) + ']'.repeat(500_000)) }],
  ['not JSON', (_seen: Seen, response: ServerResponse) => { response.end('<html>') }],
  ['large', (_seen: Seen, response: ServerResponse) => { response.end(`"${'x'.repeat(5_000_000)}"`) }],
] as const) {
  test(`an answer that is ${what} fails its request, and no other`, async (t) => {
    const { ask } = await composed(t, {
      steps: [step('bad', { when: 'request.body.bad' }), step('good', { when: '!request.body.bad' })],
      output: '[steps.good.skipped ? steps.bad.body : steps.good.body]',
    }, { bad: answer, good: () => 'fine' }, { sizeLimits: { response: 8_388_608 } })
    const response = await ask({ bad: true })
    assert.deepEqual([response.status, response.headers.get('x-modelroute-error')], [502, 'step_failed'])
    assert.deepEqual(await (await ask({ bad: false })).json(), ['fine'])
  })
}

test('what a model calls __proto__ or constructor is a name like any other', async (t) => {
  const { ask } = await composed(t, {
    steps: [step('a'), step('b', { input: '{"copy": steps.a.body, "own": has(steps.a.body.toString)}', dependsOn: ['a'] })],
  }, { a: ({ body }, response) => { response.end(`{"__proto__":{"admin":true}${body}}`) }, b: ({ body }, response) => { response.end(body) } })
  assert.equal(await (await ask(',"x":1')).text(), '{"copy":{"__proto__":{"admin":true},"x":1},"own":false}')
  assert.equal(await (await ask(',"constructor":{"prototype":{"admin":true}}')).text(), '{"copy":{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}},"own":false}')
  assert.equal(Reflect.get({}, 'admin'), undefined)
})

test('a step whose backend speaks another protocol is asked in its own', async (t) => {
  const { ask, seen } = await composed(t, {
    steps: [step('v2', { variant: variant('v2', 'ml/v2:80', { protocol: 'V2', model: { name: 'fraud' } }) })],
  }, {
    v2: ({ url }) => url === '/v2/models/fraud' ? { name: 'fraud', inputs: [{ name: 'x', datatype: 'FP64', shape: [-1, 1] }], outputs: [] } : ({ model_name: 'fraud', outputs: [{ name: 'y', datatype: 'FP64', shape: [2, 1], data: [3, 4] }] }),
  })
  const response = await ask({ instances: [[1], [2]] })
  assert.equal(seen.at(-1)?.url, '/v2/models/fraud/infer')
  assert.deepEqual(await response.json(), { predictions: [[3], [4]] })
})

test('a gRPC call and a tunnel are refused, and explain says what the steps are', async (t) => {
  const { ask, proxy } = await composed(t, { steps: [step('a'), step('gone', { dependsOn: ['a'], when: 'true' })] }, { a: () => ({}), gone: await deadPort() })
  const grpc = await ask('', { headers: { 'content-type': 'application/grpc' } })
  assert.equal(grpc.headers.get('x-modelroute-error'), 'unsupported_translation')
  const response = await fetch(`${proxy.urls.admin}/explain`, { method: 'POST', body: JSON.stringify({ method: 'POST', url: '/v1/models/m:predict', body: '{}' }) })
  const { steps } = await response.json() as { steps: { filter: string; verdict: string; why: string }[] }
  assert.deepEqual(steps.at(-1), { filter: 'compose', verdict: 'answer', why: 'a: ready; gone (after a, if its condition holds): ready; the answer: that of the last step that has one' })
})

test('a composition that cannot be run is refused as a whole', async (t) => {
  for (const [compose, why] of [
    [{ steps: [step('a', { dependsOn: ['b'] }), step('b', { dependsOn: ['a'] })] }, /in a circle/],
    [{ steps: [step('a', { dependsOn: ['b'] })] }, /not there/],
    [{ steps: [step('a', { input: '1 +' })] }, /step a: an expression/],
    [{ steps: [step('a')], output: 'nothing' }, /output is no expression/],
  ] as const) {
    await assert.rejects(testProxy(t, active('1', [route({ rules: [rule({ variants: [], compose })] })], {})), why)
  }
})

test('what the calls take is what the request takes: tokens and seconds of all of them', async (t) => {
  const everybody = { tiers: [], groups: [], consumers: [], models: [] }
  const limit = (name: string, unit: 'tokens' | 'cost', more: Partial<Limit> = {}): Limit => ({
    policy: 'ml/quota', name, appliesTo: everybody, counters: [], algorithm: { type: 'FixedWindow', window: 86_400_000 }, unit, amount: 100_000, scope: 'Global', shadow: false,
    onStoreFailure: 'Local', ...more,
  })
  const chat = (prompt_tokens: number, completion_tokens: number): Model => async (_seen, response) => {
    await new Promise((resolve) => { setTimeout(resolve, 40) })
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ choices: [], usage: { prompt_tokens, completion_tokens, total_tokens: 0 } }))
  }
  const { ask, proxy } = await composed(t, { steps: [step('a'), step('b'), step('c', { when: 'false' })], output: '{"usage": steps.b.body.usage}' }, {
    a: chat(10, 20), b: chat(100, 200), c: chat(1000, 1000),
  }, { limits: [limit('tokens', 'tokens'), limit('seconds', 'cost', { cost: 'backendSeconds * 1000.0' })] })
  assert.equal((await ask({ messages: [] })).status, 200)
  const left = async (name: string) => {
    const { items } = await (await fetch(`${proxy.urls.admin}/usage`)).json() as { items: { limits: { limit: string; remaining: number }[] }[] }
    return items.flatMap(({ limits }) => limits).find((one) => one.limit === name)?.remaining ?? 0
  }
  // Settled once the answer is out. Two calls side by side, of 40 ms each: their sum, and not how long it took.
  while (await left('tokens') !== 100_000 - 330 || await left('seconds') > 100_000 - 76);
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  for (const [name, result] of [['a', 'answered'], ['c', 'skipped']]) assert.match(metrics, new RegExp(`modelroute_steps_total\\{[^}]*variant="${name}"[^}]*result="${result}"\\} 1`))
  assert.match(metrics, /modelroute_upstream_duration_seconds_count\{[^}]*variant="b"[^}]*\} 1/)
  assert.match(metrics, /modelroute_requests_total\{[^}]*variant=""[^}]*code="200"[^}]*\} 1/)
})
