import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cache } from '../../table/cache.ts'
import type { Limit } from '../../table/limits.ts'
import { policy, proxyWith, numbered } from './caching.ts'
import { eventually } from './sockets.ts'
import { variant } from './table.ts'

const predict = '/v1/models/fraud:predict'

test('a request that says the same as one before is answered with its answer, and says so', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const { ask, seen, proxy } = await proxyWith(t, policy())
  const first = await ask(predict, '{"instances":[[1.0,2]],"x":"é"}')
  assert.deepEqual([first.by, first.age, first.text], ['miss', null, 'answer 1'])
  for (const body of ['{"instances":[[1.0,2]],"x":"é"}', '{"x":"\\u00e9", "instances":[[1,2e0]]}']) {
    const again = await ask(predict, body)
    assert.deepEqual([again.by, again.age, again.text], ['hit', '0', 'answer 1'])
  }
  assert.equal((await ask(predict, '{"instances":[[1,3]],"x":"é"}')).by, 'miss')
  assert.equal(seen.length, 2)
  assert.deepEqual(proxy.lines().map((line) => [line['cache'], line['age']]), [['miss', undefined], ['hit', 0], ['hit', 0], ['miss', undefined]])
  const metrics = await (await fetch(`${proxy.urls.admin}/metrics`)).text()
  assert.match(metrics, /modelroute_cache_requests_total\{route="ml\/fraud",rule="infer",variant="stable",model="",model_version="",result="hit"\} 2/)
  assert.match(metrics, /modelroute_cache_bytes\{route="ml\/fraud",rule="infer"\} [1-9]/)
})

test('one caller is never given another one\'s answer, unless the route says so', async (t) => {
  const by = async (scope: Cache['scope']) => {
    const { ask } = await proxyWith(t, policy({ scope }))
    const results: (string | null)[] = []
    for (const who of ['alice', 'bob', '', 'alice', '']) results.push((await ask(predict, '{}', who === '' ? {} : { 'x-who': who })).by)
    return results.join()
  }
  assert.equal(await by('Principal'), 'miss,miss,miss,hit,hit')
  assert.equal(await by('Tenant'), 'miss,hit,miss,hit,hit')
  assert.equal(await by('Shared'), 'miss,hit,hit,hit,hit')
})

test('each variant has its own answers, an edit of the weights costs none, and one of the reference all of them', async (t) => {
  const both = (stable: number, set = 'ml/s:80') => ({
    variants: [variant('stable', set, { weight: stable }), variant('canary', 'ml/t:80', { weight: 1_000_000 - stable })],
    overrides: [{ header: 'x-canary', value: 'always', variant: 'canary' }],
  })
  const { ask, proxy, table } = await proxyWith(t, policy(), numbered, both(1_000_000))
  const results = async () => [(await ask(predict, '{}')).by, (await ask(predict, '{}', { 'x-canary': 'always' })).by]
  assert.deepEqual(await results(), ['miss', 'miss'])
  assert.deepEqual(await results(), ['hit', 'hit'])
  proxy.activate(table(policy(), both(999_999)))
  assert.deepEqual(await results(), ['hit', 'hit'])
  proxy.activate(table(policy(), both(999_999, 'ml/t:80')))
  assert.deepEqual(await results(), ['miss', 'hit'])
  proxy.activate(table(policy({ ttl: 59_000 }), both(999_999, 'ml/t:80')))
  assert.deepEqual(await results(), ['miss', 'miss'])
})

test('chosen headers and pointers count, and what says how an answer is made always does', async (t) => {
  const { ask } = await proxyWith(t, policy({ headers: ['x-team'], pointers: ['/text'] }))
  const by = async (body: string, headers = {}) => (await ask('/predict', body, headers)).by
  assert.equal(await by('{"text":"a","id":1}'), 'miss')
  assert.equal(await by('{"text":"a","id":2}'), 'hit')
  assert.equal(await by('{"text":"b","id":2}'), 'miss')
  assert.equal(await by('{"text":"a","id":1}', { 'x-team': '' }), 'miss')
  assert.equal(await by('{"text":"a","stream":true}'), 'miss')
  assert.equal(await by('{"text":"a","model":"m"}'), 'miss')
  assert.equal(await by('{"text":"a"'), 'miss')
  assert.equal(await by('{"text":"a" '), 'miss')
})

const chat = '/v1/chat/completions'
test('what is left to chance is not answered from the cache unless the route says so', async (t) => {
  const { ask, proxy, table } = await proxyWith(t, policy())
  const twice = async (path: string, body: string) => [(await ask(path, body)).by, (await ask(path, body)).by].join()
  for (const [path, body, expected] of [
    [chat, '{"messages":[]}', 'bypass,bypass'],
    [chat, '{"messages":[],"temperature":0.5}', 'bypass,bypass'],
    [chat, '{"messages":[],"temperature":0}', 'miss,hit'],
    [chat, '{"messages":[],"temperature":0.0,"n":1}', 'miss,hit'],
    [chat, '{"messages":[],"temperature":1,"seed":7}', 'miss,hit'],
    [chat, '{"messages":[],"seed":null}', 'bypass,bypass'],
    [chat, `{"messages":["${'x'.repeat(70_000)}"],"temperature":0}`, 'miss,hit'],
    [chat, `{"messages":["${'x'.repeat(70_000)}"]}`, 'bypass,bypass'],
    ['/v1/embeddings', '{"input":"a"}', 'miss,hit'],
    ['/v2/models/m/generate', '{"text_input":"a"}', 'bypass,bypass'],
    ['/v2/models/m/generate', '{"text_input":"a","parameters":{"temperature":"0.0"}}', 'miss,hit'],
    ['/v2/models/m/infer', '{"inputs":[]}', 'miss,hit'],
    ['/v2/models/m/infer', '{"inputs":[],"parameters":{"temperature":0.1}}', 'bypass,bypass'],
    ['/v2/models/m/infer', '{"inputs":[],"parameters":{"sequence_id":1}}', 'bypass,bypass'],
    ['/v2/repository/models/m/load', '{}', 'bypass,bypass'],
    ['/v1/files', '{}', 'bypass,bypass'],
  ] as const) assert.equal(await twice(path, body), expected, `${path} ${body.slice(0, 60)}`)
  proxy.activate(table(policy({ nondeterministic: true })))
  assert.equal(await twice(chat, '{"messages":[]}'), 'miss,hit')
})

test('tensors in binary count by their bytes, whatever the JSON before them looks like', async (t) => {
  const { ask } = await proxyWith(t, policy())
  const by = async (json: string, tensor: number[]) =>
    (await ask('/v2/models/m/infer', Buffer.concat([Buffer.from(json), Buffer.from(tensor)]), { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(json.length) })).by
  assert.equal(await by('{"inputs":[1],"a":1}', [1, 2, 255]), 'miss')
  assert.equal(await by('{"inputs":[1],"a":1}', [1, 2, 255]), 'hit')
  assert.equal(await by('{"a":1,"inputs": [1.0]}', [1, 2, 255]), 'hit')
  assert.equal(await by('{"inputs":[1],"a":1}', [1, 2, 254]), 'miss')
})

test('errors, and what may not be shared, are never kept', async (t) => {
  const { ask } = await proxyWith(t, policy({ scope: 'Shared' }), (request, response, call) => {
    response.statusCode = Number(request.headers['x-status'] ?? 200)
    const said = String(request.headers['x-say'] ?? '')
    if (said !== '') response.setHeader(said.split(': ')[0] ?? '', said.split(': ')[1] ?? '')
    response.end(`answer ${call}`)
  })
  const twice = async (headers: Record<string, string>) => {
    const path = `/x/${JSON.stringify(headers)}`
    return [(await ask(path, '{}', headers)).by, (await ask(path, '{}', headers)).by].join()
  }
  for (const status of ['400', '404', '429', '500', '503', '201', '206']) assert.equal(await twice({ 'x-status': status }), 'miss,miss', status)
  for (const say of ['cache-control: no-store', 'cache-control: private', 'cache-control: max-age=0', 'set-cookie: a=b', 'vary: *', 'expires: 0', 'cache-control: no-cache', 'cache-control: max-age=10x']) {
    assert.equal(await twice({ 'x-say': say }), 'miss,miss', say)
  }
  assert.equal(await twice({ authorization: 'Bearer backend' }), 'miss,miss')
  assert.equal(await twice({ cookie: 'session=1' }), 'miss,miss')
  assert.equal(await twice({ authorization: 'Bearer backend', 'x-say': 'cache-control: public' }), 'miss,hit')
  assert.equal(await twice({ 'cache-control': 'no-store' }), 'bypass,bypass')
  assert.equal(await twice({ 'cache-control': 'no-cache' }), 'miss,miss')
  assert.equal(await twice({}), 'miss,hit')
})

test('many like it at once are one request to the backend', { timeout: 200_000 }, async (t) => {
  const waiting: (() => void)[] = []
  const { ask, seen } = await proxyWith(t, policy(), (_, response, call) => { waiting.push(() => response.end(`answer ${call}`)) })
  const answers = Array.from({ length: 200 }, () => ask(predict, '{}'))
  await eventually(() => waiting.length > 0)
  waiting[0]?.()
  const all = await Promise.all(answers)
  assert.equal(seen.length, 1)
  assert.deepEqual(new Set(all.map(({ text }) => text)), new Set(['answer 1']))
  assert.equal(all.filter(({ by }) => by === 'hit').length, 199)
})

test('what is purged is asked for again: by tag, by route, or all', async (t) => {
  const { ask, proxy } = await proxyWith(t, policy({ tags: ['models', 'eu'] }))
  const purge = async (query: string, method = 'DELETE') => {
    const answer = await fetch(`${proxy.urls.admin}/cache${query}`, { method })
    return answer.status === 200 ? answer.json() : answer.status
  }
  for (const query of ['?tag=eu', '?route=ml/fraud', '?route=ml/fraud&tag=models', '']) {
    await ask(predict, '{"a":1}')
    await ask(predict, '{ "a":1}')
    assert.equal((await ask(predict, '{"a":1.0}')).by, 'hit')
    assert.deepEqual(await purge(query), { rules: 1, answers: 1 }, query)
    assert.equal((await ask(predict, '{"a":1}')).by, 'miss')
  }
  for (const query of ['?tag=us', '?route=ml/other', '?route=ml/other&tag=eu']) assert.deepEqual(await purge(query), { rules: 0, answers: 0 }, query)
  assert.equal((await ask(predict, '{"a":1}')).by, 'hit')
  for (const query of ['?tags=eu', '?tag=', '?tag=a&tag=b', '?route=fraud', '?all']) assert.equal(await purge(query), 400, query)
  assert.equal(await purge('', 'GET'), 405)
  assert.equal((await ask(predict, '{"a":1}')).by, 'hit')
})

test('what was on its way when it was purged is not kept', async (t) => {
  const waiting: (() => void)[] = []
  const { ask, proxy } = await proxyWith(t, policy(), (_, response, call) => { waiting.push(() => response.end(`answer ${call}`)) })
  const first = ask(predict, '{}')
  await eventually(() => waiting.length === 1)
  await fetch(`${proxy.urls.admin}/cache`, { method: 'DELETE' })
  waiting[0]?.()
  assert.equal((await first).text, 'answer 1')
  const second = ask(predict, '{}')
  await eventually(() => waiting.length === 2)
  waiting[1]?.()
  assert.deepEqual([(await second).by, (await ask(predict, '{}')).text], ['miss', 'answer 2'])
})

test('a hit counts against limits what the rule says, and a miss all of it', async (t) => {
  const limit = (name: string, unit: Limit['unit'], amount: number): Limit => ({
    policy: 'ml/a', name, appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [], algorithm: { type: 'FixedWindow', window: 'month' },
    unit, amount, scope: 'Global', shadow: false, onStoreFailure: 'Local',
  })
  const usage = '{"usage":{"prompt_tokens":30,"completion_tokens":70}}'
  const left = async (billed: number) => {
    const { ask } = await proxyWith(t, policy({ billed }), (_, response) => response.setHeader('content-type', 'application/json').end(usage),
      { limits: [limit('requests', 'requests', 100), limit('tokens', 'tokens', 10_000)] })
    const body = '{"messages":[],"temperature":0,"max_tokens":100}'
    const told: string[] = []
    for (let i = 0; i < 3; i++) told.push((await ask(chat, body)).headers.get('ratelimit') ?? '')
    const last = (await ask(chat, body)).headers.get('ratelimit') ?? ''
    // What is told is what is left with this request reserved: of tokens, what is left before it differs by hits only.
    return [/"requests";r=(\d+)/.exec(last)?.[1], Number(/"tokens";r=(\d+)/.exec(told[1] ?? '')?.[1]) - Number(/"tokens";r=(\d+)/.exec(last)?.[1])]
  }
  assert.deepEqual(await left(100), ['96', 200])
  assert.deepEqual(await left(20), ['97', 40])
  assert.deepEqual(await left(0), ['98', 0])
})

test('an answer of events is given again as events', async (t) => {
  const events = 'data: {"a":1}\n\ndata: [DONE]\n\n'
  const { ask } = await proxyWith(t, policy(), (_, response, call) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(events.slice(0, 10))
    response.end(call === 1 ? events.slice(10, 20) : events.slice(10))
  })
  const body = '{"stream":true,"temperature":0}'
  assert.equal((await ask(chat, body)).by, 'miss')
  assert.equal((await ask(chat, body)).by, 'miss', 'the first had no end')
  const again = await ask(chat, body)
  assert.deepEqual([again.by, again.text, again.headers.get('content-type')], ['hit', events, 'text/event-stream'])
  assert.deepEqual([again.headers.get('content-length'), again.headers.get('transfer-encoding')], [null, 'chunked'])
})
