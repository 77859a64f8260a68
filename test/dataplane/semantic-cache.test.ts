import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { anonymous, type Authenticate } from '../../dataplane/pipeline/principal.ts'
import type { Cache } from '../../table/cache.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

type Semantic = NonNullable<Cache['semantic']>
type Message = Readonly<{ role: string; content: string }>

/** Texts that have a word of three letters in common point the same way, but for what their length adds. */
const vectorOf = (text: string) => [1, 0, 0].map((_, at) => (/cat/i.test(text) ? [1, 0, 0] : /dog/i.test(text) ? [0, 1, 0] : [0, 0, 1])[at] ?? 0).concat(text.length / 1000)

async function proxyWith(t: TestContext, settings: Partial<Semantic> = {}, { answer = (text: string, _call: number) => `about ${text}`, embeds = true } = {}) {
  const asked: string[] = []
  const embedded: string[] = []
  const bodyOf = async (request: AsyncIterable<Buffer>) => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    return Buffer.concat(pieces).toString()
  }
  const model = await httpUpstream(t, (request, response) => void bodyOf(request).then((body) => {
    const { messages } = JSON.parse(body) as { messages: Message[] }
    const text = messages.at(-1)?.content ?? ''
    asked.push(text)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ id: String(asked.length), choices: [{ message: { role: 'assistant', content: answer(text, asked.length) } }] }))
  }))
  const embedder = await httpUpstream(t, (request, response) => void bodyOf(request).then((body) => {
    const { input } = JSON.parse(body) as { input: string }
    embedded.push(input)
    if (!embeds) response.statusCode = 500
    response.end(JSON.stringify({ data: [{ embedding: vectorOf(input) }] }))
  }))
  const semantic: Semantic = { threshold: 0.95, text: '/messages', embedding: variant('embedding', 'ml/e:80'), model: 'e5', verify: 0, wrong: 0.01, ...settings }
  const cache: Cache = { ttl: 60_000, scope: 'Principal', maxBytes: 1_048_576, maxEntryBytes: 65_536, headers: [], pointers: [], tags: [], billed: 100, semantic }
  const authenticate: Authenticate = (exchange) => ({ ...anonymous, via: 'jwt', consumer: exchange.header('x-who') ?? 'alice' })
  const table = (more: Partial<Cache> = {}) => active('1', [route({ rules: [rule({ auth: { anyOf: [], anonymous: true }, cache: { ...cache, ...more } })] })], { 'ml/s:80': [model], 'ml/e:80': [embedder] })
  const proxy = await testProxy(t, table(), { filterDeps: { authenticators: () => authenticate } })
  const ask = async (content: string, { who = 'alice', before = [] as Message[], more = {} } = {}) => {
    const body = JSON.stringify({ model: 'm', temperature: 0, messages: [...before, { role: 'user', content }], ...more })
    const response = await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body, headers: { 'content-type': 'application/json', 'x-who': who } })
    const { choices } = await response.json() as { choices: { message: Message }[] }
    return { by: response.headers.get('x-modelroute-cache'), similarity: response.headers.get('x-modelroute-cache-similarity'), age: response.headers.get('age'), says: choices[0]?.message.content }
  }
  const metrics = async () => (await fetch(`${proxy.urls.admin}/metrics`)).text()
  return { ask, asked, embedded, proxy, table, metrics }
}

test('a text that means the same is answered with the same answer, and the answer says so', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const { ask, asked, proxy, metrics } = await proxyWith(t)
  assert.equal((await ask('What do cats eat?')).by, 'miss')
  const similar = await ask('What does a cat eat?')
  assert.deepEqual([similar.by, similar.says, similar.age], ['semantic-hit', 'about What do cats eat?', '0'])
  assert.match(similar.similarity ?? '', /^(?:0\.99\d\d|1\.0000)$/)
  assert.equal((await ask('What do cats eat?')).by, 'hit')
  assert.equal((await ask('What do dogs eat?')).by, 'miss')
  assert.deepEqual(asked, ['What do cats eat?', 'What do dogs eat?'])
  const line = proxy.lines().find(({ cache }) => cache === 'semantic-hit')
  assert.ok(Number(line?.['similarity']) > 0.99)
  assert.match(await metrics(), /modelroute_cache_requests_total\{[^}]*result="semantic-hit"\} 1/)
})

for (const [what, other] of [
  ['the caller', { who: 'bob' }], ['what was said before', { before: [{ role: 'system', content: 'be brief' }] }], ['a parameter', { more: { max_tokens: 5 } }],
  ['the model', { more: { model: 'other' } }], ['a tool', { more: { tools: [{ type: 'function' }] } }],
] as const) {
  test(`nothing is similar where ${what} is another one`, async (t) => {
    const { ask } = await proxyWith(t)
    await ask('What do cats eat?')
    assert.equal((await ask('What does a cat eat?', other as object)).by, 'miss')
  })
}

test('the same vector does not make a number, a negation or another order the same', async (t) => {
  const { ask } = await proxyWith(t)
  await ask('Are 3 cats enough for the farm?')
  for (const text of ['Are 4 cats enough for the farm?', 'Are 3 cats not enough for the farm?', 'Is the farm enough for 3 cats?']) assert.equal((await ask(text)).by, 'miss', text)
  assert.equal((await ask('are 3 cats enough for a farm')).by, 'semantic-hit')
})

test('what asks for chance is not compared, and neither is anything while the model of the vectors fails', async (t) => {
  const { ask, embedded, proxy } = await proxyWith(t, {}, { embeds: false })
  assert.equal((await ask('a cat', { more: { temperature: 1 } })).by, 'bypass')
  assert.deepEqual(embedded, [])
  for (const text of ['one cat', 'cats', 'the cat']) assert.equal((await ask(text)).by, 'miss')
  assert.equal(embedded.length, 1)
  assert.match(proxy.text(), /"msg":"the semantic cache gets no vectors","route":"ml\/fraud","rule":"infer","why":"it answered 500"/)
})

test('an edit of the cache forgets what was similar', async (t) => {
  const { ask, proxy, table } = await proxyWith(t)
  await ask('a cat')
  proxy.activate(table({ ttl: 50_000 }))
  assert.equal((await ask('the cat')).by, 'miss')
})

test('requests that ask the same at once ask for one vector and for one answer', async (t) => {
  const { ask, asked, embedded } = await proxyWith(t)
  const all = await Promise.all(Array.from({ length: 50 }, () => ask('a cat')))
  assert.deepEqual([asked.length, embedded.length, all.filter(({ by }) => by === 'hit').length], [1, 1, 49])
})

test('of the hits that are verified the model answers, and where its answers differ the cache turns itself off and says so', async (t) => {
  const { ask, metrics, proxy } = await proxyWith(t, { verify: 1, wrong: 0.05 }, { answer: (_, call) => `answer ${call}` })
  const texts = ['a cat', 'the cat', 'this cat', 'that cat', 'cat', 'an cat']
  for (const text of texts) assert.equal((await ask(text)).by, 'miss')
  await eventually(() => proxy.text().includes('"msg":"the semantic cache is off: too many of its hits were false"'))
  assert.match(await metrics(), /modelroute_cache_semantic_off\{route="ml\/fraud",rule="infer"\} 1/)
  assert.match(await metrics(), /modelroute_cache_semantic_verified_total\{route="ml\/fraud",rule="infer",result="differ"\} [1-9]/)
  assert.equal((await ask('cat cat')).by, 'miss')
})

test('hits that are verified and right cost no trust', async (t) => {
  const { ask, metrics } = await proxyWith(t, { verify: 1 }, { answer: () => 'Fish.' })
  for (const text of ['a cat', 'the cat', 'this cat']) assert.equal((await ask(text)).by, 'miss')
  assert.match(await metrics(), /semantic_verified_total\{route="ml\/fraud",rule="infer",result="agree"\} 2/)
  assert.match(await metrics(), /modelroute_cache_semantic_off\{route="ml\/fraud",rule="infer"\} 0/)
})
