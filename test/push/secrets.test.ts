import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Publisher } from '../../controller/push/publish.ts'
import { converse } from '../../dataplane/receive/conversation.ts'
import { openDisk } from '../../dataplane/receive/disk.ts'
import { createStore, type Active } from '../../dataplane/store.ts'
import type { KeySet } from '../../table/credentials.ts'
import { linkPair } from '../../table/link.ts'
import type { Share } from '../../table/resources.ts'
import type { Secret } from '../../table/secrets.ts'
import { hashOf, versionOf } from '../../table/version.ts'
import { controller, proxy, recorder, until } from './rig.ts'
import { fleet, fleets, route } from './table.ts'

const CANARY = Buffer.from('canary-of-a-secret').toString('base64')
const secret = (value = CANARY): Secret => ({ id: 'ml/tls', data: { token: value } })
const keySet = (...consumers: string[]): KeySet => ({
  id: 'ml?',
  keys: consumers.map((consumer) => ({ digest: 'ab'.repeat(32), name: consumer, consumer, groups: [] })),
})

function withBoth(keys = keySet('acme'), ...secrets: Secret[]): Map<string, Share> {
  const share = fleet([route('ml/a')])
  const shared = { credentials: new Map([[keys.id, keys]]), secrets: new Map(secrets.map((one) => [one.id, one])) }
  return new Map([['default', { ...share, ...shared }]])
}

test('key sets and secrets arrive before the routes, and one that changes leaves the routes alone', async (t) => {
  const a = await controller()
  const p = proxy([a.url])
  t.after(() => Promise.all([p.close(), a.close()]))
  a.publisher.publish(withBoth(keySet('acme'), secret()))
  await until('ready', () => p.store.ready)
  assert.deepEqual(p.updates.map(({ resource }) => resource), ['endpoints', 'credentials', 'secrets', 'routes'])
  assert.equal(p.activations.length, 1)
  assert.deepEqual(p.store.active?.secrets.get('ml/tls'), secret())
  const { routes, secrets } = p.store.active ?? {}
  a.publisher.publish(withBoth(keySet('acme', 'initech'), secret()))
  await until('the second key', () => p.store.active?.credentials.get('ml?')?.keys.length === 2)
  assert.equal(p.store.active?.routes, routes)
  assert.equal(p.store.active?.secrets, secrets)
  a.publisher.publish(withBoth(keySet(), secret('bmV3')))
  await until('no key and another secret', () => p.store.active?.secrets.get('ml/tls')?.data['token'] === 'bmV3')
  assert.deepEqual(p.store.active?.credentials.get('ml?')?.keys, [])
})

test('a link that others can listen to carries no secret, and the log says so once', () => {
  const notes = recorder()
  const publisher = new Publisher({ log: notes.log })
  const store = createStore({ activate: () => [] })
  const [controllerEnd, proxyEnd] = linkPair()
  const arrived: string[] = []
  const heard = { ...proxyEnd, onMessage: (listener: Parameters<typeof proxyEnd.onMessage>[0]) =>
    proxyEnd.onMessage((message) => (arrived.push(JSON.stringify(message)), listener(message))) }
  publisher.publish(withBoth(keySet('acme'), secret()))
  publisher.accept(controllerEnd, false)
  converse(heard, { store, identity: { node: 'far', instance: 'x', gateway: 'default' }, subscribe: true })
  return until('ready', () => store.ready).then(() => {
    publisher.publish(withBoth(keySet('acme'), secret('bmV3')))
    assert.equal(store.active?.routes.size, 1)
    assert.equal(store.active.credentials.size, 1)
    assert.equal(store.versions.secrets, null)
    assert.ok(arrived.length > 0 && !arrived.some((line) => line.includes(CANARY) || line.includes('"secrets"')))
    assert.equal(notes.lines.filter(({ message }) => message === 'proxy gets no secrets').length, 1)
  })
})

test('secrets are never on disk: a proxy that boots from there has none until a controller sends them', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'modelroute-secrets-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'table')
  const a = await controller()
  t.after(() => a.close())
  a.publisher.publish(withBoth(keySet('acme'), secret()))
  const disk = await openDisk({ file, gateway: 'default' })
  const first = proxy([a.url], { disk })
  await until('ready', () => first.store.ready)
  await first.close()
  await disk.close()
  for (const name of readdirSync(folder)) assert.ok(!readFileSync(join(folder, name), 'utf8').includes(CANARY), name)

  const again = await openDisk({ file, gateway: 'default' })
  const second = proxy([a.url], { disk: again })
  t.after(() => second.close())
  assert.equal(second.store.ready, true)
  assert.equal(second.store.active?.secrets.size, 0)
  assert.equal(second.store.active.credentials.get('ml?')?.keys.length, 1, 'digests are on disk')
  await until('told all', () => second.store.active?.secrets.size === 1 && second.updates.length >= 4)
  assert.deepEqual(second.updates.map(({ resource, type }) => `${type} ${resource}`),
    ['delta endpoints', 'delta credentials', 'snapshot secrets', 'delta routes'])
  await again.close()
})

test('what is wrong with a secret is told without quoting it', async (t) => {
  const a = await controller()
  const p = proxy([a.url])
  t.after(() => Promise.all([p.close(), a.close()]))
  const odd = { id: 'ml/tls', data: { token: [CANARY] } } as unknown as Secret
  a.publisher.publish(withBoth(keySet(), odd))
  await until('ready', () => p.store.ready)
  await until('refused', () => /proxy refused an item/.test(a.notes.text()))
  assert.ok(!`${a.notes.text()}${p.notes.text()}`.includes(CANARY))
  assert.match(a.notes.text(), /ml\/tls.*does not have the form/)
})

test('what the next routes no longer name stays until they are in force', () => {
  const activations: Active[] = []
  const store = createStore({ activate: (next) => (activations.push(next), []) })
  const version = (items: readonly { id: string }[]) => versionOf(new Map(items.map((item) => [item.id, hashOf(item)])))
  const send = (resource: 'endpoints' | 'credentials' | 'secrets' | 'routes', ...items: { id: string }[]) =>
    store.handle({ type: 'snapshot', schema: 1, resource, version: version(items), items })
  send('endpoints')
  send('credentials', keySet('acme'))
  send('secrets', secret())
  send('routes', route('ml/a'))
  send('credentials', { ...keySet('acme'), id: 'ml?tier=pro' })
  send('secrets')
  assert.deepEqual([...(store.active?.credentials.keys() ?? [])].sort(), ['ml?', 'ml?tier=pro'])
  assert.deepEqual([...(store.active?.secrets.keys() ?? [])], ['ml/tls'])
  send('routes', route('ml/a', 1))
  assert.deepEqual([...(store.active?.credentials.keys() ?? [])], ['ml?tier=pro'])
  assert.equal(store.active?.secrets.size, 0)
})

test('a proxy of another version gets the resources that it names and no others', async (t) => {
  const publisher = new Publisher()
  publisher.publish(fleets([route('ml/a')]))
  const [controllerEnd, proxyEnd] = linkPair()
  t.after(() => publisher.close())
  const arrived: unknown[] = []
  const store = createStore({ activate: () => [] })
  proxyEnd.onMessage((message) => {
    if (message.type !== 'snapshot' && message.type !== 'delta') return
    arrived.push(message.resource)
    proxyEnd.send(JSON.stringify(store.handle(message)))
  })
  const versions = { routes: null, endpoints: null, 'of-tomorrow': null }
  proxyEnd.send(JSON.stringify({ type: 'hello', schema: 1, node: 'n', instance: 'i', gateway: 'default', subscribe: true, versions }))
  publisher.accept(controllerEnd, true)
  await until('ready', () => store.ready)
  assert.deepEqual(arrived, ['endpoints', 'routes'])
})
