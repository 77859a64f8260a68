import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, beforeEach, describe, test, type TestContext } from 'node:test'
import { connectAnswers } from '../../dataplane/cache/redis/connect.ts'
import { parseRedisUrl } from '../../dataplane/limits/redis/url.ts'
import type { Cache } from '../../table/cache.ts'
import { testProxy } from '../dataplane/proxy.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { active, route, rule, variant } from '../dataplane/table.ts'
import { redis8 } from './redis8.ts'
import { startRedis, until, type Server } from './servers.ts'

const cache: Cache = {
  ttl: 60_000, scope: 'Shared', maxBytes: 16_777_216, maxEntryBytes: 1_048_576, headers: [], pointers: [], tags: [], billed: 100,
  semantic: { threshold: 0.95, text: '/prompt', embedding: variant('embedding', 'ml/e:80'), model: 'e5', verify: 0, wrong: 0.01 },
}

/** Proxies that share a store, a model, and vectors of so many numbers: texts about cats point one way, others another. */
async function fleetOf(t: TestContext, server: Server, dimensions = 4) {
  let calls = 0
  const model = await httpUpstream(t, (asked, response) => { asked.resume().on('end', () => response.end(`answer ${++calls}`)) })
  const embedder = await httpUpstream(t, (asked, response) => {
    let text = ''
    asked.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => {
      response.end(JSON.stringify({ data: [{ embedding: Array.from({ length: dimensions }, (_, at) => at === (/cat/.test(text) ? 0 : 1) ? 1 : text.length / 10_000) }] }))
    })
  })
  const redis = parseRedisUrl(`${server.url}?cache-patience=3000ms`)
  assert.ok(typeof redis !== 'string')
  const proxy = async (more: Partial<Cache> = {}, id = 'ml/fraud') => {
    const said: string[] = []
    const answers = await connectAnswers({ redis, say: (_, message) => said.push(message) })
    const { url } = await testProxy(t, active('1', [route({ id, rules: [rule({ cache: { ...cache, ...more } })] })], { 'ml/s:80': [model], 'ml/e:80': [embedder] }), { answers })
    await until(() => said.includes('the store of answers is there'))
    const port = new URL(url).port
    return {
      said,
      // All proxies of a fleet are called by one name.
      ask(prompt: string, more: object = {}) {
        return new Promise<string>((resolve, reject) => {
          request({ host: '127.0.0.1', port, path: '/v1/models/fraud:predict', method: 'POST', headers: { host: 'models.example.com', 'content-type': 'application/json' } }, (answer) => {
            let text = `${String(answer.headers['x-modelroute-cache'])} `
            answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).once('end', () => resolve(text))
          }).once('error', reject).end(JSON.stringify({ prompt, ...more }))
        })
      },
    }
  }
  return { proxy }
}

const textsIn = async (server: Server) => (await server.ask('KEYS', 'modelroute:*:texts:*')).split('\r\n').filter((line) => line.startsWith('modelroute')).length
const storing = async (server: Server, act: () => Promise<string>) => {
  const sets = await textsIn(server)
  const answer = await act()
  await until(async () => await textsIn(server) > sets && (await server.ask('KEYS', 'modelroute:*:answer:*')).includes('modelroute'))
  return answer
}

describe('a store with sets of vectors', () => {
  let server: Server
  before(async () => { server = await startRedis([], { start: await redis8() }) })
  beforeEach(() => server.ask('FLUSHALL'))
  after(() => server.end())

  test('a text that one proxy was asked is near to one that another is asked, and to no other', async (t) => {
    const { proxy } = await fleetOf(t, server)
    const [one, other] = [await proxy(), await proxy()]
    assert.equal(await storing(server, () => one.ask('What do cats eat?')), 'miss answer 1')
    assert.equal(await other.ask('What does a cat eat?'), 'semantic-hit answer 1')
    assert.equal(await other.ask('What do dogs eat?'), 'miss answer 2')
    assert.equal(await other.ask('What do cats not eat?'), 'miss answer 3')
    assert.equal(await other.ask('What does a cat eat?', { top_k: 1 }), 'miss answer 4')
  })

  test('what another route or another version of a rule keeps is near to nothing', async (t) => {
    const { proxy } = await fleetOf(t, server)
    const [one, edited, another] = [await proxy(), await proxy({ ttl: 50_000 }), await proxy({}, 'ml/other')]
    assert.equal(await storing(server, () => one.ask('Where do cats sleep?')), 'miss answer 1')
    for (const each of [edited, another]) assert.match(await each.ask('Where does a cat sleep?'), /^miss /)
  })

  test('vectors of another length are kept apart by each proxy, and disturb nothing', async (t) => {
    const [{ proxy: short }, { proxy: long }] = [await fleetOf(t, server, 5), await fleetOf(t, server, 6)]
    const [one, other] = [await short(), await long()]
    assert.match(await storing(server, () => one.ask('Why do cats purr?')), /^miss /)
    assert.match(await other.ask('Why does a cat purr?'), /^miss /)
    assert.match(await other.ask('why do a cat purr?'), /^semantic-hit /)
    assert.ok(!other.said.some((line) => line.includes('out of reach')))
  })
})

test('a store without sets of vectors is asked once, and each proxy compares the texts that it knows', async (t) => {
  const server = await startRedis()
  t.after(() => server.end())
  const { proxy } = await fleetOf(t, server)
  const [one, other] = [await proxy(), await proxy()]
  assert.equal(await one.ask('What do cats eat?'), 'miss answer 1')
  assert.equal(await one.ask('What does a cat eat?'), 'semantic-hit answer 1')
  assert.equal(await other.ask('What does a cat eat?'), 'miss answer 2')
  if (!/redis_version:(?:8|9)/.test(await server.ask('INFO', 'server'))) {
    await until(() => one.said.includes('the store of answers has no sets of vectors; each proxy compares the texts that it knows'))
  }
  assert.ok(!one.said.some((line) => line.includes('out of reach')))
})
