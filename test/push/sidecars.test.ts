import assert from 'node:assert/strict'
import type { X509Certificate } from 'node:crypto'
import test from 'node:test'
import { callerOf } from '../../controller/push/caller.ts'
import { reaches } from '../../controller/status.ts'
import { perResource, type Share } from '../../table/resources.ts'
import type { Route } from '../../table/route.ts'
import { identities } from './identities.ts'
import { controller, proxy, until } from './rig.ts'
import { route } from './table.ts'

const of = (tenant: string, name: string): Route => ({ ...route(`${tenant}/${name}`), tenant })

/** A table of two tenants, one of whom is named so that it begins like the other. */
function world(): Share {
  const byId = <T extends { id: string }>(items: readonly T[]) => new Map(items.map((item) => [item.id, item]))
  return {
    ...perResource<Share>(() => new Map()),
    routes: byId([of('ml', 'a'), of('ml-2', 'b'), of('shop', 'c')]),
    endpoints: byId(['ml/a:80', 'ml-2/b:80', 'shop/c:80'].map((id) => ({ id, endpoints: [{ address: '10.0.0.1', port: 80 }] }))),
    credentials: byId(['ml?', 'ml-2?', 'shop?x=y'].map((id) => ({ id, keys: [{ digest: '0'.repeat(64), name: 'k', consumer: 'c', groups: [] }] }))),
    secrets: byId(['pepper', 'ml/tls', 'ml-2/tls', 'shop/tls'].map((id) => ({ id, data: { pepper: 'eA==' } }))),
  }
}

test('a sidecar gets what is of its namespace and nothing else, and has no say in what is not', async (t) => {
  const { ca, asController, asProxy, asSidecar } = await identities()
  const measured: string[] = []
  const real = await controller({ tls: { ...asController, clientCa: ca }, sidecars: ['ml', 'shop'] }, { measured: (_, { rules }) => measured.push(...rules.map((rule) => rule.route)) })
  const url = real.url.replace('127.0.0.1', 'localhost')
  real.publisher.publish(new Map([['default', world()]]))
  const whole = proxy([url], { tls: asProxy })
  const mine = proxy([url], { tls: await asSidecar('ml') })
  const refused = proxy([url], { tls: await asSidecar('ml-2') })
  t.after(() => Promise.all([whole, mine, refused, real].map((end) => end.close())))
  await until('both to have their tables', () => whole.store.ready && mine.store.ready)
  await until('a namespace that is not listed to be refused', () => /answered 403/.test(refused.notes.text()))
  const held = mine.store.active
  assert.ok(held)
  assert.deepEqual(
    [held.routes, held.endpoints, held.credentials, held.secrets].map((items) => [...items.keys()]),
    [['ml/a'], ['ml/a:80'], ['ml?'], ['pepper', 'ml/tls']],
  )
  assert.equal(whole.store.active?.secrets.size, 4)

  // What changes elsewhere is not even told.
  const seen = mine.updates.length
  const next = world()
  real.publisher.publish(new Map([['default', { ...next, routes: new Map([...next.routes, ['shop/d', of('shop', 'd')]]) }]]))
  await until('the proxy to have it', () => whole.store.active?.routes.has('shop/d') === true)
  assert.equal(mine.updates.length, seen)

  // Of routes that it cannot have, it is none of those that are waited for.
  const reach = reaches(real.publisher.proxies(), (gateway) => real.publisher.hashes(gateway))
  await until('all to have acknowledged', () => real.publisher.counts().behind === 0)
  const told = reaches(real.publisher.proxies(), (gateway) => real.publisher.hashes(gateway))
  assert.equal(reach('shop/c', ['default']).total, 1)
  assert.deepEqual([told('ml/a', ['default']), told('shop/d', ['default'])].map(({ programmed, total }) => [programmed, total]), [[2, 2], [1, 1]])

  const rule = (id: string) => ({ route: id, rule: 'r', id: 'x', variants: [] })
  mine.receiver.tell({ type: 'measurements', rules: [rule('shop/c'), rule('ml/a')] })
  await until('its measurements', () => measured.length > 0)
  assert.deepEqual(measured, ['ml/a'])
  const outcome = await mine.receiver.rotate({ namespace: 'ml', name: 'k', keySha256: '0'.repeat(64) })
  assert.deepEqual(outcome, { problem: 'a sidecar replaces no keys' })
})

test('a certificate that names sidecars in any other way is nobody', () => {
  const caller = (subjectAltName: string | undefined) => callerOf({ subjectAltName } as X509Certificate)
  assert.deepEqual(caller('URI:spiffe://modelroute/ns/ml/sidecar'), { kind: 'sidecar', namespace: 'ml' })
  assert.deepEqual([caller(undefined), caller('DNS:proxy'), caller('URI:spiffe://cluster.local/ns/ml/sa/x')].map(({ kind }) => kind), ['proxy', 'proxy', 'proxy'])
  for (const name of [
    'URI:spiffe://modelroute/ns/ml/sidecar, DNS:x', 'DNS:x, URI:spiffe://modelroute/ns/ml/sidecar', 'URI:spiffe://modelroute/ns//sidecar',
    'URI:spiffe://modelroute/ns/ml/other', 'URI:spiffe://modelroute/ns/a b/sidecar', 'URI:spiffe://modelroute/ns/ml/sidecar, URI:spiffe://modelroute/ns/shop/sidecar',
  ]) assert.equal(caller(name).kind, 'stranger', name)
  assert.equal(callerOf(undefined).kind, 'stranger')
})
