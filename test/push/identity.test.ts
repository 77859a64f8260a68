import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { identities } from './identities.ts'
import { controller, proxy, until } from './rig.ts'
import { fleets, route } from './table.ts'

test('the certificate of a controller makes no proxy, and that of a proxy no controller', async (t) => {
  const { ca, asController, asProxy } = await identities()
  const real = await controller({ tls: { ...asController, clientCa: ca } })
  const url = real.url.replace('127.0.0.1', 'localhost')
  real.publisher.publish(fleets([route('ml/a')]))
  const good = proxy([url], { tls: asProxy })
  const bad = proxy([url], { tls: { ...asController, ca } })
  const posing = await controller({ tls: { ...asProxy, clientCa: ca } })
  posing.publisher.publish(fleets([route('ml/forged')]))
  const astray = proxy([posing.url.replace('127.0.0.1', 'localhost')], { tls: asProxy })
  t.after(() => Promise.all([good, bad, astray, real, posing].map((end) => end.close())))
  await until('the proxy has its table', () => good.store.ready)
  await until('the controller as a proxy is refused', () => /does the controller trust/.test(bad.notes.text()))
  await until('the proxy as a controller is refused', () => /purpose|altnames|unsuitable/i.test(astray.notes.text()))
  assert.deepEqual([bad.updates.length, astray.updates.length, real.publisher.proxies().length], [0, 0, 1])
})

test('what a proxy runs on has no Kubernetes API token', () => {
  for (const name of ['default', 'full', 'cert-manager', 'plain']) {
    const text = readFileSync(join(import.meta.dirname, `../chart/${name}.golden.yaml`), 'utf8')
    const workloads = text.split('\n---\n').filter((document) => /^kind: Deployment$/m.test(document) && document.includes('- dataplane'))
    assert.ok(workloads.length > 0, name)
    for (const workload of workloads) {
      assert.match(workload, /automountServiceAccountToken: false/)
      assert.ok(!/serviceAccountToken|projected:/.test(workload.replace('automountServiceAccountToken', '')))
    }
  }
})
