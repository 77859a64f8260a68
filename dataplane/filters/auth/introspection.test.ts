import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answered, Outgoing, OutgoingCall } from '../../../outgoing/call.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { createIntrospectionVerifier, type IntrospectionTerms } from './introspection.ts'
import { Verified } from './verified.ts'

const terms: IntrospectionTerms = {
  kind: 'introspection', endpoint: { url: 'https://idp.example/introspect', loopback: false }, client: 'ml/client', cache: 30_000,
  claims: { consumer: 'sub', groups: 'groups', tier: 'tier', scopes: 'scope' },
}
const active = { active: true, sub: 'ann', scope: 'read write', exp: 1_800_000_300, org: 'acme' }
type Reply = Readonly<Record<string, unknown>> | Error | number | string

/** A clock that stands, and a server that answers what it is told to. */
function setUp(more: Partial<IntrospectionTerms> = {}) {
  const server = { reply: active as Reply, calls: [] as OutgoingCall[], hold: undefined as Promise<void> | undefined }
  const time = { now: 1_800_000_000_000 }
  const secrets = new Map([['client_id', 'gate way'], ['client_secret', 'p:ss%wörd']])
  const outgoing: Outgoing = async (call) => {
    server.calls.push(call)
    await server.hold
    const { reply } = server
    if (reply instanceof Error) return { failed: 'timeout', why: reply.message }
    const answer: Answered = {
      status: typeof reply === 'number' ? reply : typeof reply === 'object' && 'error' in reply ? 400 : 200, header: () => undefined,
      body: Buffer.from(typeof reply === 'object' ? JSON.stringify(reply) : String(reply)),
    }
    return answer
  }
  const verify = createIntrospectionVerifier({ ...terms, ...more }, {
    outgoing, secret: (id, key) => id === 'ml/client' && secrets.has(key) ? Buffer.from(secrets.get(key) ?? '') : undefined,
    verified: new Verified(1_000_000), id: 'a', now: () => time.now,
  })
  const ask = (token: string) => verify({ header: (name: string) => name === 'authorization' ? `Bearer ${token}` : undefined } as Exchange)
  const outcome = async (token: string) => {
    const verdict = await ask(token)
    return verdict === undefined ? undefined : 'code' in verdict ? verdict.code : verdict.consumer
  }
  return { server, time, secrets, ask, outcome }
}

test('a token is asked about with the credentials of the client, in the body, and its claims say who calls', async () => {
  const { server, ask } = setUp()
  const verdict = await ask('opaque+token/=')
  assert.ok(verdict !== undefined && !('code' in verdict))
  assert.deepEqual([verdict.via, verdict.consumer, verdict.scopes, verdict.claims.get('org')], ['introspection', 'ann', ['read', 'write'], 'acme'])
  const [call] = server.calls
  assert.deepEqual([call?.method, call?.to, call?.body], ['POST', terms.endpoint, 'token=opaque%2Btoken%2F%3D&token_type_hint=access_token'])
  assert.equal(Buffer.from(call?.headers?.['authorization']?.slice(6) ?? '', 'base64').toString(), 'gate+way:p%3Ass%25w%C3%B6rd')
})

test('an answer is believed for as long as the cache allows, and a token that was revoked no longer', async () => {
  const { server, time, ask, outcome } = setUp()
  await ask('t')
  server.reply = { active: false }
  time.now += 29_999
  assert.ok(!(ask('t') instanceof Promise), 'no waiting for what is known')
  assert.equal(await outcome('t'), 'ann')
  time.now += 1
  assert.equal(await outcome('t'), 'unauthenticated')
  assert.equal(server.calls.length, 2)
})

test('an answer is never believed beyond the end of the token', async () => {
  const { server, time, outcome } = setUp()
  server.reply = { ...active, exp: 1_800_000_005 }
  assert.equal(await outcome('t'), 'ann')
  time.now += 5000
  assert.equal(await outcome('t'), 'token_expired')
  assert.equal(server.calls.length, 2)
})

test('many who send one token ask once', async () => {
  const { server, outcome } = setUp()
  const all = await Promise.all(Array.from({ length: 100 }, () => outcome('t')))
  assert.deepEqual([new Set(all), server.calls.length], [new Set(['ann']), 1])
})

test('a token that is not active is remembered for a little', async () => {
  const { server, time, outcome } = setUp()
  server.reply = { active: false }
  for (let i = 0; i < 100; i++) assert.equal(await outcome('t'), 'unauthenticated')
  assert.equal(server.calls.length, 1)
  time.now += 10_000
  await outcome('t')
  assert.equal(server.calls.length, 2)
})

test('made-up tokens push out none that is known, and questions under way are bounded', async () => {
  const { server, ask, outcome } = setUp()
  await outcome('known')
  server.reply = { active: false }
  for (let i = 0; i < 3000; i++) await outcome(`made-up-${i}`)
  const before = server.calls.length
  assert.equal(await outcome('known'), 'ann')
  assert.equal(server.calls.length, before)
  const { promise, resolve } = Promise.withResolvers<void>()
  server.hold = promise
  const waiting = Array.from({ length: 64 }, (_, i) => ask(`slow-${i}`))
  const beyond = ask('slow-64')
  assert.ok(beyond !== undefined && 'code' in beyond && beyond.code === 'auth_unavailable')
  resolve()
  await waiting[63]
  assert.equal(server.calls.length, before + 64)
})

for (const [what, reply] of Object.entries<Reply>({
  'does not answer': new Error('no answer in time'), 'fails': 500, 'knows us no longer': 401, 'redirects': { failed: 'redirected', why: '' },
  'answers a page': '<html>', 'answers without a verdict': { sub: 'ann' }, 'answers "true"': { active: 'true', sub: 'ann' }, 'answers twice': '{"active":false,"active":true,"sub":"ann"}',
})) {
  test(`a server that ${what}: nobody can tell, it is left in peace for a while, and it heals`, async () => {
    const { server, time, outcome } = setUp()
    assert.equal(await outcome('known'), 'ann')
    server.reply = reply
    for (let i = 0; i < 100; i++) assert.equal(await outcome(`t${i}`), 'auth_unavailable')
    assert.equal(server.calls.length, 2)
    assert.equal(await outcome('known'), 'ann')
    server.reply = active
    time.now += 1000
    assert.equal(await outcome('t1'), 'ann')
    assert.equal(await outcome('t2'), 'ann')
  })
}

test('a token that its server chokes on keeps no other out', async () => {
  const { server, outcome } = setUp()
  server.reply = 400
  assert.equal(await outcome('strange'), 'auth_unavailable')
  server.reply = active
  assert.equal(await outcome('usual'), 'ann')
})

test('a token that its server says is none of its own is refused, and not asked about again at once', async () => {
  const { server, outcome } = setUp()
  server.reply = { error: 'unsupported_token_type' }
  for (let i = 0; i < 10; i++) assert.equal(await outcome('t'), 'unauthenticated')
  assert.equal(server.calls.length, 1)
  server.reply = { error: 'invalid_client' }
  assert.equal(await outcome('u'), 'auth_unavailable')
})

test('without the secret of the client nobody can tell, and nobody is asked', async () => {
  const { server, secrets, outcome } = setUp()
  secrets.delete('client_secret')
  assert.equal(await outcome('t'), 'auth_unavailable')
  assert.equal(server.calls.length, 0)
  secrets.set('client_secret', 'x')
  assert.equal(await outcome('t'), 'ann')
})

for (const [reply, expected] of [
  [{ active: true }, 'unauthenticated'], [{ ...active, sub: undefined, client_id: 'job' }, 'unauthenticated'], [{ ...active, nbf: 1_800_000_010 }, 'unauthenticated'],
  [{ ...active, exp: 'x' }, 'unauthenticated'], [{ ...active, exp: 1 }, 'token_expired'], [{ ...active, exp: undefined }, 'ann'], [{ active: false, sub: 'ann' }, 'unauthenticated'],
] as const) {
  test(`introspected as ${JSON.stringify(reply)}: ${expected}`, async () => {
    const { server, outcome } = setUp()
    server.reply = reply
    assert.equal(await outcome('t'), expected)
  })
}
