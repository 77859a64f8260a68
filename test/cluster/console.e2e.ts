// Commands to rollouts by tokens of a real API server: whose they are, and what those may do to routes.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { RuleStatus } from '../../crds/types.gen.ts'
import type { ConsoleState } from '../../table/console.ts'
import { freePorts } from '../free-ports.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { define } from './definitions.ts'
import { addAddress, outsideNamespace } from './netns.ts'
import { Process, temporaryFolder } from './process.ts'
import { until } from './wait.ts'

const bin = join(import.meta.dirname, '../../cli/modelroute.js')
const path = '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes/fraud'

suite('commands by tokens of a cluster', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  const controllers: Process[] = []
  let control: string
  /** Of a controller that does not lead. */
  let standby: string
  let log: string

  const apply = (object: object) => cluster.kubectl('apply', '-f', '-', { stdin: JSON.stringify(object) })
  const object = () => cluster.api.get(path)
  const rule = async () => ((await object())['status'] as { rules?: RuleStatus[] } | undefined)?.rules?.[0]
  const step = (phase: string, at: number) => until(`${phase} in step ${at}`, async () => {
    const status = await rule()
    return status?.phase === phase && (status.step ?? 0) === at
  }, { timeout: 60_000 })
  const post = (token: string | undefined, body: object, headers: Readonly<Record<string, string>> = {}, at = '/rollout', of = control) => fetch(`${of}${at}`, {
    method: 'POST', body: JSON.stringify({ namespace: 'ml', route: 'fraud', rule: 'infer', ...body }),
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
  })
  const account = async (name: string, verbs: readonly string[]) => {
    await cluster.kubectl('create', 'serviceaccount', name, '-n', 'ml')
    await cluster.kubectl('create', 'role', name, '-n', 'ml', '--resource=modelroutes.modelroute.io', `--verb=${verbs.join(',')}`)
    await cluster.kubectl('create', 'rolebinding', name, '-n', 'ml', `--role=${name}`, `--serviceaccount=ml:${name}`)
    return cluster.token('ml', name)
  }

  before(async () => {
    cluster = await startControlPlane()
    await define(cluster)
    for (const namespace of ['ml', 'gateway']) await cluster.kubectl('create', 'namespace', namespace)
    // With no other rights than those that the chart gives.
    const template = await cluster.helm('template', 'modelroute', 'charts/modelroute', '-n', 'gateway', '--set', 'controller.consoleActions=true',
      '-s', 'templates/controller/rbac.yaml', '-s', 'templates/controller/serviceaccount.yaml')
    await cluster.kubectl('apply', '-f', '-', { stdin: template })
    for (const name of ['fraud-v1', 'fraud-v2']) {
      await apply({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'ml' }, spec: { ports: [{ name: 'http', port: 8000 }] } })
      await apply({
        apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'ml', labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4', ports: [{ name: 'http', port: 8000 }], endpoints: [{ addresses: [addAddress()] }],
      })
    }
    const ports = await freePorts(4)
    const kubeconfig = cluster.kubeconfigFor(await cluster.token('gateway', 'modelroute-controller'), 'gateway')
    const folder = temporaryFolder('console')
    log = join(folder, 'controller-0.log')
    const begin = (at: number) => {
      const [push = 0, port = 0] = ports.slice(at * 2)
      const controller = new Process({
        name: `controller-${at}`, command: process.execPath, log: join(folder, `controller-${at}.log`),
        args: [bin, 'controller', '--kubeconfig', kubeconfig, '--allow-unmanaged-endpointslices', '--console-actions', '--push-port', String(push), '--control-port', String(port)],
      })
      controller.start()
      controllers.push(controller)
      return `http://127.0.0.1:${port}`
    }
    control = begin(0)
    const route = (canary: number) => ({
      apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'fraud', namespace: 'ml' },
      spec: { rules: [{
        name: 'infer',
        backendRefs: [{ variant: 'stable', name: 'fraud-v1', port: 8000, weight: 100 - canary }, { variant: 'canary', name: 'fraud-v2', port: 8000, weight: canary }],
        rollout: { candidate: 'canary', steps: [{ percent: 5, approval: true }, { percent: 50, approval: true }] },
      }] },
    })
    await apply(route(0))
    await until('it is known', async () => (await rule())?.phase === 'Stable', { timeout: 60_000 })
    // Who writes the status leads.
    standby = begin(1)
    await apply(route(100))
    await step('AwaitingApproval', 1)
  })
  after(async () => {
    for (const controller of controllers) await controller.kill()
    await cluster?.stop()
  })

  test('whoever may patch the route gives it commands, under their own name; nobody else does', { timeout: 90_000 }, async () => {
    const [jane, bob] = [await account('jane', ['get', 'patch']), await account('bob', ['get', 'list', 'watch'])]
    assert.equal((await post(undefined, { action: 'promote' })).status, 401)
    assert.equal((await post('made-up', { action: 'promote' })).status, 401)
    const refused = await post(bob, { action: 'promote' })
    assert.deepEqual([refused.status, ((await refused.json()) as { error: string }).error], [403, 'system:serviceaccount:ml:bob may not patch modelroutes in ml'])
    assert.equal((await post(jane, { namespace: 'gateway', action: 'promote' })).status, 403, 'in another namespace')
    assert.equal((await post(jane, { action: 'promote' }, { origin: 'https://evil.example', 'x-modelroute-console': '1' })).status, 403)
    // One that was made for somebody else says nothing here.
    assert.equal((await post(await cluster.token('ml', 'jane', ['vault']), { action: 'promote' })).status, 401)
    assert.deepEqual([(await rule())?.phase, (await rule())?.step], ['AwaitingApproval', 1])

    const session = await post(jane, {}, { origin: control, 'sec-fetch-site': 'same-origin', 'x-modelroute-console': '1' }, '/console/session')
    assert.deepEqual(await session.json(), { name: 'system:serviceaccount:ml:jane' })
    assert.equal((await post(jane, { action: 'promote' })).status, 200)
    await step('AwaitingApproval', 2)
    const lines = readFileSync(log, 'utf8')
    for (const token of [jane, bob]) assert.ok(!lines.includes(token), 'no token is in the log')
    const told = lines.split('\n').filter((line) => line.includes('"command ')).map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(told.map(({ msg, by, action }) => [msg, by, action]), [
      ['command refused', 'system:serviceaccount:ml:bob', 'promote'], ['command refused', 'system:serviceaccount:ml:jane', 'promote'],
      ['command obeyed', 'system:serviceaccount:ml:jane', 'promote'],
    ])
    await until('the event', async () => (await cluster.api.list('/apis/events.k8s.io/v1/namespaces/ml/events'))
      .some((event) => event['reason'] === 'RolloutCommand' && /promote by system:serviceaccount:ml:jane from 127\.0\.0\.1/.test(String(event['note']))))

    const state = await (await fetch(`${control}/console/state?view=rollouts`)).json() as ConsoleState
    assert.deepEqual([state.actions.token, state.rollouts?.items[0]?.phase], ['kubernetes', 'AwaitingApproval'])
    assert.ok(state.rollouts?.items[0]?.history?.some(({ reason }) => reason === 'RolloutCommand'))
    await until('the other controller has read everything', async () => fetch(`${standby}/readyz`).then(({ ok }) => ok, () => false), { timeout: 60_000 })
    const passed = await post(jane, { action: 'promote' }, {}, '/rollout', standby)
    assert.equal(passed.status, 200, await passed.text())
    await until('the leader found it on the route', async () => (await rule())?.phase === 'Stable', { timeout: 60_000 })
    assert.equal((await post(bob, { action: 'abort' }, {}, '/rollout', standby)).status, 403)
    assert.equal((await post(jane, { action: 'abort' })).status, 200)
    await until('it is aborted', async () => (await rule())?.phase === 'Aborted', { timeout: 60_000 })
  })

  test('weights are changed by the caller and not by the controller', { timeout: 60_000 }, async () => {
    const ann = await account('ann', ['get', 'patch'])
    const answer = await post(ann, { action: 'set-weight', weights: [{ variant: 'stable', weight: 70 }, { variant: 'canary', weight: 30 }] })
    assert.equal(answer.status, 200, await answer.text())
    const route = await object()
    assert.deepEqual((route['spec'] as { rules: { backendRefs: { weight: number }[] }[] }).rules[0]?.backendRefs.map(({ weight }) => weight), [70, 30])
    assert.ok((route.metadata['managedFields'] as { manager: string }[]).some(({ manager }) => manager === 'modelroute-console'))
    assert.equal((await post(ann, { action: 'set-weight', weights: [{ variant: 'nobody', weight: 1 }] })).status, 409)
  })
})
