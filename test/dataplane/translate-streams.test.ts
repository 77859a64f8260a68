import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { Rule } from '../../table/route.ts'
import { until } from '../cluster/wait.ts'
import { testProxy, type TestProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

const event = (value: unknown) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`
const word = (text_output: string) => event({ model_name: 'lm', model_version: '1', text_output })

/** In front of a server that generates as Triton does, and answers as the test says. */
async function tritonLike(t: TestContext, answer: (request: IncomingMessage, response: ServerResponse, body: unknown) => void, more: Partial<Rule> = {}): Promise<TestProxy> {
  const port = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      // It says nothing of its models.
      if (request.method === 'GET') response.writeHead(404).end('{}')
      else answer(request, response, JSON.parse(Buffer.concat(chunks).toString()))
    })
  })
  return testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('stable', 'ml/s:80', { protocol: 'V2' })], ...more })] })], { 'ml/s:80': [port] }))
}

const complete = (proxy: TestProxy, body: object, init: RequestInit = {}) =>
  fetch(`${proxy.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'lm', prompt: 'x', ...body }), ...init })

test('a piece of a translated stream is with the caller before the next one is made', async (t) => {
  const next: (() => void)[] = []
  const proxy = await tritonLike(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(word('one'))
    next.push(() => response.write(word('two')), () => response.end(word('three')))
  })
  const answer = await complete(proxy, { stream: true })
  const reader = answer.body?.getReader()
  let heard = ''
  for (const text of ['one', 'two', 'three']) {
    while (!heard.includes(`"${text}"`)) heard += Buffer.from((await reader?.read())?.value ?? assert.fail('it ended')).toString()
    next.shift()?.()
  }
  assert.deepEqual([answer.status, answer.headers.get('content-type'), answer.headers.get('x-modelroute-variant')], [200, 'text/event-stream; charset=utf-8', 'stable'])
})

test('a caller who leaves a translated stream ends it at the backend', async (t) => {
  const left = Promise.withResolvers<void>()
  const proxy = await tritonLike(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(word('one'))
    response.on('close', () => left.resolve())
  })
  const abort = new AbortController()
  const answer = await complete(proxy, { stream: true }, { signal: abort.signal })
  await answer.body?.getReader().read()
  abort.abort()
  await left.promise
  await until('the log', () => Promise.resolve(proxy.lines().length === 1))
  assert.equal(proxy.lines()[0]?.['code'], 'client_closed')
})

test('a backend that dies in the middle ends a translated stream with an error event and a broken connection', async (t) => {
  const proxy = await tritonLike(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(word('one'), () => setImmediate(() => response.destroy()))
  })
  const answer = await complete(proxy, { stream: true })
  let heard = ''
  await assert.rejects(async () => {
    for await (const piece of answer.body ?? []) heard += Buffer.from(piece).toString()
  })
  assert.match(heard, /"one"/)
  assert.match(heard, /data: \{"error":\{"message":"The backend closed the connection before its answer was complete\.","type":"server_error","param":null,"code":"upstream_reset"\}\}\n\n$/)
  assert.ok(!heard.includes('[DONE]'))
})

test('a backend that dies before its first piece is an error with a status', async (t) => {
  const proxy = await tritonLike(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    setImmediate(() => response.destroy())
  })
  const answer = await complete(proxy, { stream: true })
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [502, 'upstream_reset'])
})

test('a backend that brings more than its caller takes is made to wait', async (t) => {
  const piece = word('x'.repeat(60_000))
  let written = 0
  let stalled = false
  const proxy = await tritonLike(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const more = () => {
      while (!response.destroyed && written < 2000) {
        written++
        if (response.write(piece)) continue
        const late = setTimeout(() => { stalled = true }, 500)
        response.once('drain', () => {
          clearTimeout(late)
          stalled = false
          more()
        })
        return
      }
      response.end()
    }
    more()
  }, { timeouts: {} })
  const answer = await complete(proxy, { stream: true })
  const reader = answer.body?.getReader()
  await reader?.read()
  await until('the backend to wait', () => Promise.resolve(stalled), { timeout: 60_000 })
  assert.ok(written < 1500, `${written} of 2000 pieces of 60 kB were taken from it`)
  await reader?.cancel()
})

const budget = 10_000
const budgeted: Partial<Rule> = {
  limits: [{
    policy: 'ml/quota', name: 'budget', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [],
    algorithm: { type: 'FixedWindow', window: 86_400_000 }, unit: 'tokens', amount: budget, scope: 'Global', shadow: false, onStoreFailure: 'Local',
  }],
}

/** What was spent, asked for without spending any. */
async function spent(proxy: TestProxy): Promise<number> {
  const { items } = await (await fetch(new URL('/usage', proxy.urls.admin))).json() as { items: { limits: { remaining: number }[] }[] }
  return budget - (items[0]?.limits[0]?.remaining ?? Number.NaN)
}

test('a token limit counts what a translated stream says that it took, and keeps that from a caller who did not ask', async (t) => {
  const asked: unknown[] = []
  const proxy = await tritonLike(t, (_request, response, body) => {
    asked.push(body)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(event({ model_name: 'lm', text_output: 'one', num_input_tokens: 40, num_output_tokens: 30 }))
    response.end(event({ model_name: 'lm', text_output: ' two', num_input_tokens: 40, num_output_tokens: 30, finish_reason: 'stop' }))
  }, budgeted)
  const text = await (await complete(proxy, { stream: true, max_tokens: 500 })).text()
  assert.ok(text.includes('two') && text.endsWith('data: [DONE]\n\n'))
  assert.ok(!text.includes('prompt_tokens'), text)
  assert.equal((asked[0] as { parameters: Record<string, unknown> }).parameters['return_num_output_tokens'], true)
  assert.equal(await spent(proxy), 100)
})

test('a token limit settles what was written until the caller left', async (t) => {
  const proxy = await tritonLike(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (let i = 0; i < 20; i++) response.write(word(` w${i}`))
  }, budgeted)
  const abort = new AbortController()
  const answer = await complete(proxy, { stream: true, max_tokens: 5000 }, { signal: abort.signal })
  let heard = ''
  const reader = answer.body?.getReader()
  while (!heard.includes(' w19')) heard += Buffer.from((await reader?.read())?.value ?? assert.fail('it ended')).toString()
  assert.ok(await spent(proxy) >= 5000)
  abort.abort()
  await until('what it took to be settled', async () => await spent(proxy) < 5000)
  // Twenty of the answer, and a quarter of the bytes of the request for its prompt.
  const [all] = [await spent(proxy)]
  assert.ok(all >= 20 && all < 60, `${all} spent`)
})
