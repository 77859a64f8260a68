import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { policy, proxyWith } from './caching.ts'
import { eventually } from './sockets.ts'
import { active, variant } from './table.ts'

const predict = '/v1/models/fraud:predict'
const old = { 'cache-control': 'max-age=0' }

/** Without what libraries add to requests that ask under a condition. */
function send(base: string, method: string, path: string, headers: Record<string, string> = {}): Promise<{ status: number; by: string; text: string; etag: string; error: string }> {
  return new Promise((resolve, reject) => {
    request(new URL(path, base), { method, headers }, (answer) => {
      let text = ''
      const one = (name: string) => String(answer.headers[name] ?? '')
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).once('error', reject)
        .once('end', () => resolve({ status: answer.statusCode ?? 0, by: one('x-modelroute-cache'), text, etag: one('etag'), error: one('x-modelroute-error') }))
    }).once('error', reject).end()
  })
}

test('an old answer stands in for a backend that fails, where the rule says so, and is logged and counted as that', async (t) => {
  let failing: 'no' | 'status' | 'reset' = 'no'
  const { ask, seen, proxy, table } = await proxyWith(t, policy({ staleIfError: 60_000 }), (_, response, call) => {
    if (failing === 'reset') response.destroy()
    else response.writeHead(failing === 'status' ? 503 : 200, old).end(`answer ${call}`)
  })
  assert.deepEqual([(await ask(predict, '{}')).by, (await ask(predict, '{}')).text], ['miss', 'answer 2'])
  for (const how of ['status', 'reset'] as const) {
    failing = how
    const stale = await ask(predict, '{}')
    assert.deepEqual([stale.status, stale.by, /^\d+$/.test(stale.age ?? ''), stale.text, stale.headers.get('x-modelroute-error')], [200, 'hit', true, 'answer 2', null], how)
    const fresh = await ask(predict, '{}', { 'cache-control': 'no-cache' })
    assert.deepEqual([fresh.status, fresh.by], [how === 'status' ? 503 : 502, 'miss'])
  }
  const lines = proxy.lines().map((line) => `${line['cache']} ${line['cache_why'] ?? ''} ${line['status']}`)
  assert.deepEqual([lines[2], lines[4]], ['stale status 503 200', 'stale upstream_reset 200'])
  assert.match(await (await fetch(`${proxy.urls.admin}/metrics`)).text(), /modelroute_cache_requests_total\{[^}]*result="stale"\} 2/)
  // Nobody is there at all.
  const asked = seen.length
  proxy.activate(active('2', [...table(policy({ staleIfError: 60_000 })).routes.values()], {}))
  assert.deepEqual([(await ask(predict, '{}')).text, seen.length], ['answer 2', asked])
  assert.equal((await ask(predict, '{"other":1}')).status, 503)
})

test('an answer that must not be given when it is old is not, and neither is one without the rule saying so', async (t) => {
  let failing = false
  const by = async (staleIfError: number | undefined, said: string) => {
    failing = false
    const { ask } = await proxyWith(t, policy(staleIfError === undefined ? {} : { staleIfError }), (_, response) => {
      response.writeHead(failing ? 500 : 200, failing ? {} : { 'cache-control': said }).end('answer')
    })
    await ask(predict, '{}')
    failing = true
    return (await ask(predict, '{}')).status
  }
  assert.equal(await by(60_000, 'max-age=0'), 200)
  assert.equal(await by(undefined, 'max-age=0'), 500)
  for (const said of ['max-age=0, must-revalidate', 's-maxage=0', 'no-cache', 'max-age=0, stale-if-error=0', 'no-store']) assert.equal(await by(60_000, said), 500, said)
})

test('an answer that is old is asked for again by what it says of itself, and given when it still holds', async (t) => {
  let etag = '"a"'
  const { proxy, seen } = await proxyWith(t, policy(), (request, response, call) => {
    const headers = { 'cache-control': 'max-age=0', etag, 'x-call': String(call) }
    if (request.headers['if-none-match'] === etag) response.writeHead(304, headers).end()
    else response.writeHead(200, headers).end(`answer ${call}`)
  })
  const get = (headers = {}) => send(proxy.url, 'GET', '/v2/models/m', headers)
  assert.deepEqual([(await get()).by, (await get()).text], ['miss', 'answer 1'])
  const again = await get()
  assert.deepEqual([again.status, again.by, again.text, seen.length], [200, 'hit', 'answer 1', 3])
  const has = await get({ 'if-none-match': '"a"' })
  assert.deepEqual([has.status, has.by, has.text], [304, 'hit', ''])
  assert.equal((await get({ 'if-none-match': '"x"' })).status, 200)
  etag = '"b"'
  const changed = await get()
  assert.deepEqual([changed.by, changed.text, changed.etag], ['miss', 'answer 6', '"b"'])
  assert.equal((await get()).text, 'answer 6')
  assert.equal((await get({ 'cache-control': 'max-stale' })).by, 'hit')
  assert.equal(seen.length, 7)
})

test('who asks for nothing but what is kept is told when there is nothing', async (t) => {
  const { ask, seen } = await proxyWith(t, policy())
  const only = { 'cache-control': 'only-if-cached' }
  const none = await ask(predict, '{}', only)
  assert.deepEqual([none.status, none.headers.get('x-modelroute-error'), none.by, none.text], [504, 'not_cached', 'miss', '{"error":"No answer to this request is kept, and only-if-cached says that no backend is to be asked."}'])
  await ask(predict, '{}')
  assert.deepEqual([(await ask(predict, '{}', only)).by, seen.length], ['hit', 1])
})

test('what was changed is asked for again, whoever changed it and whoever asks', async (t) => {
  const { proxy } = await proxyWith(t, policy(), (request, response, call) => {
    const status = Number(request.headers['x-status'] ?? 200)
    response.writeHead(status, { 'cache-control': 'max-age=60', ...(request.method !== 'GET' && { location: '/b', 'content-location': '/c?x=1' }) }).end(`answer ${call}`)
  })
  const targets = ['/a', '/b', '/c?x=1', '/d']
  const by = async () => (await Promise.all(targets.map(async (target) => (await send(proxy.url, 'GET', target, { 'x-who': 'alice' })).by))).join()
  await by()
  assert.equal(await by(), 'hit,hit,hit,hit')
  for (const method of ['PUT', 'DELETE', 'PATCH', 'POST', 'M-SEARCH']) {
    await send(proxy.url, method, '/a', { 'x-status': '500' })
    assert.equal(await by(), 'hit,hit,hit,hit', method)
    await send(proxy.url, method, '/a')
    assert.equal(await by(), 'miss,miss,miss,hit', method)
    assert.equal(await by(), 'hit,hit,hit,hit')
  }
  await send(proxy.url, 'OPTIONS', '/a')
  assert.equal(await by(), 'hit,hit,hit,hit')
})

test('who waits for the answer to somebody else\'s request gets it also when that one leaves, and it is asked for once', { timeout: 200_000 }, async (t) => {
  const waiting: (() => void)[] = []
  const closed: number[] = []
  let begun = false
  const { proxy, seen, arrivals } = await proxyWith(t, policy(), (_, response, call) => {
    response.once('close', () => { if (!response.writableFinished) closed.push(call) })
    if (begun) response.write('half ')
    waiting.push(() => response.end(`answer ${call}`))
  })
  const leave = (path: string) => {
    const leader = new AbortController()
    const left = fetch(new URL(path, proxy.url), { signal: leader.signal }).then((answer) => answer.text()).catch(() => 'left')
    return { left, leave: () => leader.abort() }
  }
  for (const path of ['/before', '/between']) {
    const [calls, before] = [seen.length, arrivals()]
    begun = path === '/between'
    const leader = leave(path)
    await eventually(() => seen.length === calls + 1)
    const others = Array.from({ length: 5 }, () => send(proxy.url, 'GET', path))
    await eventually(() => arrivals() === before + 6)
    leader.leave()
    assert.equal(await leader.left, 'left')
    await eventually(() => proxy.lines().filter((line) => line['code'] === 'client_closed').length === (begun ? 2 : 1))
    waiting.at(-1)?.()
    for (const other of await Promise.all(others)) assert.deepEqual([other.by, other.text], ['hit', `${begun ? 'half ' : ''}answer ${calls + 1}`], path)
    assert.equal(seen.length, calls + 1)
  }
  assert.deepEqual(closed, [])
  // Once nobody is left, nobody is asked.
  const [calls, before] = [seen.length, arrivals()]
  const first = leave('/last')
  await eventually(() => seen.length === calls + 1)
  const second = leave('/last')
  await eventually(() => arrivals() === before + 2)
  first.leave()
  assert.equal(await first.left, 'left')
  assert.equal(closed.length, 0)
  second.leave()
  assert.equal(await second.left, 'left')
  await eventually(() => closed.length === 1)
})

test('what a translated answer took counts again for a hit, though the answer itself does not say it', async (t) => {
  const usage = { prompt_tokens: 30, completion_tokens: 70, total_tokens: 100 }
  const { ask, seen } = await proxyWith(t, policy(), (_, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify({
    id: 'a', object: 'text_completion', created: 1, model: 'm', choices: [{ index: 0, text: 'hi', message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }], usage,
  })), {
    variants: [variant('stable', 'ml/s:80', { protocol: 'OpenAI' })],
    limits: [{
      policy: 'ml/a', name: 'tokens', appliesTo: { tiers: [], groups: [], consumers: [], models: [] }, counters: [], algorithm: { type: 'FixedWindow', window: 'month' },
      unit: 'tokens', amount: 10_000, scope: 'Global', shadow: false, onStoreFailure: 'Local',
    }],
  })
  const left: number[] = []
  for (const by of ['miss', 'hit', 'hit']) {
    const answer = await ask('/v2/models/m/generate', '{"text_input":"a","parameters":{"temperature":0,"max_tokens":100}}')
    assert.deepEqual([answer.status, answer.by], [200, by], answer.text)
    assert.doesNotMatch(answer.text, /prompt_tokens/)
    left.push(Number(/;r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1]))
  }
  assert.equal(seen.length, 1)
  assert.deepEqual([(left[0] ?? 0) - (left[1] ?? 0), (left[1] ?? 0) - (left[2] ?? 0)], [100, 100])
})

test('an answer that is given again is changed like the first, and what it is asked by is what the rule made of the request', async (t) => {
  const { ask, seen } = await proxyWith(t, policy(), (_, response, call) => response.setHeader('content-type', 'application/json').end(`{"predictions":[${call}],"ssn":1}`), {
    transform: { request: { headers: { set: [], add: [], remove: [] }, body: { set: [], remove: ['/trace'] } }, response: { headers: { set: [{ name: 'x-made', value: 'yes' }], add: [], remove: [] }, body: { set: [], remove: ['/ssn'] } } },
  })
  const first = await ask(predict, '{"instances":[1],"trace":"a"}')
  const again = await ask(predict, '{"instances":[1],"trace":"b"}')
  assert.deepEqual([first.by, again.by, seen.length], ['miss', 'hit', 1])
  assert.deepEqual([first.text, again.text], ['{"predictions":[1]}', '{"predictions":[1]}'])
  assert.deepEqual([first.headers.get('x-made'), again.headers.get('x-made')], ['yes', 'yes'])
})
