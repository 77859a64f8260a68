import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, afterEach, before, describe, test, type TestContext } from 'node:test'
import { connectAnswers } from '../../dataplane/cache/redis/connect.ts'
import { parseRedisUrl } from '../../dataplane/limits/redis/url.ts'
import type { Cache } from '../../table/cache.ts'
import { testProxy, type TestProxy } from '../dataplane/proxy.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { active, route, rule } from '../dataplane/table.ts'
import { inTime, watchMachine } from '../machine.ts'
import { startCluster, startRedis, until, type Server } from './servers.ts'
import { startToxiproxy, type Toxiproxy } from './toxiproxy.ts'

const policy: Cache = { ttl: 60_000, scope: 'Shared', maxBytes: 16_777_216, maxEntryBytes: 1_048_576, headers: [], pointers: [], tags: ['models'], billed: 100 }

/** A machine that is busy must not make an outage of it. */
const unhurried = (url: string) => `${url}${url.includes('?') ? '&' : '?'}cache-patience=3000ms`
const there = 'the store of answers is there'

async function proxyAt(t: TestContext, url: string, upstream: number, more: Partial<Cache> = {}): Promise<TestProxy & { said: string[]; ask: (path: string, body: string, headers?: Record<string, string>) => Promise<string> }> {
  const redis = parseRedisUrl(url)
  assert.ok(typeof redis !== 'string')
  const said: string[] = []
  const answers = await connectAnswers({ redis, say: (_, message, fields) => said.push(`${message} ${JSON.stringify(fields ?? {})}`) })
  const table = active('1', [route({ rules: [rule({ cache: { ...policy, ...more } })] })], { 'ml/s:80': [upstream] })
  const proxy = await testProxy(t, table, { answers })
  return {
    ...proxy, said,
    // All proxies of a fleet are called by one name, which their backends may look at.
    ask: (path, body, headers = {}) => new Promise((resolve, reject) => {
      request(new URL(path, proxy.url), { method: 'POST', headers: { host: 'models.example.com', 'content-type': 'application/json', ...headers } }, (answer) => {
        let text = `${String(answer.headers['x-modelroute-cache'])} `
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).once('end', () => resolve(text)).once('error', reject)
      }).once('error', reject).end(body)
    }),
  }
}

const ready = (...proxies: readonly Readonly<{ said: readonly string[] }>[]) => until(() => proxies.every(({ said }) => said.some((line) => line.startsWith(there))))
const keysOf = async (servers: readonly Server[]) =>
  (await Promise.all(servers.map((server) => server.ask('KEYS', 'modelroute:*:answer:*')))).flatMap((text) => text.split('\r\n').filter((line) => line.startsWith('modelroute')))
/** Waits until so many answers more are in the store than before. */
async function storing<Answer>(servers: readonly Server[], count: number, act: () => Promise<Answer>): Promise<Answer> {
  const before = (await keysOf(servers)).length
  const answer = await act()
  await until(async () => (await keysOf(servers)).length >= before + count)
  return answer
}
const counting = (t: TestContext, headers: Record<string, string> = {}) => {
  let calls = 0
  return httpUpstream(t, (request, response) => {
    request.resume().on('end', () => response.writeHead(200, headers).end(`answer ${++calls}`))
  })
}

for (const [name, start] of [['Redis', startRedis], ['Redis Cluster', startCluster]] as const) {
  describe(name, () => {
    let servers: Awaited<ReturnType<typeof start>>
    let all: readonly Server[]
    before(async () => {
      servers = await start()
      all = 'servers' in servers ? servers.servers : [servers]
    })
    after(() => servers.end())

    test('what one proxy was answered another one gives, whichever way it is spelled', async (t) => {
      const upstream = await counting(t)
      const [one, other] = [await proxyAt(t, unhurried(servers.url), upstream), await proxyAt(t, unhurried(servers.url), upstream)]
      await ready(one, other)
      assert.equal(await storing(all, 1, () => one.ask('/x', '{"a":1,"b":2}')), 'miss answer 1')
      assert.equal(await other.ask('/x', '{"b":2.0,"a":1e0}'), 'hit answer 1')
      assert.match(await other.ask('/x', '{"b":2.0,"a":2}'), /^miss/)
    })

    test('what was purged at one proxy, by tag, by route or all, no proxy gives any more, also one that comes later', async (t) => {
      const upstream = await counting(t)
      const [one, other] = [await proxyAt(t, unhurried(servers.url), upstream), await proxyAt(t, unhurried(servers.url), upstream)]
      await ready(one, other)
      for (const [i, query] of ['?tag=models', '?route=ml/fraud', '?route=ml/fraud&tag=models', ''].entries()) {
        const path = `/purged/${i}`
        const [, first = ''] = (await storing(all, 1, () => one.ask(path, '{}'))).split('miss ')
        assert.equal(await other.ask(path, '{}'), `hit ${first}`)
        const purged = await (await fetch(`${one.urls.admin}/cache${query}`, { method: 'DELETE' })).json() as Record<string, unknown>
        assert.deepEqual([purged['rules'], purged['told']], [1, true], query)
        const later = await proxyAt(t, unhurried(servers.url), upstream)
        await ready(later)
        assert.match(await later.ask(path, '{}'), /^miss/, query)
        await until(async () => !(await other.ask(path, '{}')).includes(first))
        assert.ok(!(await one.ask(path, '{}')).includes(first))
      }
      const nothing = await (await fetch(`${one.urls.admin}/cache?tag=others`, { method: 'DELETE' })).json() as Record<string, unknown>
      assert.deepEqual([nothing['rules'], nothing['answers']], [0, 0])
    })
  })
}

test('a server that has no room for more is given no more, and goes on telling what it has', async (t) => {
  const server = await startRedis(['--maxmemory', '4mb'])
  t.after(() => server.end())
  const upstream = await httpUpstream(t, (request, response) => {
    request.resume().on('end', () => response.end('x'.repeat(100_000)))
  })
  const [one, other] = [await proxyAt(t, unhurried(server.url), upstream), await proxyAt(t, unhurried(server.url), upstream)]
  await ready(one, other)
  await storing([server], 1, () => one.ask('/x', '{"i":0}'))
  // How full it is, is asked now and then.
  for (let i = 1; i < 100; i++) await one.ask('/x', `{"i":${i}}`)
  const used = async () => Number(/used_memory:(\d+)/.exec(await server.ask('INFO', 'memory'))?.[1])
  let last = 0
  await until(async () => {
    for (let i = 0; i < 20; i++) await one.ask('/y', `{"i":"${i} ${performance.now()}"}`)
    const before = last
    last = (await keysOf([server])).length
    return last > 0 && last === before
  })
  assert.ok(await used() < 4_194_304)
  assert.match(await other.ask('/x', '{"i":0}'), /^hit/)
  assert.ok(![...one.said, ...other.said].some((line) => line.includes('out of reach')), one.said.join('\n'))
})

test('a user with the permissions of the documentation, and no others, is enough', async (t) => {
  const [, rules = ''] = /user proxy (on >PASSWORD [^#]*)/.exec(await readFile(join(import.meta.dirname, '../../docs/limits.md'), 'utf8')) ?? []
  const user = `proxy ${rules.replace('PASSWORD', 'secret').replaceAll(/\s+/g, ' ').trim()}`
  const server = await startRedis(['default off', user, 'root on >root ~* &* +@all'].flatMap((one) => ['--user', ...one.split(' ')]), { auth: ['root', 'root'] })
  t.after(() => server.end())
  const upstream = await counting(t)
  const [one, other] = [await proxyAt(t, unhurried(server.url.replace('//', '//proxy:secret@')), upstream), await proxyAt(t, unhurried(server.url.replace('//', '//proxy:secret@')), upstream)]
  await ready(one, other)
  await storing([server], 1, () => one.ask('/x', '{}'))
  assert.equal(await other.ask('/x', '{}'), 'hit answer 1')
  const purged = await (await fetch(`${one.urls.admin}/cache`, { method: 'DELETE' })).json() as Record<string, unknown>
  assert.equal(purged['told'], true)
  assert.match(await server.ask('ACL', 'LOG'), /\*0$/)
})

test('several answers to one request are told apart there too, and none is given to another tenant\'s route', async (t) => {
  const server = await startRedis()
  t.after(() => server.end())
  const upstream = await counting(t, { vary: 'accept-language' })
  const [one, other] = [await proxyAt(t, unhurried(server.url), upstream), await proxyAt(t, unhurried(server.url), upstream)]
  await ready(one, other)
  assert.equal(await storing([server], 2, () => one.ask('/x', '{}', { 'accept-language': 'de' })), 'miss answer 1')
  assert.equal(await storing([server], 1, () => one.ask('/x', '{}', { 'accept-language': 'en' })), 'miss answer 2')
  assert.equal(await other.ask('/x', '{}', { 'accept-language': 'en' }), 'hit answer 2')
  assert.equal(await other.ask('/x', '{}', { 'accept-language': 'de' }), 'hit answer 1')
  other.activate(active('2', [route({ id: 'other/fraud', tenant: 'other', rules: [rule({ cache: policy })] })], { 'ml/s:80': [upstream] }))
  assert.equal(await other.ask('/x', '{}', { 'accept-language': 'de' }), 'miss answer 3')
})

describe('when the store is not what it should be', () => {
  let server: Server
  let toxiproxy: Toxiproxy
  before(async () => {
    server = await startRedis()
    toxiproxy = await startToxiproxy(server.port)
  })
  afterEach(() => toxiproxy.enable(true))
  after(async () => {
    await toxiproxy.end()
    await server.end()
  })

  test('what is kept there and was changed, cut, or moved to another key is none, and the next answer takes its place', async (t) => {
    const upstream = await counting(t)
    const proxy = await proxyAt(t, unhurried(server.url), upstream)
    await ready(proxy)
    const keys = () => keysOf([server])
    await server.ask('FLUSHALL')
    assert.equal(await proxy.ask('/x', '{"a":1}'), 'miss answer 1')
    await until(async () => (await keys()).length === 1)
    const [key = ''] = await keys()
    const spoil: readonly (readonly string[])[] = [['SETRANGE', key, '60', 'spoiled'], ['SETRANGE', key, '0', 'x'], ['SET', key, ''], ['SET', key, 'mra1'], ['DEL', key]]
    for (const [i, words] of spoil.entries()) {
      await server.ask(...words)
      if (i === spoil.length - 1) await server.ask('RPUSH', key, 'a list')
      const another = await proxyAt(t, unhurried(server.url), upstream)
      await ready(another)
      assert.equal(await another.ask('/x', '{"a":1}'), `miss answer ${2 + i}`, words.join(' '))
      await until(async () => (await server.ask('GET', key)).includes(`answer ${2 + i}`))
      assert.ok(!another.said.some((line) => line.includes('out of reach')), another.said.join('\n'))
    }
    // The answer to another request, under this key.
    await proxy.ask('/x', '{"a":2}')
    await until(async () => (await keys()).length === 2)
    const from = (await keys()).find((one) => one !== key) ?? ''
    await server.ask('COPY', from, key, 'REPLACE')
    const another = await proxyAt(t, unhurried(server.url), upstream)
    await ready(another)
    assert.match(await another.ask('/x', '{"a":1}'), /^miss/)
  })

  const ways: Record<string, (server: Server, proxy: Toxiproxy) => Promise<() => Promise<void>>> = {
    'stalled (SIGSTOP)': (stopped) => {
      stopped.signal('SIGSTOP')
      return Promise.resolve(() => Promise.resolve(stopped.signal('SIGCONT')))
    },
    'slow (half a second for each answer)': (_, proxy) => proxy.toxic('latency', { latency: 500 }),
    'silent (nothing comes back)': (_, proxy) => proxy.toxic('timeout', { timeout: 0 }),
    'gone (nobody listens)': async (_, proxy) => {
      await proxy.enable(false)
      return () => proxy.enable(true)
    },
  }
  for (const [name, away] of Object.entries(ways)) {
    test(`${name}: those who ask then wait once and not for long, nobody waits after them, and it is asked again when it is well`, { timeout: 120_000 }, async (t) => {
      const upstream = await counting(t)
      const proxy = await proxyAt(t, `${toxiproxy.url}?cache-patience=50ms`, upstream)
      await ready(proxy)
      const trips = () => proxy.said.filter((line) => line.includes('out of reach')).length
      let asked = 0
      // Each is another question: only the store could make it wait.
      const ask = async () => {
        const since = performance.now()
        assert.match(await proxy.ask('/x', `{"name":"${name}","i":${asked++}}`), /^miss/)
        return performance.now() - since
      }
      for (let i = 0; i < 20; i++) await ask()
      const back = await away(server, toxiproxy)
      const before = trips()
      await until(async () => {
        await ask()
        return trips() > before
      })
      const machine = watchMachine()
      const during = [await ask(), await ask(), await ask(), await ask(), await ask()].sort((a, b) => a - b)
      // None of them waited for it: the least of five is far from the patience, however busy the machine is.
      inTime(t, 'a request', during[0] ?? Infinity, 40, machine())
      t.diagnostic(`a request then: ${during.map((one) => one.toFixed(1)).join(', ')} ms`)
      await back()
      const known = proxy.said.length
      await until(() => proxy.said.slice(known).some((line) => line.startsWith(there)), 30_000)
    })
  }

  test('what was purged while it was away is purged for all once it is back', { timeout: 120_000 }, async (t) => {
    const upstream = await counting(t)
    const [one, other] = [await proxyAt(t, unhurried(toxiproxy.url), upstream), await proxyAt(t, unhurried(server.url), upstream)]
    await ready(one, other)
    const [, first = ''] = (await storing([server], 1, () => one.ask('/later', '{}'))).split('miss ')
    assert.equal(await other.ask('/later', '{}'), `hit ${first}`)
    await toxiproxy.enable(false)
    await until(() => one.said.some((line) => line.includes('out of reach')))
    const purged = await (await fetch(`${one.urls.admin}/cache`, { method: 'DELETE' })).json() as Record<string, unknown>
    assert.equal(purged['told'], false)
    assert.equal(await other.ask('/later', '{}'), `hit ${first}`)
    await toxiproxy.enable(true)
    await until(async () => !(await other.ask('/later', '{}')).includes(first), 30_000)
  })
})
