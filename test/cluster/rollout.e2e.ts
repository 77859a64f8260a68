// Rollouts against a real API server: two controllers that are killed at every step, annotations from kubectl, and tools
// that own the manifest and must see no difference.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, suite, test } from 'node:test'
import type { ModelRoute, RuleStatus } from '../../crds/types.gen.ts'
import { startDataplane, type Dataplane } from '../../dataplane/main.ts'
import { createLog } from '../../dataplane/telemetry/log.ts'
import { inTime, watchMachine } from '../machine.ts'
import type { KubeObject } from './api.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { define } from './definitions.ts'
import { addAddress, outsideNamespace } from './netns.ts'
import { temporaryFolder } from './process.ts'
import { replicasOf, type Replica } from './replicas.ts'
import { until } from './wait.ts'

const free = { host: '127.0.0.1', port: 0 }
const path = '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes/fraud'

suite('rollouts in a cluster', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let proxy: Dataplane
  let replicas: readonly Replica[]
  const servers: Server[] = []

  const apply = (object: object, ...args: string[]) => cluster.kubectl('apply', ...args, '-f', '-', { stdin: JSON.stringify(object) })
  const route = (canary: number, more: Partial<ModelRoute['spec']['rules'][number]> = {}) => ({
    apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'fraud', namespace: 'ml' },
    spec: {
      rules: [{
        name: 'infer',
        backendRefs: [{ variant: 'stable', name: 'fraud-v1', port: 8000, weight: 100 - canary }, { variant: 'canary', name: 'fraud-v2', port: 8000, weight: canary }],
        rollout: { candidate: 'canary', steps: [{ percent: 5, approval: true }, { percent: 25, hold: '1s', approval: true }, { percent: 50, approval: true }] },
        ...more,
      }],
    },
  })
  const object = () => cluster.api.get(path)
  const rule = async () => ((await object())['status'] as { rules?: RuleStatus[] } | undefined)?.rules?.[0]
  const shareOf = (status: RuleStatus | undefined) => (status?.backends?.find(({ variant }) => variant === 'canary')?.effectiveWeight ?? NaN) / 10_000
  const table = async () => {
    const text = await (await fetch(`${proxy.urls.admin}/table`)).text()
    const { routes } = JSON.parse(text) as { routes: { id: string; rules: { variants: { name: string; weight: number }[] }[] }[] }
    return (routes.find(({ id }) => id === 'ml/fraud')?.rules[0]?.variants.find(({ name }) => name === 'canary')?.weight ?? NaN) / 10_000
  }
  /** In the status, and in the table of the proxy. */
  const reaches = (phase: string, percent: number) => {
    let seen: unknown
    return until(`${phase} at ${percent} %`, async () => {
      const status = await rule()
      const inForce = await table()
      seen = { status, inForce }
      return status?.phase === phase && shareOf(status) === percent && inForce === percent
    }, { timeout: 60_000, describe: () => JSON.stringify(seen) })
  }
  const annotate = async (command: string) => cluster.kubectl('annotate', 'modelroute', 'fraud', '-n', 'ml', '--overwrite', `rollout.modelroute.io/infer=${command}`)
  const command = async (action: string) => {
    await annotate(`${action}@${(await rule())?.specHash}`)
    await until('the annotation is taken away', async () => (await object()).metadata.annotations?.['rollout.modelroute.io/infer'] === undefined, { timeout: 60_000 })
  }
  const leader = async () => {
    const { spec } = await cluster.api.get('/apis/coordination.k8s.io/v1/namespaces/default/leases/modelroute-controller')
    return (spec as { holderIdentity: string }).holderIdentity
  }
  const events = async () => (await cluster.api.list('/apis/events.k8s.io/v1/namespaces/ml/events')).map((event) => `${event['reason']}: ${event['note']}`)

  before(async () => {
    cluster = await startControlPlane()
    await define(cluster)
    await cluster.kubectl('create', 'namespace', 'ml')
    for (const name of ['fraud-v1', 'fraud-v2']) {
      const server = createServer((request, response) => {
        request.resume()
        response.end(name)
      })
      server.listen(0, addAddress())
      await once(server, 'listening')
      servers.push(server)
      const { address, port } = server.address() as AddressInfo
      await apply({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'ml' }, spec: { ports: [{ name: 'http', port: 8000 }] } })
      await apply({
        apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
        metadata: { name, namespace: 'ml', labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4', ports: [{ name: 'http', port }], endpoints: [{ addresses: [address] }],
      })
    }
    replicas = await replicasOf(temporaryFolder('rollout'), ['controller-0', 'controller-1'].map((name) => ({ name, kubeconfig: cluster.kubeconfig })))
    for (const { process } of replicas) process.start()
    const log = createLog({ level: 'error' })
    proxy = await startDataplane({ http: free, admin: free, feed: { controllers: replicas.map(({ push }) => push), insecure: false }, gateway: 'default', node: 'p1', log })
  })
  after(async () => {
    await proxy?.close()
    for (const { process } of replicas ?? []) await process.kill()
    for (const server of servers) server.close()
    await cluster?.stop()
  })
  beforeEach(async () => {
    await cluster.kubectl('delete', 'modelroute', '--all', '-n', 'ml')
    await apply(route(0))
    await reaches('Stable', 0)
  })

  test('a canary goes through its steps while every controller is killed at each of them', { timeout: 300_000 }, async () => {
    await apply(route(100))
    for (const percent of [5, 25, 50]) {
      await reaches('AwaitingApproval', percent)
      for (const { process } of replicas) await process.kill('SIGKILL')
      // With nobody to decide nothing moves, and the proxy serves on.
      assert.equal(await table(), percent)
      assert.equal((await fetch(`${proxy.urls.http}/`)).status, 200)
      for (const { process } of replicas) process.start()
      await reaches('AwaitingApproval', percent)
      await command('promote')
    }
    await reaches('Stable', 100)
    const shown = await cluster.kubectl('get', 'modelroutes', '-n', 'ml')
    assert.match(shown, /ROLLOUT\s+PROGRAMMED/)
    assert.match(shown, /infer: stable=0 canary=100\s+Stable/)
    const told = await events()
    for (const reason of ['RolloutStarted', 'RolloutStep', 'RolloutCompleted']) assert.ok(told.some((event) => event.startsWith(reason)), `${reason} in ${told.join('\n')}`)
  })

  test('the leader is killed in a step, and the other one goes on from there', { timeout: 180_000 }, async (t) => {
    await apply(route(100))
    await reaches('AwaitingApproval', 5)
    const before = await leader()
    const leading = await until('who leads', async () => {
      for (const replica of replicas) {
        const answer = await post(replica, { action: 'pause' })
        if (answer.status === 200) return replica
      }
      return undefined
    })
    await reaches('Paused', 5)
    await leading.process.kill('SIGKILL')
    await annotate(`promote@${(await rule())?.specHash}`)
    const machine = watchMachine()
    const lost = performance.now()
    await reaches('Paused', 25)
    inTime(t, 'the lease to run out, and the other one to lead', performance.now() - lost, 30_000, machine())
    assert.notEqual(await leader(), before)
    leading.process.start()
    await command('resume')
    await reaches('AwaitingApproval', 25)
    await command('abort')
    await reaches('Aborted', 0)
    assert.equal(await cluster.kubectl('wait', '--for=condition=Progressing=False', 'modelroute/fraud', '-n', 'ml', '--timeout=10s').then(() => 'done'), 'done')
    await command('retry')
    await reaches('AwaitingApproval', 5)
  })

  const post = async (replica: Replica, body: object) => fetch(`${replica.control}/rollout`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ namespace: 'ml', route: 'fraud', rule: 'infer', ...body }),
  })

  test('an abort is in force within a second, and an undo goes back to a ControllerRevision', { timeout: 120_000 }, async (t) => {
    // Those of earlier routes of the name stay: nobody collects garbage here.
    const { uid } = (await object()).metadata
    const revisions = async () => (await cluster.api.list('/apis/apps/v1/namespaces/ml/controllerrevisions'))
      .filter(({ metadata }) => (metadata['ownerReferences'] as { uid: string }[])[0]?.uid === uid).length
    // A burst of edits is one revision: what is gone back to is written first.
    await until('a revision', async () => await revisions() === 1)
    await apply(route(40))
    await reaches('AwaitingApproval', 5)
    await command('promote-full')
    await reaches('Stable', 40)
    await until('a second revision', async () => await revisions() === 2)
    await annotate(`undo@${(await rule())?.specHash}`)
    const machine = watchMachine()
    const began = performance.now()
    await until('the earlier weights', async () => (await table()) === 0, { every: 5 })
    inTime(t, 'an undo', performance.now() - began, 1_000, machine())
    await reaches('Aborted', 0)
    assert.equal((await rule())?.revision, 1)
    await apply(route(60))
    await reaches('AwaitingApproval', 5)
  })

  test('a command for another version is refused with an event, and taken away', { timeout: 60_000 }, async () => {
    await apply(route(100))
    await reaches('AwaitingApproval', 5)
    await annotate('abort@0123456789abcdef')
    await until('the annotation is taken away', async () => (await object()).metadata.annotations?.['rollout.modelroute.io/infer'] === undefined)
    await until('the event', async () => (await events()).some((event) => /RolloutCommandRefused.*0123456789abcdef.*edited since/.test(event)))
    assert.equal((await rule())?.phase, 'AwaitingApproval')
  })

  test('whoever owns the manifest sees no difference in any phase: kubectl apply, server-side apply, a resync', { timeout: 180_000 }, async () => {
    // kubectl reads the object and has its change tried one after the other; a status that is written between the two is a
    // difference to it. What stays would be one.
    const unchanged = (manifest: object, ...args: string[]) => until('no difference', async () => await cluster.kubectl('diff', ...args, '-f', '-', { stdin: JSON.stringify(manifest) }) === '')
    const untouched = (before: KubeObject, now: KubeObject) => {
      assert.deepEqual(now['spec'], before['spec'])
      assert.equal(now.metadata['generation'], before.metadata['generation'])
      const managers = now.metadata['managedFields'] as { manager: string; subresource?: string; fieldsV1: object }[]
      for (const { manager, subresource, fieldsV1 } of managers) {
        if (manager === 'modelroute-controller' && subresource !== 'status') assert.deepEqual(fieldsV1, {}, 'it owns nothing but the status')
      }
    }
    await apply(route(100))
    await reaches('AwaitingApproval', 5)
    const before = await object()
    await unchanged(route(100))
    assert.match(await apply(route(100)), /unchanged/)
    await command('promote')
    await reaches('AwaitingApproval', 25)
    untouched(before, await object())
    await unchanged(route(100))
    await command('abort')
    await reaches('Aborted', 0)
    assert.match(await apply(route(100)), /unchanged/, 'a resync does not begin it again')
    await reaches('Aborted', 0)
    untouched(before, await object())

    // The same by a tool that applies on the server, from the beginning, and that then edits one weight.
    await cluster.kubectl('delete', 'modelroute', '--all', '-n', 'ml')
    const gitops = ['--server-side', '--field-manager=gitops']
    await apply(route(0), ...gitops)
    await reaches('Stable', 0)
    await apply(route(100), ...gitops)
    await reaches('AwaitingApproval', 5)
    const owned = await object()
    await unchanged(route(100), ...gitops)
    await apply(route(100), ...gitops)
    untouched(owned, await object())
    await command('promote')
    await reaches('AwaitingApproval', 25)
    await unchanged(route(100), ...gitops)
    await apply(route(10), ...gitops)
    await reaches('Stable', 10)
  })
})
