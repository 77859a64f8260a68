import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test, type TestContext } from 'node:test'
import { Names, type NameAddress } from '../../dataplane/upstream/names.ts'
import { testProxy } from './proxy.ts'
import { eventually } from './sockets.ts'
import { active, route, rule, variant } from './table.ts'

/** One port on several loopback addresses: the servers behind one name. */
async function servers(t: TestContext, ...addresses: string[]) {
  const hits = new Map<string, number>()
  let port = 0
  for (const address of addresses) {
    const server = createServer((request, response) => {
      hits.set(address, (hits.get(address) ?? 0) + 1)
      response.end(request.headers.host)
    })
    server.listen(port, address)
    await once(server, 'listening')
    ;({ port } = server.address() as { port: number })
    t.after(() => {
      server.close()
      server.closeAllConnections()
    })
  }
  return { port, hits }
}

const at = (...addresses: string[]): NameAddress[] => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

function setUp(t: TestContext, port: number, answers: { now: NameAddress[] | undefined }, ttl = 5000) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const names = new Names(() => answers.now === undefined ? Promise.reject(new Error('SERVFAIL')) : Promise.resolve({ addresses: answers.now, ttl }))
  const target = { kind: 'url', url: `http://models.test:${port}`, loopback: true } as const
  return testProxy(t, active('1', [route({ rules: [rule({ variants: [variant('stable', '', { target })], timeouts: {} })] })], {}), { names })
}

const get = async (url: string) => (await fetch(url)).text()

test('each address that a name leads to is an endpoint, and is let go when it leads there no more', { timeout: 120_000 }, async (t) => {
  const { port, hits } = await servers(t, '127.0.0.2', '127.0.0.3', '127.0.0.4')
  const answers = { now: at('127.0.0.2', '127.0.0.3') as NameAddress[] | undefined }
  const proxy = await setUp(t, port, answers)
  await eventually(() => true)
  for (let i = 0; i < 10; i++) assert.equal(await get(proxy.url), `models.test:${port}`)
  assert.deepEqual([...hits], [['127.0.0.2', 5], ['127.0.0.3', 5]])
  answers.now = at('127.0.0.4')
  t.mock.timers.tick(5000)
  await new Promise((resolve) => { setImmediate(resolve) })
  for (let i = 0; i < 4; i++) await get(proxy.url)
  assert.equal(hits.get('127.0.0.4'), 4)
  answers.now = undefined
  t.mock.timers.tick(5000)
  await new Promise((resolve) => { setImmediate(resolve) })
  await get(proxy.url)
  assert.equal(hits.get('127.0.0.4'), 5, 'a resolver that fails takes nothing away')
  answers.now = at('127.0.0.2', '169.254.169.254')
  t.mock.timers.tick(5000)
  await new Promise((resolve) => { setImmediate(resolve) })
  for (let i = 0; i < 4; i++) await get(proxy.url)
  assert.equal(hits.get('127.0.0.2'), 9, 'an address that a URL may not lead to is no endpoint')
})

test('an address of a name that does not answer is passed by: the connection goes to the next', { timeout: 120_000 }, async (t) => {
  const { port, hits } = await servers(t, '127.0.0.2')
  const proxy = await setUp(t, port, { now: at('127.0.0.2', '127.0.0.9', '::1') })
  for (let i = 0; i < 9; i++) await get(proxy.url)
  assert.equal(hits.get('127.0.0.2'), 9)
})
