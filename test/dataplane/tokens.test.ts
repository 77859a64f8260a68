import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Limit } from '../../table/limits.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

const day = { type: 'FixedWindow', window: 86_400_000 } as const
const everybody = { tiers: [], groups: [], consumers: [], models: [] }

function limit(unit: Limit['unit'], amount: number, more: Partial<Limit> = {}): Limit {
  return {
    policy: 'ml/quota', name: 'budget', appliesTo: everybody, counters: [], algorithm: day, unit, amount, scope: 'Global',
    shadow: false, onStoreFailure: 'Local', ...more,
  }
}

type Asked = Readonly<{ body: Record<string, unknown>; text: string; request: IncomingMessage }>
type Answer = (response: ServerResponse, asked: Asked) => void

async function proxyWith(t: TestContext, limits: readonly Limit[], answer: Answer) {
  const seen: Asked[] = []
  const port = await httpUpstream(t, (request, response) => {
    let text = ''
    request.on('data', (chunk) => { text += String(chunk) })
    request.on('end', () => {
      const asked = { body: text.endsWith('}') ? JSON.parse(text) as Record<string, unknown> : {}, text, request }
      seen.push(asked)
      answer(response, asked)
    })
  })
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ limits })] })], { 'ml/s:80': [port] }))
  const post = (body: unknown, path = '/v1/chat/completions', more: RequestInit = {}) =>
    fetch(new URL(path, proxy.url), { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), ...more })
  /** What is left now, asked for without taking any. */
  const left = async () => {
    const { items } = await (await fetch(new URL('/usage', proxy.urls.admin))).json() as { items: { limits: { remaining: number }[] }[] }
    return items[0]?.limits[0]?.remaining
  }
  return { proxy, post, left, seen }
}

const chat = (more: object = {}) => ({ model: 'm', messages: [{ role: 'user', content: 'hello' }], ...more })
const usage = (prompt_tokens: number, completion_tokens: number) => ({ prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens })

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

/** A stream as vLLM sends it; its usage only where it was asked for. */
function stream(response: ServerResponse, { body }: Asked, words: number, end = true): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const send = (value: unknown) => response.write(`data: ${JSON.stringify(value)}\n\n`)
  send({ choices: [{ delta: { role: 'assistant' } }], usage: null })
  for (let i = 0; i < words; i++) send({ choices: [{ delta: { content: `w${i} ` } }], usage: null })
  if (!end) return
  send({ choices: [{ delta: {}, finish_reason: 'stop' }], usage: null })
  if ((body['stream_options'] as { include_usage?: boolean } | undefined)?.include_usage === true) send({ choices: [], usage: usage(9, words) })
  response.end('data: [DONE]\n\n')
}

test('what an answer says that it took is charged, and what was reserved beyond it is given back', async (t) => {
  const { post, left, proxy } = await proxyWith(t, [limit('tokens', 1000)], (response) => json(response, { choices: [], usage: usage(20, 30) }))
  const first = await post(chat({ max_tokens: 500 }))
  assert.equal(first.headers.get('ratelimit-policy'), '"budget";q=1000;qu="tokens";w=86400')
  await first.text()
  await eventually(() => proxy.lines().length === 1)
  assert.equal(await left(), 950)
  const metrics = await (await fetch(new URL('/metrics', proxy.urls.admin))).text()
  assert.match(metrics, /modelroute_tokens_total\{[^}]*direction="input"\} 20/)
  assert.match(metrics, /modelroute_tokens_total\{[^}]*direction="output"\} 30/)
})

test('while a request runs, its reservation keeps others from spending the same tokens', async (t) => {
  const held: ServerResponse[] = []
  const { post, left, proxy } = await proxyWith(t, [limit('tokens', 1000)], (response) => { held.push(response) })
  const first = post(chat({ max_tokens: 600 }))
  await eventually(() => held.length === 1)
  const second = await post(chat({ max_tokens: 600 }))
  assert.equal(second.status, 429)
  assert.equal(second.headers.get('x-modelroute-error'), 'quota_exhausted')
  for (const response of held) json(response, { usage: usage(5, 5) })
  await (await first).text()
  await eventually(() => proxy.lines().length === 2)
  assert.equal(await left(), 990)
})

test('a request that asks for more than there ever is is told not to come again', async (t) => {
  const { post } = await proxyWith(t, [limit('tokens', 100)], (response) => json(response, {}))
  const answer = await post(chat({ max_tokens: 5000 }))
  assert.deepEqual([answer.status, answer.headers.get('retry-after'), answer.headers.get('x-should-retry')], [429, null, 'false'])
})

test('a stream is asked for its usage, and the caller who did not ask does not see it', async (t) => {
  const { post, left, proxy, seen } = await proxyWith(t, [limit('tokens', 1000)], (response, asked) => stream(response, asked, 12))
  const text = await (await post('{"model":"m","seed":12345678901234567890,"stream":true,"messages":[]}')).text()
  assert.match(seen[0]?.text ?? '', /^\{"stream_options":\{"include_usage":true\},"model":"m","seed":12345678901234567890,/)
  assert.doesNotMatch(text, /prompt_tokens/)
  assert.equal(text.match(/data: /g)?.length, 15)
  assert.match(text, /data: \[DONE\]\n\n$/)
  await eventually(() => proxy.lines().length === 1)
  assert.equal(await left(), 1000 - 21)
})

test('a caller who asks for the usage of a stream gets it', async (t) => {
  const { post, seen } = await proxyWith(t, [limit('tokens', 1000)], (response, asked) => stream(response, asked, 3))
  const body = chat({ stream: true, stream_options: { include_usage: true } })
  assert.match(await (await post(body)).text(), /prompt_tokens/)
  assert.deepEqual(seen[0]?.body, body)
  // Other options of the stream stay as they are.
  await (await post(chat({ stream: true, stream_options: { include_obfuscation: false, include_usage: false } }))).text()
  assert.deepEqual(seen[1]?.body['stream_options'], { include_obfuscation: false, include_usage: true })
})

test('without a limit of tokens nobody touches the request', async (t) => {
  const { post, seen } = await proxyWith(t, [limit('requests', 10)], (response, asked) => stream(response, asked, 1))
  await (await post(chat({ stream: true }), '/v1/chat/completions', { headers: { 'accept-encoding': 'gzip' } })).text()
  assert.equal(seen[0]?.body['stream_options'], undefined)
  assert.equal(seen[0]?.request.headers['accept-encoding'], 'gzip')
})

test('a client that leaves in the middle of a stream pays for what was written', async (t) => {
  const { post, left, proxy } = await proxyWith(t, [limit('tokens', 1000)], (response, asked) => stream(response, asked, 41, false))
  const leaving = new AbortController()
  const answer = await post(chat({ stream: true, max_tokens: 500 }), '/v1/chat/completions', { signal: leaving.signal })
  let text = ''
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString()
    if (text.includes('w40')) break
  }
  leaving.abort()
  await eventually(() => proxy.lines().length === 1)
  const remaining = await left() ?? 0
  assert.ok(remaining <= 960 && remaining >= 900, `${remaining} left`)
})

for (const [what, answer] of [
  ['refuses it', (response) => json(response, { error: { message: 'no' } }, 400)],
  ['fails', (response) => json(response, { error: { message: 'oops' } }, 503)],
  ['breaks the connection', (response) => { response.destroy() }],
] as const satisfies readonly (readonly [string, Answer])[]) {
  test(`a request costs nothing where the backend ${what}`, async (t) => {
    const { post, left, proxy } = await proxyWith(t, [limit('tokens', 1000)], answer)
    await (await post(chat({ max_tokens: 500 }))).text()
    await eventually(() => proxy.lines().length === 1)
    assert.equal(await left(), 1000)
  })
}

test('an answer that does not say what it took is charged by its bytes', async (t) => {
  const { post, left, proxy } = await proxyWith(t, [limit('tokens', 1000)], (response) => json(response, { text: 'x'.repeat(400) }))
  await (await post(chat({ max_tokens: 100 }))).text()
  await eventually(() => proxy.lines().length === 1)
  const remaining = await left() ?? 0
  assert.ok(remaining < 900 && remaining > 860, `${remaining} left`)
})

test('answers are asked for uncompressed, so that their usage can be read', async (t) => {
  const { post, left, proxy } = await proxyWith(t, [limit('tokens', 1000)], (response, { request }) => {
    const body = JSON.stringify({ usage: usage(1, 2) })
    if (request.headers['accept-encoding']?.includes('gzip')) response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(body))
    else response.end(body)
  })
  await (await post(chat(), '/v1/chat/completions', { headers: { 'accept-encoding': 'gzip, br' } })).text()
  await eventually(() => proxy.lines().length === 1)
  assert.equal(await left(), 997)
})

test('a usage in what the model writes is not taken for the usage', async (t) => {
  const content = 'the "usage": {"prompt_tokens": 0, "completion_tokens": 0} of it'
  const { post, left, proxy } = await proxyWith(t, [limit('tokens', 1000)], (response) => json(response, { usage: usage(100, 200), choices: [{ message: { content } }] }))
  await (await post(chat())).text()
  await eventually(() => proxy.lines().length === 1)
  assert.equal(await left(), 700)
})

test('a body that can be read in two ways is refused, so that its cost is no guess', async (t) => {
  const { post, seen } = await proxyWith(t, [limit('tokens', 1000)], (response) => json(response, {}))
  const answer = await post('{"model":"m","max_tokens":1,"max_tokens":100000}')
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error'), seen.length], [400, 'invalid_request', 0])
})

const v2 = (shape: readonly unknown[]) => ({ inputs: [{ name: 'x', shape, datatype: 'FP32', data: [] }] })

test('a budget of cost counts rows and tensor elements before the call', async (t) => {
  const cost = limit('cost', 1000, { cost: 'rows * 10 + tensorElements' })
  const { post, left, proxy, seen } = await proxyWith(t, [cost], (response) => json(response, {}))
  await (await post(v2([8, 4]), '/v2/models/m/infer')).text()
  await eventually(() => proxy.lines().length === 1)
  assert.equal(await left(), 1000 - 80 - 32)
  await (await post({ instances: [[1, 2, 3], [4, 5, 6]] }, '/v1/models/m:predict')).text()
  await eventually(() => proxy.lines().length === 2)
  assert.equal(await left(), 888 - 20 - 6)
  assert.equal((await post(v2([100, 1]), '/v2/models/m/infer')).status, 429)
  for (const shape of [[-1, 4], [1.5], ['3'], [1e300]]) assert.equal((await post(v2(shape), '/v2/models/m/infer')).status, 400)
  assert.equal(seen.length, 2)
})

test('tensors in binary cost what the JSON before them says', async (t) => {
  const { post, left, proxy } = await proxyWith(t, [limit('cost', 1000, { cost: 'tensorElements' })], (response) => json(response, {}))
  const header = JSON.stringify(v2([2, 50]))
  const body = Buffer.concat([Buffer.from(header), Buffer.alloc(400, 255)])
  await (await post('', '/v2/models/m/infer', { body, headers: { 'inference-header-content-length': String(header.length) } })).text()
  await eventually(() => proxy.lines().length === 1)
  assert.equal(await left(), 900)
})

test('a budget of backend seconds is settled after the call', async (t) => {
  const cost = limit('cost', 1000, { cost: 'backendSeconds * 1000.0' })
  const { post, left, proxy } = await proxyWith(t, [cost], (response) => { setTimeout(() => json(response, {}), 32) })
  await (await post({}, '/predict')).text()
  await eventually(() => proxy.lines().length === 1)
  const remaining = await left() ?? 0
  assert.ok(remaining <= 971 && remaining > 0, `${remaining} left`)
})

test('a thousand streams at once never spend more than the budget where each says how much it may take', { timeout: 200_000 }, async (t) => {
  let written = 0
  const { proxy } = await proxyWith(t, [limit('tokens', 10_000)], (response, asked) => {
    written += 59
    stream(response, asked, 50)
  })
  const sessions = Array.from({ length: 10 }, () => connectHttp2(proxy.url))
  t.after(() => { for (const session of sessions) session.destroy() })
  const answers = await Promise.all(sessions.flatMap((session) => Array.from({ length: 100 }, async () => {
    const asking = session.request({ ':method': 'POST', ':path': '/v1/chat/completions' })
    asking.end(JSON.stringify(chat({ stream: true, max_tokens: 50 })))
    const [head] = await once(asking, 'response') as [Readonly<Record<string, unknown>>]
    await once(asking.resume(), 'end')
    return head[':status']
  })))
  const served = answers.filter((status) => status === 200).length
  assert.ok(served > 0 && written <= 10_000, `${written} written in ${served}`)
})

test('nor where prompts have a token for each byte, before anything is known of them', async (t) => {
  let spent = 0
  const { post } = await proxyWith(t, [limit('tokens', 5000)], (response) => {
    spent += 210
    json(response, { usage: usage(200, 10) })
  })
  const content = '1'.repeat(200)
  const statuses = await Promise.all(Array.from({ length: 100 }, async () => {
    const answer = await post(chat({ messages: [{ role: 'user', content }], max_tokens: 10 }))
    await answer.text()
    return answer.status
  }))
  assert.ok(statuses.includes(200) && statuses.includes(429))
  assert.ok(spent <= 5000, `${spent} spent`)
})

test('a stream that announces its length loses it with the chunk that is taken out', async (t) => {
  const { post } = await proxyWith(t, [limit('tokens', 1000)], (response) => {
    const body = `data: ${JSON.stringify({ choices: [{ delta: { content: 'a' } }] })}\n\ndata: ${JSON.stringify({ choices: [], usage: usage(1, 1) })}\n\ndata: [DONE]\n\n`
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': body.length }).end(body)
  })
  const answer = await post(chat({ stream: true }))
  assert.equal(answer.headers.get('content-length'), null)
  assert.equal(await answer.text(), 'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n')
})
