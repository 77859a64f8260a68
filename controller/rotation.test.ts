import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freshKey } from './rotation.ts'
import type { Secret } from './sources/snapshot.ts'

const now = Date.UTC(2026, 0, 1)
const sum = 'ab'.repeat(32)

function secret(name: string, annotations: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>> = { 'modelroute.io/credential': 'api-key', team: 'a' }): Secret {
  return { metadata: { name, namespace: 'ml', labels, annotations: { 'modelroute.io/consumer': 'ann', ...annotations } }, data: new Map() }
}

const secrets = (...all: readonly Secret[]) => new Map(all.map((one) => [`ml/${one.metadata.name}`, one]))
const ask = (name: string, ...all: readonly Secret[]) => freshKey({ type: 'rotate', id: '1', namespace: 'ml', name, keySha256: sum }, secrets(...all), now)
const allowed = { 'modelroute.io/self-service-rotation': '24h' }

test('the new key is as the old one was, ends when it would have ended, and says what it replaces and when', () => {
  const made = ask('k', secret('k', { ...allowed, 'modelroute.io/tier': 'pro', 'modelroute.io/expires': '2026-06-01T00:00:00Z', 'kubectl.kubernetes.io/last-applied-configuration': '{}' }))
  assert.deepEqual(made, {
    until: now + 86_400_000,
    key: {
      namespace: 'ml', name: 'k-abababab', labels: { 'modelroute.io/credential': 'api-key', team: 'a' }, keySha256: sum,
      annotations: {
        'modelroute.io/consumer': 'ann', 'modelroute.io/self-service-rotation': '24h', 'modelroute.io/tier': 'pro', 'modelroute.io/expires': '2026-06-01T00:00:00Z',
        'modelroute.io/replaces': 'k', 'modelroute.io/replaces-from': '2026-01-02T00:00:00.000Z',
      },
    },
  })
})

test('a key is not replaced that nobody allowed to be, that is none, that was already, or of which there are too many', () => {
  assert.match(JSON.stringify(ask('k')), /does not allow/)
  assert.match(JSON.stringify(ask('k', secret('k', {}))), /does not allow/)
  assert.match(JSON.stringify(ask('k', secret('k', { 'modelroute.io/self-service-rotation': 'soon' }))), /does not allow/)
  assert.match(JSON.stringify(ask('k', secret('k', allowed, {}))), /does not allow/)
  assert.match(JSON.stringify(ask('k', secret('k', allowed), secret('k2', { 'modelroute.io/replaces': 'k' }))), /already/)
  const many = Array.from({ length: 8 }, (_, i) => secret(`k${i}`, allowed))
  assert.match(JSON.stringify(ask('k0', ...many)), /remove old ones/)
})
