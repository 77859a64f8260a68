// Three controllers as processes, two of them with clocks that are a day off, against a real API server, under churn of
// routes and endpoints: the leader is killed, the next one is stopped and wakes after it was followed, and the API server
// goes away. Every status is counted, by the server's audit log and by each version of each route; every table that a proxy
// puts in force is looked at.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { ModelRouteStatus } from '../../crds/types.gen.ts'
import { isBefore, type Order } from '../../table/order.ts'
import { proxy } from '../push/rig.ts'
import type { KubeObject } from './api.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { define } from './definitions.ts'
import { outsideNamespace } from './netns.ts'
import { temporaryFolder, type Process } from './process.ts'
import { administrators, replicasOf } from './replicas.ts'
import { route, routes, slice } from './split.ts'
import { pause, until } from './wait.ts'

const skew = join(import.meta.dirname, 'fixtures/skew.ts')
const DAY = 86_400_000
const names = Array.from({ length: 12 }, (_, i) => `model-${i}`)

type Replica = Readonly<{ process: Process; user: string; url: string; off: number }>
type Seen = Readonly<{ generation: number; status: ModelRouteStatus | undefined }>
/** A write of a status, as the API server's audit log has it. */
type Write = Readonly<{ route: string; user: string; code: number; at: number }>

suite('three controllers', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let replicas: readonly Replica[]
  let audit: string
  const proxies: ReturnType<typeof proxy>[] = []
  const orders: Order[][] = []
  const history = new Map<string, Seen[]>()
  const stop = new AbortController()
  const enough = new AbortController()
  let churn: Promise<void> | undefined

  const holder = async () => {
    const lease = await cluster.api.find('/apis/coordination.k8s.io/v1/namespaces/default/leases/modelroute-controller')
    return lease?.['spec'] as { holderIdentity: string; leaseTransitions: number } | undefined
  }
  const said = ({ process }: Replica) => readFileSync(process.log, 'utf8')
  /** Which of them took the lease last, by what they say themselves. */
  const leader = async () => {
    const held = (await holder())?.holderIdentity
    return held ? replicas.find((one) => said(one).includes(`"identity":"${held}","term"`)) : undefined
  }
  const nextLeader = (after: Replica) => until('another to lead', async () => {
    const now = await leader()
    return now === after ? undefined : now
  }, { timeout: 60_000, every: 100 })
  const writes = (): readonly Write[] => readFileSync(audit, 'utf8').split('\n').slice(0, -1).flatMap((line) => {
    const { stage, user, objectRef, responseStatus, stageTimestamp } = JSON.parse(line) as {
      stage: string; user: { username: string }; objectRef: { name: string }; responseStatus?: { code: number }; stageTimestamp: string
    }
    return stage === 'ResponseComplete' ? [{ route: objectRef.name, user: user.username, code: responseStatus?.code ?? 0, at: Date.parse(stageTimestamp) }] : []
  })

  const settled = async () => {
    const wrong = (await cluster.api.list(routes)).filter(({ metadata, status }) => {
      const { observedGeneration, dataPlane, conditions = [] } = (status ?? {}) as ModelRouteStatus
      const programmed = conditions.find(({ type }) => type === 'Programmed')
      return observedGeneration !== metadata['generation'] || programmed?.status !== 'True' || dataPlane?.total !== proxies.length
    })
    return wrong.length === 0
  }
  const allSettled = () => until('every status to be of the last edit', settled, { timeout: 90_000, every: 200, describe: () => replicas.map((one) => one.process.tail(8)).join('\n') })

  before(async () => {
    const folder = temporaryFolder('ha')
    audit = join(folder, 'audit.jsonl')
    writeFileSync(audit, '')
    const policy = join(folder, 'policy.yaml')
    writeFileSync(policy, JSON.stringify({
      apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'],
      rules: [{ level: 'Metadata', verbs: ['patch', 'update'], resources: [{ group: 'modelroute.io', resources: ['modelroutes/status'] }] }, { level: 'None' }],
    }))
    cluster = await startControlPlane({ apiServerArgs: [`--audit-policy-file=${policy}`, `--audit-log-path=${audit}`, '--audit-log-mode=blocking'] })
    await define(cluster)
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } },
      ...names.map((name) => route(name, 1)),
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'model', namespace: 'ml' }, spec: { ports: [{ name: 'http', port: 8000 }] } },
      slice(1),
    ])
    const planned = (await administrators(cluster, ['c0', 'c1', 'c2'])).map((account, at) => ({ ...account, flags: ['--import', skew], off: (at - 1) * DAY }))
    const started = await replicasOf(folder, planned.map((one) => ({ ...one, env: { CLOCK_OFF: String(one.off) } })))
    replicas = started.map(({ process, push }, at) => ({ process, url: push, user: planned[at]?.user ?? '', off: planned[at]?.off ?? 0 }))
    for (const { process } of replicas) process.start()
    // Reconnected as proxies are, but sooner spread.
    for (let at = 0; at < 12; at++) {
      const seen: Order[] = []
      const one = proxy(replicas.map(({ url }) => url), {
        node: `proxy-${at}`, timing: { backoffMin: 200, backoffMax: 5_000, ping: 2_000, silent: 2_000, settle: 1_000 },
        activate() {
          if (one.store.order) seen.push(one.store.order)
          return []
        },
      })
      proxies.push(one)
      orders.push(seen)
    }
    await new Promise<void>((resolve) => void cluster.api.follow(routes, see, stop.signal, resolve))
    await until('a leader', leader, { timeout: 60_000 })
    await allSettled()
    churn = keepEditing()
  })
  after(async () => {
    enough.abort()
    stop.abort()
    await churn
    for (const one of proxies) await one.close()
    for (const { process } of replicas ?? []) await process.kill()
    await cluster?.stop()
  })

  function see(object: KubeObject, gone: boolean): void {
    if (gone) return
    const versions = history.get(object.metadata.name) ?? []
    history.set(object.metadata.name, versions)
    versions.push({ generation: object.metadata['generation'] as number, status: object['status'] as ModelRouteStatus | undefined })
  }

  async function keepEditing(): Promise<void> {
    for (let turn = 0; !enough.signal.aborted; turn++) {
      const name = names[turn % names.length] ?? ''
      await cluster.api.patch(`${routes}/${name}`, { spec: route(name, 1 + (turn * 7) % 98).spec })
      if (turn % 3 === 0) await cluster.api.patch('/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices/model', { endpoints: slice(1 + (turn % 2)).endpoints })
      await pause(100)
    }
  }

  test('proxies are spread over all of them', { timeout: 60_000 }, async () => {
    const fed = () => replicas.map(({ url }) => proxies.filter(({ receiver }) => receiver.controllers().some((each) => each.url === url && each.feeding)).length)
    // Twelve coins on three plates: one of 43 times a plate gets none, which says nothing about the tossing.
    await until('more than one feeds', () => fed().filter((count) => count > 0).length >= 2 && fed().reduce((a, b) => a + b) === proxies.length)
    await until('each to be connected to all', () => proxies.every(({ receiver }) => receiver.controllers().filter(({ open }) => open).length === 3))
  })

  test('the leader is killed, the next one stopped, and it wakes after it was followed: every status is written once', { timeout: 200_000 }, async (t) => {
    const first = await until('a leader', leader)
    await first.process.kill('SIGKILL')
    const second = await nextLeader(first)
    first.process.start()
    // It leads and decides: the next write is its own.
    const since = writes().length
    await until('it writes', () => writes().slice(since).some(({ user }) => user === second.user), { timeout: 60_000 })
    globalThis.process.kill(second.process.pid ?? 0, 'SIGSTOP')
    const third = await nextLeader(second)
    await until('the third writes', () => writes().some(({ user, at }) => user === third.user && at > Date.now() - 5_000), { timeout: 60_000 })
    const asleep = writes().length
    globalThis.process.kill(second.process.pid ?? 0, 'SIGCONT')
    await until('it learns that it was followed', () => /"msg":"no longer leading"/.test(said(second)), { timeout: 60_000 })
    await until('its proxies to be back', () => proxies.every(({ receiver }) => receiver.controllers().every(({ open }) => open)), { timeout: 60_000 })
    enough.abort()
    await churn
    await allSettled()

    // Counts of endpoints are written a second later, and the watch brings the last write a moment after it was made.
    const same = () => names.every((name) => changes(name) === writes().filter(({ route, code }) => route === name && code === 200).length)
    await until('each write to have changed a status, and each change to be of one write', same, {
      describe: () => names.map((name) => `${name}: ${changes(name)} changes`).join(),
    })
    const all = writes()
    assert.deepEqual(all.slice(asleep).filter(({ user, code }) => user === second.user && code === 200), [], 'who woke wrote nothing')
    t.diagnostic(`${all.length} writes, by ${replicas.map(({ user }) => all.filter((one) => one.user === user).length).join(', ')}; in conflict ${all.filter(({ code }) => code === 409).length}`)
    for (const name of names) assertHistory(name, history.get(name) ?? [])
    for (const [at, one] of proxies.entries()) {
      assert.deepEqual(orders[at]?.filter((order, i, list) => i > 0 && isBefore(order, list[i - 1] ?? order)), [], 'no proxy went back behind (epoch, sequence)')
      for (const name of names) {
        const generations = one.activations.map(({ routes: held }) => held.get(`ml/${name}`)?.generation ?? 0)
        assert.ok(generations.every((generation, i) => i === 0 || generation >= (generations[i - 1] ?? 0)), `ml/${name} went back: ${generations.join()}`)
      }
    }
    assert.ok([first, second, third].some(({ off }) => off !== 0), 'one of those that led had a clock of another day')
  })

  test('the API server is away for some seconds: proxies keep their tables, and then all is told', { timeout: 120_000 }, async () => {
    await cluster.apiServer.kill()
    await pause(4_000)
    assert.ok(proxies.every(({ store }) => store.active?.routes.size === names.length))
    const before = proxies.map(({ activations }) => activations.length)
    await cluster.apiServer.start()
    for (const name of names) await until('an edit', () => cluster.api.patch(`${routes}/${name}`, { spec: route(name, 99).spec }).then(() => true, () => false))
    await allSettled()
    assert.ok(proxies.every(({ activations }, at) => activations.length > (before[at] ?? 0)))
  })

  /** How often the status of a route changed, by every version that the server had of it. */
  const changes = (name: string) => (history.get(name) ?? []).filter(({ status }, i, list) =>
    JSON.stringify(status) !== JSON.stringify(i === 0 ? undefined : list[i - 1]?.status)).length

  /** Never backwards, never back to what was said before of the same edit, and dated by the server's clock. */
  function assertHistory(name: string, versions: readonly Seen[]): void {
    let before = ''
    const told = new Set<string>()
    for (const [i, { generation, status }] of versions.entries()) {
      if (status === undefined) continue
      const { observedGeneration = 0, conditions = [], weights, dataPlane } = status
      assert.ok(observedGeneration <= generation)
      assert.ok(observedGeneration >= (versions[i - 1]?.status?.observedGeneration ?? 0), `${name}: a status of an earlier edit`)
      const text = JSON.stringify([observedGeneration, weights, dataPlane, conditions.map(({ type, status: holds, reason }) => [type, holds, reason])])
      if (text === before) continue
      assert.ok(!told.has(text), `${name}: said again after something else: ${text}`)
      told.add(text)
      before = text
      for (const { lastTransitionTime } of conditions) {
        assert.ok(Math.abs(Date.parse(lastTransitionTime) - Date.now()) < DAY / 2, `${name} is dated ${lastTransitionTime}`)
      }
    }
  }
})
