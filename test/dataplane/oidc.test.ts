import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { authenticatorsOf } from '../../dataplane/filters/auth/create.ts'
import { Vault } from '../../dataplane/vault.ts'
import type { Auth } from '../../table/principal.ts'
import { client, identityProvider } from '../tokens/oidc.ts'
import { signer } from '../tokens/sign.ts'
import { inTime, watchMachine } from '../machine.ts'
import { testProxy } from './proxy.ts'
import { httpUpstream } from './sockets.ts'
import { active, route, rule } from './table.ts'

const [one, two, three] = [signer('RS256', 'one'), signer('RS256', 'two'), signer('RS256', 'three')]
const claims = { consumer: 'sub', groups: 'groups', tier: 'tier', scopes: 'scope' }

/** A proxy that lets in by these terms, its clock ahead by as much as is said. */
async function setUp(t: TestContext, terms: (issuer: string) => Auth['anyOf'][number]) {
  const idp = await identityProvider(t, one)
  const clock = { ahead: 0 }
  const vault = new Vault()
  const port = await httpUpstream(t, (request, response) => {
    response.end(JSON.stringify({ consumer: request.headers['x-modelroute-consumer'], authorization: request.headers.authorization }))
  })
  const table = active('1', [route({ rules: [rule({ auth: { anyOf: [terms(idp.issuer)], anonymous: false } })] })], { 'ml/s:80': [port] })
  const data = { client_id: Buffer.from('resource server').toString('base64'), client_secret: Buffer.from(client.client_secret).toString('base64') }
  const authenticators = authenticatorsOf(vault, { log() {}, now: () => Date.now() + clock.ahead })
  const proxy = await testProxy(t, { ...table, secrets: new Map([['ml/client', { id: 'ml/client', data }]]) }, { vault, filterDeps: { authenticators } })
  const call = async (token: string) => {
    const started = performance.now()
    const answer = await fetch(`${proxy.url}/v2/models/a/infer`, { method: 'POST', body: '{}', headers: { authorization: `Bearer ${token}` } })
    const body = await answer.json() as Record<string, string>
    return { status: answer.status, code: answer.headers.get('x-modelroute-error'), took: performance.now() - started, body, challenge: answer.headers.get('www-authenticate') }
  }
  return { idp, clock, call, proxy }
}

test('tokens of an OpenID provider: discovery, a new key, a withdrawn one, an outage, and its end', async (t) => {
  const { idp, clock, call, proxy } = await setUp(t, (issuer) => ({
    kind: 'jwt', issuer, audiences: ['urn:models:jwt'], algorithms: ['RS256'], keys: { from: 'discover', url: issuer, loopback: true }, leeway: 30_000, claims,
  }))
  const first = await idp.token('jwt')
  const answer = await call(first)
  assert.deepEqual([answer.status, answer.body], [200, { consumer: 'gateway' }])
  await Promise.all(Array.from({ length: 50 }, () => call(first)))
  assert.equal(idp.seen.get('/jwks'), 1)

  // Another key signs; the one before is still there.
  idp.rotate(two, one)
  const second = await idp.token('jwt')
  assert.deepEqual([(await call(second)).code, idp.seen.get('/jwks')], ['unauthenticated', 1], 'not so soon')
  clock.ahead += 30_000
  assert.equal((await call(second)).status, 200)
  assert.equal((await call(first)).status, 200)
  assert.equal(idp.seen.get('/jwks'), 2)

  // The first key is withdrawn: what it signed counts no longer, though it was let in before.
  idp.rotate(two)
  clock.ahead += 300_000
  await call(second)
  for (let i = 0; (await call(first)).status === 200; i++) assert.ok(i < 1000)
  assert.equal((await call(first)).code, 'unauthenticated')
  assert.match((await call(first)).challenge ?? '', /^Bearer realm="modelroute", error="invalid_token"$/)
  assert.equal((await call(second)).status, 200)

  // An outage: a token of a key that is here goes on, seen before or not; what cannot be told is told at once.
  const unseen = await idp.token('jwt')
  idp.rotate(three, two)
  const third = await idp.token('jwt')
  idp.state('reset')
  clock.ahead += 300_000
  assert.equal((await call(second)).status, 200)
  assert.equal((await call(unseen)).status, 200)
  for (let i = 0; i < 20; i++) {
    const machine = watchMachine()
    const refused = await call(third)
    assert.deepEqual([refused.status, refused.code], [503, 'auth_unavailable'])
    inTime(t, 'to be told', refused.took, 1000, machine())
  }
  idp.state('up')
  clock.ahead += 30_000
  assert.equal((await call(third)).status, 200)
  assert.equal((await call(second)).status, 200)

  const causes = proxy.lines().map((line) => line['cause'])
  assert.ok(causes.includes('no key of its issuer fits it') && causes.some((cause) => String(cause).includes('cannot be had')))
  for (const token of [first, second, unseen, third]) assert.ok(!proxy.text().includes(token.slice(-40)), 'no token in the log')
})

test('opaque tokens of an OpenID provider: introspection, revocation, an outage, and its end', async (t) => {
  const { idp, clock, call, proxy } = await setUp(t, (issuer) => ({
    kind: 'introspection', endpoint: { url: `${issuer}/token/introspection`, loopback: true }, client: 'ml/client', cache: 30_000,
    claims: { ...claims, consumer: 'client_id' },
  }))
  const asked = () => idp.seen.get('/token/introspection')
  const first = await idp.token('opaque')
  const answers = await Promise.all(Array.from({ length: 50 }, () => call(first)))
  assert.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${body['consumer']}`)), new Set(['200 gateway']))
  assert.equal(asked(), 1)
  assert.equal((await call('made-up')).code, 'unauthenticated')
  assert.equal((await call('made-up')).code, 'unauthenticated')
  assert.equal(asked(), 2)

  const kept = await idp.token('opaque')
  await idp.revoke(first)
  clock.ahead += 30_000
  assert.equal((await call(first)).code, 'unauthenticated')
  assert.equal((await call(kept)).status, 200)

  for (const state of ['reset', 'silent'] as const) {
    const unseen = await idp.token('opaque')
    idp.state(state)
    const before = asked() ?? 0
    for (let i = 0; i < 20; i++) {
      const machine = watchMachine()
      const refused = await call(unseen)
      assert.deepEqual([refused.status, refused.code], [503, 'auth_unavailable'])
      inTime(t, 'to be told', refused.took, 3500, machine())
    }
    assert.ok((asked() ?? 0) <= before + 2)
    assert.equal((await call(kept)).status, 200)
    idp.state('up')
    clock.ahead += 10_000
    assert.equal((await call(unseen)).status, 200)
  }
  for (const token of [first, kept]) assert.ok(!proxy.text().includes(token), 'no token in the log')
})
