import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import test from 'node:test'
import type { Secret } from '../sources/snapshot.ts'
import { createKeys, keySetOf } from './credentials.ts'

const pepper = Buffer.from('pepper')
const base64 = (text: string) => Buffer.from(text).toString('base64')

type Given = { data?: Record<string, string>; labels?: Record<string, string>; annotations?: Record<string, string> }

function secret(name: string, { data = { key: 'k1' }, labels = {}, annotations = {} }: Given = {}): Secret {
  return {
    metadata: {
      name,
      namespace: 'ml',
      labels: { 'modelroute.io/credential': 'api-key', ...labels },
      annotations: { 'modelroute.io/consumer': 'acme', ...annotations },
    },
    data: new Map(Object.entries(data).map(([key, value]) => [key, base64(value)])),
  }
}

const secrets = (...all: Secret[]) => new Map(all.map((one) => [`${one.metadata.namespace}/${one.metadata.name}`, one]))

test('a key is known by HMAC(pepper, SHA-256(key)), with the consumer, groups, tier and end of its annotations', () => {
  const annotations = {
    'modelroute.io/groups': 'b, a,,b', 'modelroute.io/tier': 'pro', 'modelroute.io/expires': '2027-01-31T00:00:00+01:00',
  }
  const keys = createKeys(pepper)(secrets(secret('one', { annotations })))
  const digest = createHmac('sha256', pepper).update(createHash('sha256').update('k1').digest()).digest('hex')
  assert.deepEqual(keys.set(keySetOf('ml', {})), {
    id: 'ml?',
    keys: [{
      digest, name: 'one', consumer: 'acme', groups: ['a', 'b'], tier: 'pro', expires: Date.UTC(2027, 0, 30, 23),
    }],
  })
  const hashed = { keySha256: createHash('sha256').update('k1').digest('hex').toUpperCase() }
  const same = createKeys(pepper)(secrets(secret('one', { data: hashed })))
  assert.equal(same.set(keySetOf('ml', {})).keys[0]?.digest, digest)
})

test('a selector takes the keys of its namespace that carry all of its labels', () => {
  const gold = secret('gold', { labels: { team: 'a', level: 'gold' } })
  const plain = secret('plain', { labels: { team: 'a' } })
  const other = { ...secret('other'), metadata: { ...secret('other').metadata, namespace: 'elsewhere' } }
  const tls = { ...secret('tls'), metadata: { name: 'tls', namespace: 'ml' } }
  const keys = createKeys(pepper)(secrets(plain, gold, other, tls))
  const names = (labels: Record<string, string>) => keys.set(keySetOf('ml', labels)).keys.map(({ name }) => name)
  assert.deepEqual(names({}), ['gold', 'plain'])
  assert.deepEqual(names({ level: 'gold', team: 'a' }), ['gold'])
  assert.deepEqual(names({ constructor: 'x' }), [])
  assert.equal(keySetOf('ml', { b: '2', a: '1' }).id, 'ml?a=1&b=2')
})

for (const [what, given, why] of [
  ['without a key', { data: { other: 'x' } }, /needs key/],
  ['with an empty key', { data: { key: '' } }, /needs key/],
  ['with both forms of the key', { data: { key: 'canary', keySha256: 'ab'.repeat(32) } }, /holds both/],
  ['whose digest is none', { data: { keySha256: 'canary' } }, /64 digits/],
  ['without a consumer', { annotations: { 'modelroute.io/consumer': ' ' } }, /modelroute\.io\/consumer/],
  ['whose end is no time', { annotations: { 'modelroute.io/expires': 'tomorrow' } }, /RFC 3339/],
  ['whose end is no time that exists', { annotations: { 'modelroute.io/expires': '2027-13-01T00:00:00Z' } }, /RFC 3339/],
] as const) {
  test(`a Secret ${what} is no key and says why, without its value`, () => {
    const keys = createKeys(pepper)(secrets(secret('bad', given), secret('good')))
    assert.deepEqual(keys.set(keySetOf('ml', {})).keys.map(({ name }) => name), ['good'])
    const text = JSON.stringify([...keys.problems])
    assert.match(text, why)
    assert.match(text, /ml\/bad/)
    assert.ok(!text.includes('canary') && !text.includes('ml/good'))
  })
}

test('without a pepper nothing is a key', () => {
  assert.deepEqual(createKeys(undefined)(secrets(secret('one'))).set(keySetOf('ml', {})).keys, [])
})

test('a key that another of its consumer replaces ends with that, and only the administrator\'s word lets a holder replace one', () => {
  const set = (...all: Secret[]) => createKeys(pepper)(secrets(...all)).set(keySetOf('ml', {})).keys
  const allowed = { 'modelroute.io/self-service-rotation': '24h' }
  const replaces = { 'modelroute.io/replaces': 'old', 'modelroute.io/replaces-from': '2026-01-02T00:00:00Z' }
  assert.deepEqual(set(secret('old', { annotations: allowed })).map(({ rotates, expires }) => [rotates, expires]), [[true, undefined]])
  const both = set(secret('old', { annotations: allowed }), secret('young', { data: { key: 'k2' }, annotations: { ...allowed, ...replaces } }))
  assert.deepEqual(both.map(({ name, rotates, expires }) => [name, rotates, expires]), [['old', undefined, Date.UTC(2026, 0, 2)], ['young', true, undefined]])
  const earlier = { 'modelroute.io/expires': '2026-01-01T00:00:00Z' }
  assert.equal(set(secret('old', { annotations: earlier }), secret('young', { annotations: replaces }))[0]?.expires, Date.UTC(2026, 0, 1))
  const stranger = { ...replaces, 'modelroute.io/consumer': 'somebody-else' }
  assert.equal(set(secret('old'), secret('young', { annotations: stranger }))[0]?.expires, undefined, 'a Secret ends no key of another consumer')
  assert.deepEqual(set(secret('old', { annotations: { 'modelroute.io/self-service-rotation': 'soon' } })), [])
})
