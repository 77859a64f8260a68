// The chart as it runs: in a namespace that enforces the restricted Pod Security Standard, two fleets and a Redis of its
// own, with the words of its notes and with `helm test`.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

const chart = join(import.meta.dirname, '../../charts/modelroute')
/** A Service's port is its target's where the Pods are processes. */
const values = {
  gateways: [{ name: 'default' }, { name: 'internal' }],
  gatewayDefaults: { replicas: 1, service: { port: 8080, httpsPort: 8443 }, drain: { delaySeconds: 0, timeoutSeconds: 1 } },
  controller: { hostnameBindings: [{ host: '*', namespace: 'ml' }] },
  networkPolicy: { clients: [{ namespaceSelector: {} }], models: [{ namespace: 'ml', podLabels: { app: 'fraud' }, gateways: ['internal'] }] },
  redis: { enabled: true },
  // A machine that does much else takes its time; a test that does not go well ends by the file's limit.
  tests: { timeoutSeconds: 200 },
}

type Selected = Readonly<{ podSelector: { matchLabels: Record<string, string>, matchExpressions?: { key: string, values: string[] }[] }, namespaceSelector: { matchLabels: Record<string, string> } }>

suite('the chart, running', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let notes = ''

  const typed = (program: string) => notes.split('\n').map((line) => line.trim()).filter((line) => line.startsWith(`${program} `))
  /** What somebody who reads the notes would type. */
  const shell = async (command: string) => {
    const [program = '', ...words] = command.split(' ')
    return await (program === 'helm' ? cluster.helm : cluster.kubectl)(...words, { timeout: 200_000 })
      .catch(async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`))
  }
  const address = (gateway: string) => kubelet.pods().find(({ labels }) => labels['modelroute.io/gateway'] === gateway)?.ip
  const ask = async (gateway: string) => {
    const { stdout } = await promisify(execFile)('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '5', '-H', 'host: limited.example.com', `http://${address(gateway)}:8080/`])
    return stdout
  }

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gateway', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ml' } },
    ])
    notes = await cluster.helm('install', 'mr', chart, '-n', 'gateway', '-f', '-', { stdin: JSON.stringify(values) })
  })
  after(async () => {
    await kubelet?.stop()
    await cluster?.stop()
  })

  test('is up once the first command of its notes returns', async () => {
    const [wait = ''] = typed('kubectl')
    assert.match(wait, /^kubectl -n gateway wait --for=condition=Available/)
    const said = await shell(wait)
    for (const name of ['controller', 'gateway-default', 'gateway-internal', 'redis']) assert.match(said, new RegExp(`mr-modelroute-${name} condition met`))
  })

  test('helm test makes a route and gets an answer through every gateway, though all hosts are bound to somebody else', async () => {
    const [helm = ''] = typed('helm')
    assert.equal(helm, 'helm -n gateway test mr --logs')
    const said = await shell(helm)
    assert.match(said, /Phase: +Succeeded/)
    assert.match(said, /ModelRoute gateway\/selftest-\w+: Programmed/)
    for (const gateway of ['default', 'internal']) assert.match(said, new RegExp(`gateway ${gateway}: http://mr-modelroute-gateway-${gateway}\\.gateway\\.svc:8080 leads to the model server`))
  })

  test('of a test nothing stays but its pod, and it can be done again', async () => {
    const left = async () => await cluster.kubectl('-n', 'gateway', 'get', 'modelroute,serviceaccount,role,rolebinding,service,networkpolicy,pod', '-o', 'name')
    const names = (await left()).split('\n').filter((name) => name.includes('selftest'))
    assert.deepEqual(names, ['pod/mr-modelroute-selftest'])
    await shell('helm -n gateway test mr')
  })

  test('fleets count limits together in the Redis of the release', async () => {
    await cluster.apply([
      {
        apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'limited', namespace: 'ml' },
        spec: {
          gatewayNames: ['default', 'internal'], hostnames: ['limited.example.com'],
          rules: [{ name: 'all', backendRefs: [{ variant: 'none', name: 'none', port: 8000 }], fallbackResponse: { status: 200, contentType: 'text/plain', body: 'nobody' } }],
        },
      },
      {
        apiVersion: 'modelroute.io/v1alpha1', kind: 'RateLimitPolicy', metadata: { name: 'one', namespace: 'ml' },
        spec: {
          targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'limited' }],
          limits: [{ name: 'one', rate: { requests: 1, window: '24h' }, scope: 'Global', onStoreFailure: 'Deny' }],
        },
      },
    ])
    await cluster.kubectl('-n', 'ml', 'wait', '--for=condition=Programmed', '--timeout=60s', 'modelroute/limited', 'ratelimitpolicy/one')
    // 503 until a proxy has its connection; 429 where an answer came too late for the one who asked.
    await until('the first request to be counted', async () => ['200', '429'].includes(await ask('default')), { timeout: 60_000 })
    await until('the other fleet to know of it', async () => await ask('internal') === '429', { timeout: 60_000 })
  })

  test('the policy around model servers admits the pods of the gateways that it names, and no other of the release', async () => {
    const { spec } = await cluster.api.get<{ spec: { podSelector: object, ingress: [{ from: [Selected] }] } }>('/apis/networking.k8s.io/v1/namespaces/ml/networkpolicies/mr-modelroute-models')
    assert.deepEqual(spec.podSelector, { matchLabels: { app: 'fraud' } })
    const [{ podSelector: { matchLabels, matchExpressions = [] }, namespaceSelector }] = spec.ingress[0].from
    const words = [...Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`), ...matchExpressions.map(({ key, values: [value] }) => `${key} in (${value})`)]
    const pods = await cluster.kubectl('-n', 'gateway', 'get', 'pods', '-o', 'name', '-l', words.join(','))
    assert.match(pods, /^pod\/mr-modelroute-gateway-internal-[^\n]+\n$/)
    const [where = ''] = Object.entries(namespaceSelector.matchLabels).map(([key, value]) => `${key}=${value}`)
    assert.equal(await cluster.kubectl('get', 'namespaces', '-o', 'name', '-l', where), 'namespace/gateway\n')
  })

  test('Helm can keep what it knows of the release, definitions included: a Secret is a megabyte at most', async () => {
    const secrets = await cluster.api.list<{ type: string, data: Record<string, string> }>('/api/v1/namespaces/gateway/secrets')
    const release = secrets.find(({ type }) => type === 'helm.sh/release.v1') ?? assert.fail('there is no release')
    const size = Buffer.from(release.data['release'] ?? '', 'base64').length
    assert.ok(size > 10_000 && size < 1_048_576 / 2, `${size} bytes`)
  })
})
