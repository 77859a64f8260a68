import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signer } from '../../../test/tokens/sign.ts'
import type { Outgoing, OutgoingCall } from '../../../outgoing/call.ts'
import { FetchedKeys, SecretKeys, type Keys } from './keys.ts'

const [first, second] = [signer('ES256', 'one'), signer('ES256', 'two')]
const setOf = (...signers: readonly (typeof first)[]) => JSON.stringify({ keys: signers.map(({ jwk }) => jwk) })
const ids = (found: Awaited<ReturnType<Keys['find']>>) => typeof found === 'string' ? found : found.map(({ kid }) => kid)
const said = (found: unknown) => typeof found === 'string' ? found : JSON.stringify(found)
const url = 'https://idp.example/jwks'

/** A clock that stands, and an issuer that answers what it is told to. */
function setUp(from: 'uri' | 'discover' = 'uri', address = url) {
  const issuer = { answers: new Map<string, string | number>(), calls: [] as OutgoingCall[], hold: undefined as Promise<void> | undefined }
  const time = { now: 1_800_000_000_000 }
  const logged: string[] = []
  const outgoing: Outgoing = async (call) => {
    issuer.calls.push(call)
    await issuer.hold
    const answer = issuer.answers.get(call.to.url)
    if (answer === undefined) return { failed: 'unreachable', why: 'ECONNREFUSED' }
    return typeof answer === 'number'
      ? { status: answer, header: () => undefined, body: Buffer.of() }
      : { status: 200, header: () => undefined, body: Buffer.from(answer) }
  }
  const keys = new FetchedKeys({ from, url: address, loopback: false }, { outgoing, now: () => time.now, log: (_, message) => logged.push(message) })
  return { issuer, time, keys, logged }
}

test('keys are fetched once for all who wait for them, and then found at once', async () => {
  const { issuer, keys } = setUp()
  issuer.answers.set(url, setOf(first, second))
  const [a, b] = await Promise.all([keys.find('ES256', 'one'), keys.find('ES256', 'two')])
  assert.deepEqual([ids(a), ids(b), issuer.calls.length], [['one'], ['two'], 1])
  const found = keys.find('ES256', undefined)
  assert.ok(!(found instanceof Promise))
  assert.deepEqual(ids(found), ['one', 'two'])
  assert.deepEqual(ids(await keys.find('RS256', 'one')), [])
})

test('10,000 unknown key ids a second for two minutes: one fetch in 30 s', async () => {
  const { issuer, keys, time } = setUp()
  issuer.answers.set(url, setOf(first))
  const at: number[] = []
  let seen = 0
  const started = performance.now()
  for (let tick = 0; tick < 1200; tick++) {
    for (let i = 0; i < 1000; i++) {
      const found = keys.find('ES256', `unknown-${tick}-${i}`)
      if (found instanceof Promise) assert.ok(issuer.calls.length > 0)
      else assert.deepEqual(found, [])
    }
    if (issuer.calls.length > seen) at.push(time.now)
    seen = issuer.calls.length
    // The fetch under way ends.
    await new Promise(setImmediate)
    assert.deepEqual(ids(await keys.find('ES256', 'one')), ['one'])
    time.now += 100
  }
  assert.equal(issuer.calls.length, 4)
  for (let i = 1; i < at.length; i++) assert.ok((at[i] ?? 0) - (at[i - 1] ?? 0) >= 30_000)
  assert.ok(performance.now() - started < 30_000, 'it costs next to nothing')
})

test('an issuer that fails is asked as rarely, and what cannot be told is not refused', async () => {
  const { issuer, keys, time, logged } = setUp()
  for (const answer of [500, 'no json', setOf(), 302, undefined] as const) {
    if (answer === undefined) issuer.answers.delete(url)
    else issuer.answers.set(url, answer)
    assert.match(said(await keys.find('ES256', 'one')), /cannot be had/)
    const before = issuer.calls.length
    for (let i = 0; i < 100; i++) assert.equal(typeof keys.find('ES256', `x${i}`), 'string')
    assert.equal(issuer.calls.length, before)
    time.now += 30_000
  }
  assert.equal(logged.length, 5)
  issuer.answers.set(url, setOf(first))
  assert.deepEqual(ids(await keys.find('ES256', 'one')), ['one'])
  assert.deepEqual(ids(keys.find('ES256', 'unknown') as readonly []), [])
})

test('a key that the issuer has made is fetched when its first token comes, and one that it took away counts no longer', async () => {
  const { issuer, keys, time } = setUp()
  issuer.answers.set(url, setOf(first))
  const [one] = await keys.find('ES256', 'one') as readonly { withdrawn: boolean }[]
  time.now += 30_000
  issuer.answers.set(url, setOf(first, second))
  assert.deepEqual(ids(await keys.find('ES256', 'two')), ['two'])
  assert.equal((keys.find('ES256', 'one') as readonly unknown[])[0], one, 'what did not change is the same key')
  issuer.answers.set(url, setOf(second))
  time.now += 300_000
  keys.freshen()
  await new Promise(setImmediate)
  assert.equal(one?.withdrawn, true)
  assert.deepEqual(ids(await keys.find('ES256', 'one')), [])
})

test('keys outlive an outage of their issuer by a day, and not for ever', async () => {
  const { issuer, keys, time } = setUp()
  issuer.answers.set(url, setOf(first))
  await keys.find('ES256', 'one')
  issuer.answers.delete(url)
  for (let hour = 0; hour < 24; hour++) {
    time.now += 3_599_000
    assert.deepEqual(ids(await keys.find('ES256', 'one')), ['one'])
    await new Promise(setImmediate)
  }
  assert.match(said(await keys.find('ES256', 'new')), /cannot be had/)
  time.now += 3_600_000
  assert.match(said(await keys.find('ES256', 'one')), /cannot be had/)
  issuer.answers.set(url, setOf(first))
  time.now += 30_000
  assert.deepEqual(ids(await keys.find('ES256', 'one')), ['one'])
})

test('those who wait for one fetch are bounded', async () => {
  const { issuer, keys } = setUp()
  const { promise, resolve } = Promise.withResolvers<void>()
  issuer.hold = promise
  const waiting = Array.from({ length: 1024 }, () => keys.find('ES256', 'one'))
  assert.ok(waiting.every((one) => one instanceof Promise))
  assert.match(said(keys.find('ES256', 'one')), /too many/)
  issuer.answers.set(url, setOf(first))
  resolve()
  for (const found of await Promise.all(waiting)) assert.deepEqual(ids(found), ['one'])
  assert.equal(issuer.calls.length, 1)
})

const issuerUrl = 'https://idp.example/realms/a'
const metadataUrl = `${issuerUrl}/.well-known/openid-configuration`
const discovery: Readonly<Record<string, readonly [metadata: string | number, expected: string | readonly string[]]>> = {
  'as it should be': [JSON.stringify({ issuer: issuerUrl, jwks_uri: url }), ['one']],
  'of another issuer': [JSON.stringify({ issuer: 'https://evil.example', jwks_uri: url }), 'of another issuer'],
  'of the issuer but for a slash': [JSON.stringify({ issuer: `${issuerUrl}/`, jwks_uri: url }), 'of another issuer'],
  'without keys': [JSON.stringify({ issuer: issuerUrl }), 'name no jwks_uri'],
  'with keys in the clear': [JSON.stringify({ issuer: issuerUrl, jwks_uri: 'http://idp.example/jwks' }), 'not https'],
  'no JSON': ['<html>', 'of another issuer'],
  'not there': [404, 'status 404'],
}
for (const [what, [metadata, expected]] of Object.entries(discovery)) {
  test(`an issuer's metadata, ${what}`, async () => {
    const { issuer, keys } = setUp('discover', issuerUrl)
    issuer.answers.set(metadataUrl, metadata).set(url, setOf(first)).set('http://idp.example/jwks', setOf(first))
    const found = await keys.find('ES256', 'one')
    if (typeof expected === 'string') assert.match(said(found), new RegExp(expected))
    else assert.deepEqual(ids(found), expected)
    assert.ok(issuer.calls.every(({ to, maxBytes, timeout }) => !to.loopback && maxBytes > 0 && timeout > 0))
  })
}

test('keys in a secret follow the secret', () => {
  let secret: { text: string } | undefined
  const keys = new SecretKeys(() => secret && Buffer.from(secret.text), () => secret)
  assert.match(said(keys.find('ES256', 'one')), /not here/)
  secret = { text: setOf(first) }
  const [one] = keys.find('ES256', 'one') as readonly { withdrawn: boolean }[]
  secret = { text: setOf(second) }
  keys.freshen()
  assert.equal(one?.withdrawn, true)
  assert.deepEqual(ids(keys.find('ES256', 'two')), ['two'])
  secret = { text: 'broken' }
  assert.match(said(keys.find('ES256', 'two')), /not a key set/)
  secret = undefined
  assert.match(said(keys.find('ES256', 'two')), /not here/)
})
