import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test, type TestContext } from 'node:test'
import type { Auth, Credential } from '../../table/principal.ts'
import { keySet, withKeys } from './keys.ts'
import { testProxy, type TestProxy } from './proxy.ts'
import { httpUpstream, rawClient } from './sockets.ts'
import { active, route, rule } from './table.ts'

const header: Credential = { kind: 'apiKey', in: 'Header', name: 'x-api-key', set: 'ml?' }
const query: Credential = { kind: 'apiKey', in: 'Query', name: 'key', set: 'ml?' }
const bearer: Credential = { kind: 'apiKey', in: 'Bearer', name: '', set: 'ml?' }

const holders = keySet('ml?', {
  'good-key': { consumer: 'ann', groups: ['a', 'b'], tier: 'pro' },
  'käse': { consumer: 'bob' },
  'old-key': { consumer: 'old', expires: 1 },
  'new-key': { consumer: 'new', expires: Date.now() + 3_600_000 },
})

const saw = (request: IncomingMessage) => JSON.stringify({ url: request.url, headers: request.headers })
type Saw = { url: string; headers: Record<string, string> }

async function gateway(t: TestContext, auth: Auth): Promise<TestProxy & { port: number }> {
  const port = await httpUpstream(t, (request, response) => void response.end(saw(request)))
  const table = active('1', [route({ rules: [rule({ auth })] })], { 'ml/s:80': [port] })
  return { ...await testProxy(t, withKeys(table, holders)), port }
}

const only = (credential: Credential): Auth => ({ anyOf: [credential], anonymous: false })

test('a key in a header says who calls, and does not reach the backend', async (t) => {
  const { url, text } = await gateway(t, only(header))
  const answer = await fetch(url, { headers: { 'X-API-Key': 'good-key' } })
  assert.equal(answer.status, 200)
  const { headers } = await answer.json() as Saw
  assert.deepEqual(
    [headers['x-modelroute-consumer'], headers['x-modelroute-groups'], headers['x-modelroute-tier'], headers['x-api-key']],
    ['ann', 'a,b', 'pro', undefined],
  )
  assert.ok(!text().includes('good-key'))
})

test('a key in the query does not reach the backend; the rest of the query does, byte for byte', async (t) => {
  const { url, text } = await gateway(t, only(query))
  for (const [asked, forwarded] of [
    ['/p?key=good-key', '/p'], ['/p?a=%20+b&key=good-key&c', '/p?a=%20+b&c'], ['/p?k%65y=good-key&key=other&keys=1', '/p?keys=1'],
  ] as const) {
    const answer = await fetch(url + asked)
    assert.equal(answer.status, 200, asked)
    assert.equal((await answer.json() as Saw).url, forwarded)
  }
  assert.ok(!text().includes('good-key'))
})

test('a key as a bearer token says who calls, and a token of no kind that is accepted is not anonymous', async (t) => {
  const { url } = await gateway(t, { anyOf: [bearer], anonymous: true })
  const status = async (authorization: string) => {
    const answer = await fetch(url, { headers: { authorization } })
    return [answer.status, (await answer.text()).includes('x-modelroute-consumer')]
  }
  assert.deepEqual(await status('Bearer good-key'), [200, true])
  assert.deepEqual(await status('bearer good-key'), [200, true])
  assert.deepEqual(await status('Bearer bad-key'), [401, false])
  assert.deepEqual(await status('Bearer a.b.c'), [401, false])
  assert.deepEqual(await status('Basic good-key'), [200, false])
})

test('a key that is missing, wrong, expired or cut short reads the same', async (t) => {
  const { url } = await gateway(t, only(header))
  const answers = await Promise.all(['', 'bad', 'old-key', 'good-ke', 'good-key ,good-key', 'x'.repeat(5000)].map(async (key) => {
    const answer = await fetch(url, key === '' ? {} : { headers: { 'x-api-key': key } })
    return [answer.status, answer.headers.get('www-authenticate'), answer.headers.get('x-modelroute-error'),
      (await answer.json() as { detail: string }).detail]
  }))
  for (const answer of answers) {
    assert.deepEqual(answer, [401, 'ApiKey realm="modelroute"', 'unauthenticated', 'The request does not say who calls, or cannot prove it.'])
  }
  assert.equal((await fetch(url, { headers: { 'x-api-key': 'new-key' } })).status, 200)
  assert.equal((await fetch(url, { headers: { 'x-api-key': Buffer.from('käse').toString('latin1') } })).status, 200)
})

test('a wrong key is refused where none would have been let through', async (t) => {
  const { url } = await gateway(t, { anyOf: [header], anonymous: true })
  assert.equal((await fetch(url)).status, 200)
  assert.equal((await fetch(url, { headers: { 'x-api-key': 'bad' } })).status, 401)
})

test('the first credential that is found decides, and none of them reaches the backend', async (t) => {
  const { url } = await gateway(t, { anyOf: [header, query], anonymous: false })
  assert.equal((await fetch(`${url}/?key=good-key`, { headers: { 'x-api-key': 'bad' } })).status, 401)
  const answer = await fetch(`${url}/?key=bad`, { headers: { 'x-api-key': 'good-key' } })
  assert.equal(answer.status, 200)
  const { url: target } = await answer.json() as Saw
  assert.equal(target, '/')
})

test('a key that is revoked is refused by the next request, one that was remembered too', async (t) => {
  const { url, activate, port } = await gateway(t, only(header))
  const call = async (key: string) => (await fetch(url, { headers: { 'x-api-key': key } })).status
  assert.deepEqual([await call('good-key'), await call('good-key'), await call('next-key')], [200, 200, 401])
  const table = active('1', [route({ rules: [rule({ auth: only(header) })] })], { 'ml/s:80': [port] })
  activate(withKeys(table, keySet('ml?', { 'next-key': {} })))
  assert.deepEqual([await call('good-key'), await call('next-key')], [401, 200])
})

test('the same bytes again and again on one connection are who they are, and nobody once the key is revoked or has expired', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const either: Auth = { anyOf: [header, query], anonymous: false }
  const { url, activate, port } = await gateway(t, either)
  const client = await rawClient(t, url)
  let answers = 0
  const ask = async (key: string, other = '') => {
    client.send(`GET /${other} HTTP/1.1\r\nhost: h\r\nx-api-key: ${key}\r\n\r\n`)
    const parts = () => client.text().split(/(?=HTTP\/1\.1 )/)
    answers++
    await client.until(() => parts().length === answers && /\r\n\r\n[^]+\}$/.test(parts().at(-1) ?? ''))
    const text = parts().at(-1) ?? ''
    return [Number(text.slice(9, 12)), /x-modelroute-consumer":"(?<who>\w+)/.exec(text)?.groups?.['who']]
  }
  for (let i = 0; i < 4; i++) assert.deepEqual(await ask('good-key'), [200, 'ann'])
  for (let i = 0; i < 4; i++) assert.deepEqual(await ask('goodakey'), [401, undefined])
  for (let i = 0; i < 4; i++) assert.deepEqual(await ask('new-key', '?key=good-key'), [200, 'new'])
  const tableOf = (auth: Auth) => active('2', [route({ rules: [rule({ auth })] })], { 'ml/s:80': [port] })
  activate(withKeys(tableOf(only(query)), holders))
  assert.deepEqual(await ask('new-key', '?key=good-key'), [200, 'ann'])
  activate(withKeys(tableOf(either), holders))
  for (let i = 0; i < 2; i++) assert.deepEqual(await ask('new-key', '?key=good-key'), [200, 'new'])
  t.mock.timers.tick(3_600_001)
  assert.deepEqual(await ask('new-key', '?key=good-key'), [401, undefined])
  for (let i = 0; i < 4; i++) assert.deepEqual(await ask('good-key'), [200, 'ann'])
  activate(withKeys(tableOf(either), keySet('ml?', { 'next-key': {} })))
  assert.deepEqual(await ask('good-key'), [401, undefined])
  activate(withKeys(tableOf(either), keySet('ml?', { 'good-key': { consumer: 'eve' } })))
  for (let i = 0; i < 4; i++) assert.deepEqual(await ask('good-key'), [200, 'eve'])
})

test('while it is not known which keys there are, nobody is let in and nobody is told that their key is wrong', async (t) => {
  const { url, activate, port } = await gateway(t, only(header))
  activate(active('2', [route({ rules: [rule({ auth: only(header) })] })], { 'ml/s:80': [port] }))
  const answer = await fetch(url, { headers: { 'x-api-key': 'good-key' } })
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [503, 'auth_unavailable'])
})
