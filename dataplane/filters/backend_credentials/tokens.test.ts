import assert from 'node:assert/strict'
import test from 'node:test'
import type { Answered, OutgoingCall, Unanswered } from '../../../outgoing/call.ts'
import { Vault } from '../../vault.ts'
import { createBackendTokens, type TokenTerms } from './tokens.ts'

const terms: TokenTerms = {
  kind: 'oauth2', token: { url: 'https://id.example.com/token', loopback: false }, client: 'ml/client', scopes: ['a', 'b'],
}
const base64 = (text: string) => Buffer.from(text).toString('base64')
const client = (password = 'p:w d') => ({ id: 'ml/client', data: { client_id: base64('me\n'), client_secret: base64(password) } })

const granted = (body: object, status = 200): Answered => ({ status, header: () => undefined, body: Buffer.from(JSON.stringify(body)) })

function fixture(answer: (n: number) => Answered | Unanswered) {
  const calls: OutgoingCall[] = []
  const vault = new Vault()
  vault.follow({ credentials: new Map(), secrets: new Map([['ml/client', client()]]) })
  const clock = { now: 1_000_000 }
  const waiting: (() => void)[] = []
  const tokens = createBackendTokens({
    vault,
    now: () => clock.now,
    outgoing: (call) => {
      calls.push(call)
      const n = calls.length
      return new Promise((resolve) => waiting.push(() => resolve(answer(n))))
    },
  })
  const release = async () => {
    for (const go of waiting.splice(0)) go()
    for (let i = 0; i < 5; i++) await Promise.resolve()
  }
  const get = async () => {
    const token = tokens('ml', terms)
    if (token instanceof Promise) await release()
    return token
  }
  return { tokens, calls, clock, vault, release, get }
}

test('one fetch for everybody who waits, by the client credentials grant, and then none while the token holds', async () => {
  const { tokens, calls, release, clock } = fixture((n) => granted({ access_token: `t${n}`, token_type: 'Bearer', expires_in: 100 }))
  const all = Array.from({ length: 50 }, async () => tokens('ml', terms))
  await release()
  for (const one of await Promise.all(all)) assert.deepEqual(one, { token: 't1' })
  assert.equal(calls.length, 1)
  assert.equal(calls[0]?.body, 'grant_type=client_credentials&scope=a+b')
  const [, basic = ''] = /^Basic (.*)$/.exec(calls[0]?.headers?.['authorization'] ?? '') ?? []
  assert.equal(Buffer.from(basic, 'base64').toString(), 'me:p%3Aw+d')
  clock.now += 79_000
  assert.deepEqual(tokens('ml', terms), { token: 't1' }, 'at once, not as a promise')
  assert.equal(calls.length, 1)
})

test('it is renewed beside being used, and never used after its end', async () => {
  const { tokens, calls, release, clock, get } = fixture((n) => granted({ access_token: `t${n}`, expires_in: 100 }))
  await get()
  clock.now += 85_000
  assert.deepEqual(tokens('ml', terms), { token: 't1' })
  assert.deepEqual(tokens('ml', terms), { token: 't1' })
  assert.equal(calls.length, 2)
  await release()
  assert.deepEqual(tokens('ml', terms), { token: 't2' })
  clock.now += 96_000
  assert.ok(tokens('ml', terms) instanceof Promise)
})

test('a failing endpoint is asked ever more rarely, while the token that there is goes on', async () => {
  const { calls, clock, get, tokens, release } = fixture((n) => (n === 1 ? granted({ access_token: 't1', expires_in: 1000 }) : granted({}, 500)))
  await get()
  clock.now += 900_000
  assert.deepEqual(tokens('ml', terms), { token: 't1' })
  await release()
  for (let i = 0; i < 100; i++) assert.deepEqual(tokens('ml', terms), { token: 't1' })
  assert.equal(calls.length, 2)
  clock.now += 100_000
  const before = calls.length
  for (let second = 0; second < 120; second++) {
    clock.now += 1000
    const token = await get()
    assert.ok('why' in token && /answered 500/.test(token.why))
  }
  assert.ok(calls.length - before >= 4 && calls.length - before <= 10, `${calls.length - before} calls in two minutes`)
})

test('another client secret fetches another token at once', async () => {
  const { calls, vault, get } = fixture((n) => granted({ access_token: `t${n}`, expires_in: 1000 }))
  assert.deepEqual(await get(), { token: 't1' })
  vault.follow({ credentials: new Map(), secrets: new Map([['ml/client', client('new')]]) })
  assert.deepEqual(await get(), { token: 't2' })
  assert.equal(calls.length, 2)
  vault.follow({ credentials: new Map(), secrets: new Map() })
  assert.ok('why' in (await get()))
  assert.equal(calls.length, 2)
})

for (const [what, answer, why] of [
  ['that is no JSON', { status: 200, header: () => undefined, body: Buffer.from('canary') }, /no JSON/],
  ['without a token', granted({ token: 'canary' }), /no token/],
  ['with a token that would end the header', granted({ access_token: 'canary\r\nx: y' }), /no token/],
  ['with a token of another type', granted({ access_token: 'canary', token_type: 'mac' }), /no bearer/],
  ['that redirects', { failed: 'redirected', why: 'redirects are not followed' }, /redirects/],
] as const) {
  test(`an answer ${what} gives no token, and is not quoted`, async () => {
    const { get } = fixture(() => answer)
    const token = await get()
    assert.ok('why' in token)
    assert.match(token.why, why)
    assert.ok(!token.why.includes('canary'))
  })
}
