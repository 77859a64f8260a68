// Sidecars that a policy of the chart adds to Pods: an application's way to its fleet, and the guard of a model server.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'
import { inBash } from '../bash.ts'
import { typedIn } from '../walk.ts'
import { kustomize } from './chart/tools.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { outsideNamespace } from './netns.ts'
import { temporaryFolder } from './process.ts'
import { body, example, path, surroundings, values } from './sidecar-workloads.ts'
import type { Spec, Workload } from './sidecar-workloads.ts'
import { until } from './wait.ts'

const root = join(import.meta.dirname, '../..')

suite('sidecars', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  const kubectl = (...args: string[]) => cluster.kubectl(...args)
  const running = (prefix: string) => kubelet.pods().find(({ name, ip }) => ip !== undefined && name.startsWith(prefix))
  const specOf = async (prefix: string) => JSON.parse(await kubectl('-n', 'ml', 'get', 'pod', running(prefix)?.name ?? '', '-o', 'json')) as { spec: Spec, metadata: { name: string } }
  const available = (name: string) => kubectl('-n', 'ml', 'wait', '--for=condition=Available', '--timeout=60s', `deploy/${name}`)
    .catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
  const metric = async (prefix: string, name: string) => {
    const text = await (await fetch(`http://${running(prefix)?.ip}:15904/metrics`)).text()
    return Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (.*)$`, 'm').exec(text)?.[1])
  }
  const post = async (url: string, headers: Record<string, string> = {}, timeout = 5_000) => {
    const response = await fetch(url + path, { method: 'POST', body, headers, signal: AbortSignal.timeout(timeout) })
    await response.arrayBuffer()
    return response
  }
  const pod = (labels: Record<string, string>, namespace = 'ml') => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name: `bare-${Object.keys(labels).length}`, namespace, labels },
    spec: {
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [{ name: 'own', image: 'own', command: ['sleep', '100'], securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } }],
    },
  })
  /** As the API server would store it, or why it would not. */
  const tried = async (object: object) => JSON.parse(await cluster.kubectl('create', '--dry-run=server', '-o', 'json', '-f', '-', { stdin: JSON.stringify(object) })) as { spec: Spec }

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    await cluster.apply([...surroundings, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } }])
    await cluster.helm('install', 'modelroute', join(root, 'charts/modelroute'), '-n', 'modelroute', '--create-namespace', '--wait', '--timeout', '90s', '--set', values)
      .catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
  })
  after(async () => {
    await kubelet?.stop()
    await cluster?.stop()
  })

  test('a pod that asks for one gets one, first of its init containers; others are left as they are', async () => {
    const got = await until('the policy to be in force', async () => {
      const { spec } = await tried(pod({ 'modelroute.io/inject': 'default' }))
      return spec
    })
    assert.deepEqual(got.initContainers?.map(({ name, restartPolicy }) => [name, restartPolicy]), [['modelroute-sidecar', 'Always']])
    const before = pod({ 'modelroute.io/inject': 'default' })
    const own = { ...before.spec.containers[0], name: 'mine' }
    const more = await tried({ ...before, spec: { ...before.spec, initContainers: [own], volumes: [{ name: 'mine', emptyDir: {} }] } })
    assert.deepEqual(more.spec.initContainers?.map(({ name }) => name), ['modelroute-sidecar', 'mine'])
    assert.deepEqual(more.spec.volumes?.map(({ name }) => name).filter((name) => !name.startsWith('kube-api')), ['mine', 'modelroute-tls', 'modelroute-state'])
    // One that was patched in, or that another run of the policy has added, is not added again.
    const again = await tried({ ...before, spec: got })
    assert.equal(again.spec.initContainers?.length, 1)
    const without = await tried(pod({ app: 'x' }))
    assert.deepEqual([without.spec.initContainers, without.spec.containers.length], [undefined, 1])
  })

  test('a pod that asks for what there is not is refused, and told so', async () => {
    const refused = (labels: Record<string, string>, why: RegExp, namespace?: string) => assert.rejects(tried(pod(labels, namespace)), why)
    await refused({ 'modelroute.io/inject': 'defualt' }, /there is no gateway defualt; there is default, guard/)
    await refused({ 'modelroute.io/inject': 'default', 'modelroute.io/inject-mode': 'both' }, /both is neither client nor server/)
    await refused({ 'modelroute.io/inject': 'guard', 'modelroute.io/inject-mode': 'server' }, /inject-port: of a model server it must say where that listens/)
    await refused({ 'modelroute.io/inject': 'default' }, /namespace other may have no sidecars; sidecar\.namespaces of the chart has ml/, 'other')
  })

  test('a model server answers through its guard, and only to who has a key', async (t) => {
    const objects = example('model-server')
    const began = performance.now()
    await cluster.apply(objects)
    await available('fraud')
    t.diagnostic(`from the manifest to an available pod, with the policy and the model server: ${Math.round(performance.now() - began)} ms`)
    const ip = running('fraud')?.ip
    // No moment without the rule: whoever is ready has its table.
    assert.equal((await post(`http://${ip}:15080`)).status, 401)
    const answer = await post(`http://${ip}:15080`, { 'x-api-key': 'k1' })
    assert.deepEqual([answer.status, answer.headers.get('x-modelroute-variant')], [200, 'own'])
    await assert.rejects(post(`http://${ip}:8000`), 'the model server itself is not to be reached')
    const slices = await cluster.api.list('/apis/discovery.k8s.io/v1/namespaces/ml/endpointslices')
    assert.deepEqual(slices.flatMap((slice) => slice['ports'] as { port: number }[]).map(({ port }) => port), [15080])
    await kubectl('-n', 'ml', 'wait', '--for=condition=Programmed', '--timeout=30s', 'modelroute/fraud', 'modelroute/fraud-guard')
    t.diagnostic(`idle, resident: ${Math.round(await metric('fraud', 'process_resident_memory_bytes') / 1_048_576)} MiB from sources`)
  })

  test('an application calls 127.0.0.1 and gets its fleet, from its first request on', async (t) => {
    await cluster.apply(example('application'))
    await available('shop')
    const logs = () => kubelet.logs('ml', 'shop', 'shop')
    await until('an answer', () => /asked 200 stable true/.test(logs()), { describe: logs })
    assert.match(logs(), /first 200/)
    // It is the application's alone.
    await assert.rejects(post(`http://${running('shop')?.ip}:15080`))
    assert.ok(await metric('shop', 'modelroute_sidecar_connections_total{result="carried"}') >= 1)
    t.diagnostic(`idle, resident: ${Math.round(await metric('shop', 'process_resident_memory_bytes') / 1_048_576)} MiB from sources`)
    // Whoever is no sidecar gets no further than the handshake.
    const gateway = running('modelroute-gateway-default')?.ip
    await assert.rejects(post(`https://${gateway}:9905`))
  })

  test('the sidecar serves until its application has ended, and ends with it', async () => {
    const { metadata: { name } } = await specOf('shop')
    const logs = () => kubelet.logs('ml', name, 'shop')
    await kubectl('-n', 'ml', 'scale', 'deploy/shop', '--replicas=0')
    let last = ''
    await until('the pod to be gone', () => {
      last = logs() || last
      return !kubelet.pods().some((one) => one.name === name)
    })
    assert.match(last, /at the end 200 stable true/)
  })

  test('a model server that is told to end answers what it has, through its sidecar', async () => {
    const { metadata: { name } } = await specOf('fraud')
    const held = post(`http://${running('fraud')?.ip}:15080`, { 'x-api-key': 'k1', 'x-hold': 'yes' }, 60_000)
    await until('the request to be with the model', () => kubelet.logs('ml', name, 'model').includes('held'))
    await kubectl('-n', 'ml', 'scale', 'deploy/fraud', '--replicas=0')
    const answer = await held
    assert.deepEqual([answer.status, answer.headers.get('x-modelroute-variant')], [200, 'own'])
    await until('the pod to be gone', () => !kubelet.pods().some((one) => one.name === name))
    await kubectl('-n', 'ml', 'scale', 'deploy/fraud', '--replicas=1')
    await available('fraud')
  })

  test('where no policy adds them, a pod without one is refused, and the patch of the release adds it', async () => {
    await kubectl('delete', 'mutatingadmissionpolicybinding', 'modelroute-sidecar')
    await until('the policy to be gone', () => tried(pod({ 'modelroute.io/inject': 'default' })).then(() => false, (error: Error) => /no sidecar was added/.test(error.message)))
    // As the page has it.
    const cwd = temporaryFolder('patched')
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: `${dirname(cluster.binaries.kubectl)}:${process.env['PATH'] ?? ''}` }
    const commands = typedIn(readFileSync(join(root, 'docs/sidecar.md'), 'utf8'))
    assert.equal(commands.length, 2)
    for (const command of commands) await inBash(command, { cwd, env })
    await kubectl('-n', 'ml', 'scale', 'deploy/shop', '--replicas=1')
    await available('shop')
    await until('an answer', () => /asked 200 stable true/.test(kubelet.logs('ml', 'shop', 'shop')))
    const { spec } = await specOf('shop')
    assert.deepEqual(spec.initContainers?.map(({ name: each, restartPolicy }) => [each, restartPolicy]), [['modelroute-sidecar', 'Always']])
  })

  test('the patch for kustomize makes of the example what the policy makes of it', async () => {
    const folder = temporaryFolder('kustomize')
    const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
    write('sidecar.yaml', await kubectl('-n', 'modelroute', 'get', 'configmap', 'modelroute-sidecar', '-o', 'jsonpath={.data.kustomize\\.yaml}'))
    copyFileSync(join(root, 'examples/sidecar/application.yaml'), join(folder, 'application.yaml'))
    const page = readFileSync(join(root, 'docs/sidecar.md'), 'utf8')
    const shown = /```yaml\n(# kustomization\.yaml[^]*?)```/.exec(page)?.[1]
    assert.ok(shown)
    write('kustomization.yaml', shown)
    const { stdout } = await promisify(execFile)(await kustomize(), ['build', folder])
    const [deployment] = parseAllDocuments(stdout).map((document) => document.toJS() as Workload)
    assert.ok(deployment)
    const { spec: template } = deployment.spec.template
    assert.deepEqual(template.initContainers?.map(({ name, restartPolicy }) => [name, restartPolicy]), [['modelroute-sidecar', 'Always']])
    // The API server takes the pods that come of it, which carry the label and have their sidecar already.
    const got = await tried({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'of-kustomize', namespace: 'ml', labels: deployment.spec.template.metadata.labels }, spec: template })
    assert.deepEqual(got.spec.initContainers?.map(({ name }) => name), ['modelroute-sidecar'])
  })
})
