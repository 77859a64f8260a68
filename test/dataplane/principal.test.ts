import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure } from '../../dataplane/pipeline/errors.ts'
import { anonymous, type Authenticate, type Verdict } from '../../dataplane/pipeline/principal.ts'
import { testProxy } from './proxy.ts'
import { eventually, httpUpstream, rawClient } from './sockets.ts'
import { active, match, route, rule, variant } from './table.ts'

const auth = { anyOf: [], anonymous: true }
const pro = { consumers: [], groups: [], tiers: ['pro'], claims: [{ name: 'org', value: 'acme' }] }

/** Two rules of one path: `pro` for those whom a match asks for, `rest` for everybody else. */
const table = (port: number) => active('1', [route({
  rules: [
    rule({ name: 'pro', auth, matches: [match('/', { principal: pro })], variants: [variant('pro', 'ml/s:80')] }),
    rule({ name: 'rest', variants: [variant('rest', 'ml/s:80')] }),
  ],
})], { 'ml/s:80': [port] })

const acme: Verdict = { ...anonymous, via: 'jwt', consumer: 'ann', tier: 'pro', groups: ['a,b', 'c'], claims: new Map([['org', ['x', 'acme']]]) }

for (const how of ['at once', 'after a while'] as const) {
  test(`a match on who calls is settled ${how}, and its backend is told`, async (t) => {
    let asked = 0
    const authenticate: Authenticate = (exchange) => {
      asked++
      const verdict = exchange.header('x-key') === 'good' ? acme : anonymous
      return how === 'at once' ? verdict : new Promise((resolve) => setImmediate(resolve, verdict))
    }
    const port = await httpUpstream(t, (request, response) => {
      response.end(JSON.stringify(Object.entries(request.headers).filter(([name]) => name.startsWith('x-modelroute-'))))
    })
    const proxy = await testProxy(t, table(port), { filterDeps: { authenticators: () => authenticate } })
    const good = await fetch(proxy.url, { headers: { 'x-key': 'good', 'x-modelroute-tier': 'enterprise' } })
    assert.equal(good.headers.get('x-modelroute-variant'), 'pro')
    assert.deepEqual(await good.json(), [
      ['x-modelroute-consumer', 'ann'], ['x-modelroute-groups', 'a%2Cb,c'], ['x-modelroute-tier', 'pro'],
    ])
    assert.equal(asked, 1, 'a request is authenticated once by the same terms')
    const other = await fetch(proxy.url)
    assert.equal(other.headers.get('x-modelroute-variant'), 'rest')
    assert.deepEqual(await other.json(), [])
  })
}

test('what cannot be told must not choose another rule', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end('served'))
  const proxy = await testProxy(t, table(port), {
    filterDeps: { authenticators: () => () => failure('auth_unavailable', 'Not now.') },
  })
  const answer = await fetch(proxy.url)
  assert.deepEqual([answer.status, answer.headers.get('x-modelroute-error')], [503, 'auth_unavailable'])
})

test('terms by which nobody can prove anything let nobody in', async (t) => {
  const port = await httpUpstream(t, (_, response) => response.end('served'))
  const proxy = await testProxy(t, active('1', [route({ rules: [rule({ auth: { anyOf: [], anonymous: false } })] })], { 'ml/s:80': [port] }))
  assert.equal((await fetch(proxy.url)).status, 503)
})

test('a client that leaves while it is being authenticated is not forwarded', async (t) => {
  let served = 0
  const { promise, resolve } = Promise.withResolvers<Verdict>()
  let asked = false
  const authenticate: Authenticate = () => {
    asked = true
    return promise
  }
  const port = await httpUpstream(t, (_, response) => {
    served++
    response.end()
  })
  const proxy = await testProxy(t, table(port), { filterDeps: { authenticators: () => authenticate } })
  const client = await rawClient(t, proxy.url)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await eventually(() => asked)
  client.socket.destroy()
  await eventually(() => proxy.lines().length === 1)
  resolve(acme)
  await promise
  assert.equal(proxy.lines()[0]?.['code'], 'client_closed')
  assert.equal(served, 0)
})
