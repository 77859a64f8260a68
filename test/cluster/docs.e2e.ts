// Pages that need a cluster, walked: the tutorial of KServe, backup and restore, and what the runbooks look at. Then all manifests
// of examples/, on the API server and before the controller.
import assert from 'node:assert/strict'
import { globSync, readFileSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, suite, test, type TestContext } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { startController } from '../../controller/main.ts'
import { inBash } from '../bash.ts'
import { blocksOf, emptyFolder, walk, type WalkOptions } from '../walk.ts'
import type { KubeObject } from './api.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'
import { portForward } from './forward.ts'
import { startKubelet, type Kubelet } from './kubelet.ts'
import { outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

const root = join(import.meta.dirname, '../..')
const pageOf = (name: string) => readFileSync(join(root, 'docs', name), 'utf8')

suite('the pages that need a cluster', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  const forwards: (() => void)[] = []

  /** A reader at the root of the repository, with kubectl and helm. */
  function reader(t: TestContext): WalkOptions {
    const { cwd, bin, env } = emptyFolder(t)
    symlinkSync(join(root, 'charts'), join(cwd, 'charts'))
    for (const program of [cluster.binaries.helm, cluster.binaries.kubectl]) symlinkSync(program, join(bin, basename(program)))
    return { cwd, env: { ...env, KUBECONFIG: cluster.kubeconfig }, stands: { forward } }
  }

  /** `kubectl port-forward` of a Deployment or Service named like the label of its pods. */
  async function forward(text: string): Promise<void> {
    for (const [, object = '', local = '', port = local] of text.matchAll(/^kubectl -n modelroute port-forward \w+\/modelroute-(\S+) (\d+)(?::\d+)?()/gm)) {
      const component = object.split('-')[0]
      const pod = kubelet.pods().find(({ labels }) => labels['app.kubernetes.io/component'] === component)
      assert.ok(pod, object)
      // The gateway's Service has port 80 for its pods' 8080.
      forwards.push(await portForward(pod.enter, Number(port || local), Number(local)))
    }
  }
  const endForwards = () => { for (const end of forwards.splice(0)) end() }

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    await cluster.apply([inferenceServices(), referenceGrants()])
    await cluster.kubectl('wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all')
  })
  after(async () => {
    endForwards()
    await kubelet?.stop()
    await cluster?.stop()
  })

  test('tutorials/kserve.md: two InferenceServices, a canary, and back', async (t) => {
    const options = reader(t)
    // What KServe's controller does of this: a Deployment and a Service each, and the condition.
    const kserve = async (text: string) => {
      assert.match(text, /^kubectl -n ml wait --for=condition=Ready /)
      for (const { metadata: { name } } of await cluster.api.list(isvcs)) {
        await cluster.apply(predictor(name))
        await cluster.kubectl('-n', 'ml', 'wait', '--for=condition=Available', '--timeout=60s', `deploy/${name}-predictor`)
        const status = { conditions: [{ type: 'Ready', status: 'True' }], address: { url: `http://${name}-predictor.ml.svc.cluster.local` } }
        await cluster.api.patch(`${isvcs}/${name}/status`, { status })
      }
      await cluster.kubectl(...text.trim().split(' ').slice(1))
    }
    const gateway = (text: string) => forward(text.replace('8080:80 ', '8080 '))
    await walk(t, blocksOf(pageOf('tutorials/kserve.md')), { ...options, stands: { kserve, forward: gateway } })
      .catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
    endForwards()
  })

  test('operations/backup.md: a rollout stands where it stood, though its route was deleted', async (t) => {
    const options = reader(t)
    const rule = async () => ((await cluster.api.get(`${routes}/iris`))['status'] as { rules?: { phase: string; step: number; backends: unknown }[] } | undefined)?.rules?.[0]
    const kubectl = (...args: string[]) => cluster.kubectl('-n', 'ml', ...args)
    await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'ann', namespace: 'ml', labels: { 'modelroute.io/credential': 'api-key' } }, stringData: { keySha256: 'a'.repeat(64) } })
    // Under way: at its first step, waiting.
    await kubectl('patch', 'modelroute', 'iris', '--type=json', '-p', JSON.stringify([
      { op: 'replace', path: '/spec/rules/0/backendRefs/0/weight', value: 10 }, { op: 'replace', path: '/spec/rules/0/backendRefs/1/weight', value: 90 },
    ]))
    await until('the first step', async () => (await rule())?.phase === 'AwaitingApproval')
    const before = await rule()
    const [backup, restore] = halves(blocksOf(pageOf('operations/backup.md')).filter(({ language }) => language === 'bash'))
    await walk(t, backup, options)
    const stop = restore.slice(0, 1)
    await walk(t, stop, options)
    await kubectl('delete', 'modelroute', 'iris')
    await kubectl('delete', 'secret', 'ann')
    await walk(t, restore.slice(1), options)
    await kubectl('get', 'secret', 'ann')
    const { phase, step, backends } = await rule() ?? {}
    assert.deepEqual({ phase, step, backends }, { phase: before?.phase, step: before?.step, backends: before?.backends })
  })

  test('alerts.md: what the runbooks look at is there', async (t) => {
    const { cwd, env = {} } = reader(t)
    const [names, forwarded, ...looks] = blocksOf(pageOf('alerts.md')).filter(({ language }) => language === 'bash')
    await forward(forwarded?.text ?? '')
    assert.ok(looks.length >= 23)
    try {
      for (const { text } of looks) {
        // It changes nothing, and so may be done again where something took too long on a machine with other work.
        await until(text, () => inBash(`${names?.text.replace('ROUTE=fraud', 'ROUTE=iris')}${text}`, { cwd, env }), { timeout: 60_000, every: 1000 })
      }
    } finally {
      endForwards()
    }
  })

  test('the API server takes every manifest of examples/, and the controller accepts each', async (t) => {
    const files = globSync('examples/**/*.{yaml,yml}', { cwd: root }).sort()
    // The quickstart's endpoints are of one machine: no API server lets a slice name loopback.
    const objects = files.flatMap((file) => objectsOf(file).filter(({ kind }) => kind !== 'EndpointSlice').map((object) => ({ file, object })))
    assert.ok(objects.length > 30)
    // What the administrator has to admit, this one does; the chart's controller would have to be told.
    await cluster.kubectl('-n', 'modelroute', 'scale', 'deploy/modelroute-controller', '--replicas=0')
    // Names of examples are those of their pages, and come again: each file has a namespace and a host of its own.
    const namespaces = new Map(files.map((file, at) => [file, `example-${at}`]))
    await cluster.apply([...namespaces.values()].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })))
    const placed = objects.map(({ file, object }): KubeObject => {
      const namespace = namespaces.get(file) ?? ''
      const hosted = object.kind === 'ModelRoute' ? { spec: { ...object['spec'] as object, hostnames: [`${namespace}.example.com`] } } : {}
      return { ...object, ...hosted, metadata: { ...object.metadata, namespace } }
    })
    // Workloads are only asked about: nothing here is there to run them.
    const [workloads, ours] = [placed.filter(({ apiVersion }) => apiVersion?.startsWith('apps/')), placed.filter(({ apiVersion }) => !apiVersion?.startsWith('apps/'))]
    if (workloads.length > 0) await cluster.kubectl('apply', '--dry-run=server', '-f', '-', { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: workloads }) })
    await cluster.apply(ours)
    const controller = await startController({
      source: { cluster: { kubeconfig: cluster.kubeconfig, namespaces: [], secretNamespaces: [...namespaces.values()], leaderElect: false } },
      control: { host: '127.0.0.1', port: 0 }, allowUrls: ['*.example.com'], allowUnmanagedEndpointSlices: false, log: () => {}, listening: () => {},
    })
    t.after(() => controller.close())
    const told = async (kind: string) => JSON.parse(await cluster.kubectl('get', kind, '-A', '-o', 'json')) as { items: KubeObject[] }
    for (const kind of ['modelroutes', 'ratelimitpolicies']) {
      const wanted = placed.filter((object) => object.kind?.toLowerCase() === (kind === 'modelroutes' ? 'modelroute' : 'ratelimitpolicy'))
      assert.ok(wanted.length > 5)
      await until(`every one of ${kind} to be accepted`, async () => {
        const { items } = await told(kind)
        const refused = wanted.flatMap(({ metadata: { name, namespace } }) => {
          const { conditions = [] } = (items.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace)?.['status'] ?? {}) as { conditions?: { type: string; status: string; message: string }[] }
          const accepted = conditions.find(({ type }) => type === 'Accepted')
          return accepted?.status === 'True' ? [] : [`${files[Number(namespace?.slice(8))]} ${name}: ${accepted?.message ?? 'not looked at yet'}`]
        })
        if (refused.length > 0) throw new Error(refused.join('\n'))
        return true
      })
    }
  })
})

const isvcs = '/apis/serving.kserve.io/v1beta1/namespaces/ml/inferenceservices'
const routes = '/apis/modelroute.io/v1alpha1/namespaces/ml/modelroutes'

/** What comes before the controller is stopped, and what from there on. */
function halves<T extends { text: string }>(blocks: readonly T[]): [T[], T[]] {
  const at = blocks.findIndex(({ text }) => text.includes('--replicas=0'))
  return [blocks.slice(0, at), blocks.slice(at)]
}

const objectsOf = (file: string): KubeObject[] => parseAllDocuments(readFileSync(join(root, file), 'utf8'))
  .map((document) => document.toJS() as KubeObject | null).filter((object): object is KubeObject => object?.apiVersion !== undefined)

/** The kinds of others that a test needs: their names, and whatever is in them. */
function crd(group: string, version: string, kind: string, status: object): object {
  const plural = `${kind.toLowerCase()}s`
  return {
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' } },
    spec: {
      group, scope: 'Namespaced', names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: version, served: true, storage: true, ...status, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }],
    },
  }
}
const inferenceServices = () => crd('serving.kserve.io', 'v1beta1', 'InferenceService', { subresources: { status: {} } })
const referenceGrants = () => crd('gateway.networking.k8s.io', 'v1beta1', 'ReferenceGrant', {})

/** The predictor of an InferenceService, as its Service shows it: V2, under the name of the InferenceService. */
function predictor(name: string): object[] {
  const labels = { app: `isvc.${name}-predictor` }
  const program = `require('node:http').createServer((request, response) => { request.resume(); response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ model_name: request.url.split('/')[3], outputs: [{ name: 'output-0', shape: [1], datatype: 'INT64', data: [1] }] })) }).listen(8080)`
  const container = {
    name: 'kserve-container', image: 'kserve', command: ['node', '-e', program], ports: [{ containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/v2/health/ready', port: 8080 }, periodSeconds: 1 },
  }
  return [
    {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: `${name}-predictor`, namespace: 'ml' },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [container] } } },
    },
    {
      apiVersion: 'v1', kind: 'Service', metadata: { name: `${name}-predictor`, namespace: 'ml' },
      spec: { selector: labels, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    },
  ]
}
