// etcd is restored from a backup: versions go back, edits since are gone, and so is who led meanwhile. Once under controllers
// that live through it, once under ones that begin after it; the proxies live through both, and hold tables from the lost time.
import assert from 'node:assert/strict'
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { ModelRouteStatus } from '../../crds/types.gen.ts'
import { proxy } from '../push/rig.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { define } from './definitions.ts'
import { outsideNamespace } from './netns.ts'
import { temporaryFolder, type Process } from './process.ts'
import { administrators, replicasOf } from './replicas.ts'
import { route, routes, slice } from './split.ts'
import { until } from './wait.ts'


suite('a restore of etcd', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let replicas: readonly Process[]
  const proxies: ReturnType<typeof proxy>[] = []

  const data = () => join(cluster.folder, 'etcd')
  const backup = () => join(cluster.folder, 'backup')
  const down = async () => {
    await cluster.apiServer.kill()
    await cluster.etcd.kill('SIGTERM')
  }
  const up = async () => {
    await cluster.etcd.start()
    await cluster.apiServer.start()
  }
  async function restore(): Promise<void> {
    await down()
    rmSync(data(), { recursive: true })
    cpSync(backup(), data(), { recursive: true })
    await up()
  }
  const said = () => replicas.map((one) => one.tail(12)).join('\n')
  const revision = async () => Number((await cluster.api.get(routes)).metadata.resourceVersion)
  const lease = async () => {
    const found = await cluster.api.find('/apis/coordination.k8s.io/v1/namespaces/default/leases/modelroute-controller')
    return found?.['spec'] as { leaseTransitions: number, holderIdentity: string } | undefined
  }
  const term = async () => (await lease())?.leaseTransitions ?? 0
  /** Terms go back too, so that the latest that somebody tells of is not the last. */
  const leader = () => until('a leader', async () => {
    const { holderIdentity = '' } = await lease() ?? {}
    return holderIdentity === '' ? undefined : replicas.find(({ log }) => readFileSync(log, 'utf8').includes(`"leading","identity":"${holderIdentity}"`))
  }, { timeout: 60_000, describe: said })
  const edit = (name: string, stable: number) => cluster.api.patch(`${routes}/${name}`, { spec: route(name, stable).spec })

  /** The weights that each proxy has in force, and the endpoints. */
  const held = () => proxies.map(({ store }) => {
    const weights = [...store.active?.routes.values() ?? []].map(({ id, rules }) => [id, (rules[0]?.variants[0]?.weight ?? 0) / 10_000] as const)
    return JSON.stringify([Object.fromEntries(weights.toSorted(([a], [b]) => (a < b ? -1 : 1))), [...store.active?.endpoints.values() ?? []].map(({ endpoints }) => endpoints.length)])
  })
  const inForce = async (weights: Readonly<Record<string, number>>, endpoints: number, timeout = 90_000) => {
    const wanted = JSON.stringify([weights, [endpoints]])
    await until(`all to hold ${wanted}`, () => held().every((one) => one === wanted), { timeout, describe: () => `${held().join('\n')}\n${said()}` })
    let seen: unknown
    await until('every status to say so', async () => {
      seen = (await cluster.api.list(routes)).filter(({ metadata, status }) => {
        const { observedGeneration, weights: shares, dataPlane, conditions = [] } = (status ?? {}) as ModelRouteStatus
        const stable = weights[`ml/${metadata.name}`] ?? 0
        return observedGeneration !== metadata['generation'] || shares !== `infer: stable=${stable} canary=${100 - stable}` ||
          dataPlane?.programmed !== proxies.length || conditions.find(({ type }) => type === 'Programmed')?.status !== 'True'
      })
      return (seen as unknown[]).length === 0
    }, { timeout, describe: () => `${JSON.stringify(seen)}\n${said()}` })
  }

  before(async () => {
    cluster = await startControlPlane()
    await define(cluster)
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } },
      ...['a', 'b', 'c'].map((name) => route(name, 10)),
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'model', namespace: 'ml' }, spec: { ports: [{ name: 'http', port: 8000 }] } },
      slice(1),
    ])
    const started = await replicasOf(temporaryFolder('restore'), await administrators(cluster, ['c0', 'c1']))
    const urls = started.map(({ push }) => push)
    replicas = started.map(({ process }) => process)
    for (const one of replicas) one.start()
    for (let at = 0; at < 3; at++) proxies.push(proxy(urls, { node: `proxy-${at}`, timing: { backoffMin: 200, backoffMax: 2_000, ping: 2_000, silent: 2_000, settle: 1_000 } }))
    await inForce({ 'ml/a': 10, 'ml/b': 10, 'ml/c': 10 }, 1)
    await down()
    cpSync(data(), backup(), { recursive: true })
    await up()
  })
  after(async () => {
    for (const one of proxies) await one.close()
    for (const one of replicas ?? []) await one.kill()
    await cluster?.stop()
  })

  /** What the backup will not have: edits, a route, one less, endpoints, and another leader. */
  async function live(): Promise<void> {
    for (let turn = 0; turn < 40; turn++) await edit('a', 50 + (turn % 40))
    await edit('c', 20)
    await cluster.api.delete(`${routes}/b`)
    await cluster.apply([route('d', 30)])
    await cluster.api.patch('/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices/model', { endpoints: slice(2).endpoints })
    const leading = await leader()
    const ended = await term()
    await leading.kill('SIGKILL')
    leading.start()
    await until('another term', async () => await term() > ended, { timeout: 60_000, describe: said })
    await inForce({ 'ml/a': 89, 'ml/c': 20, 'ml/d': 30 }, 2)
  }

  async function restored(timeout: number): Promise<void> {
    await inForce({ 'ml/a': 10, 'ml/b': 10, 'ml/c': 10 }, 1, timeout)
    await edit('c', 77)
    await inForce({ 'ml/a': 10, 'ml/b': 10, 'ml/c': 77 }, 1)
  }

  test('controllers that live through it, and proxies, go by what the backup has', { timeout: 200_000 }, async (t) => {
    await live()
    const version = await revision()
    await restore()
    assert.ok(await revision() < version, 'versions went back')
    const began = performance.now()
    await restored(90_000)
    t.diagnostic(`after ${((performance.now() - began) / 1000).toFixed(1)} s`)
    assert.match(replicas.map(({ log }) => readFileSync(log, 'utf8')).join(''), /the history of the cluster was set back/)
  })

  test('controllers that begin after it are believed two minutes later', { timeout: 280_000 }, async (t) => {
    await live()
    await down()
    for (const one of replicas) await one.kill('SIGKILL')
    rmSync(data(), { recursive: true })
    cpSync(backup(), data(), { recursive: true })
    await up()
    for (const one of replicas) one.start()
    const began = performance.now()
    await restored(220_000)
    t.diagnostic(`after ${((performance.now() - began) / 1000).toFixed(1)} s`)
  })
})
