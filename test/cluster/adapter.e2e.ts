// What the chart's autoscaler asks for by its name, from a real prometheus-adapter with the rule of docs/chart.md, before a
// real Prometheus that scrapes a real proxy, through a real API server.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { loadIssue } from '../../controller/certificates/load.ts'
import { testProxy } from '../dataplane/proxy.ts'
import { httpUpstream } from '../dataplane/sockets.ts'
import { active, route } from '../dataplane/table.ts'
import { freePorts } from '../free-ports.ts'
import { startPrometheus } from '../servers/prometheus.ts'
import { prometheusAdapter } from './chart/tools.ts'
import { cannotRun } from './build.ts'
import { startControlPlane } from './control-plane.ts'
import { Process, temporaryFolder } from './process.ts'
import { until } from './wait.ts'

const root = join(import.meta.dirname, '../..')

type Listed = Readonly<{ items: readonly Readonly<{ describedObject: { name: string }; metricName: string; value: string }>[] }>
type Autoscaler = Readonly<{ kind: string; spec: { metrics: readonly { type: string; pods?: { metric: { name: string } } }[] } }>

suite('requests in flight, for an autoscaler', { skip: await cannotRun() }, () => {
  test('the adapter offers them under the name that the chart asks for', { timeout: 300_000 }, async (t) => {
    const folder = temporaryFolder('adapter')
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const [prometheusPort = 0, adapterPort = 0] = await freePorts(2)
    // The API server shows this to those whose APIs it offers as its own.
    const { issueAuthority, issueProxy } = await loadIssue()
    const front = await issueAuthority('front-proxy', new Date())
    const signer = { pair: front, certificate: new X509Certificate(front.cert), key: createPrivateKey(front.key), trusted: front.cert }
    const client = await issueProxy(signer, 'front-proxy', 'front-proxy', new Date())
    const cluster = await startControlPlane({ apiServerArgs: [
      `--requestheader-client-ca-file=${file('front.crt', front.cert)}`, '--requestheader-username-headers=X-Remote-User',
      '--requestheader-group-headers=X-Remote-Group', '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      `--proxy-client-cert-file=${file('client.crt', client.cert)}`, `--proxy-client-key-file=${file('client.key', client.key)}`,
    ] })
    t.after(() => cluster.stop())

    // Two requests wait for their model.
    const port = await httpUpstream(t, () => {})
    const proxy = await testProxy(t, active('1', [route({ hostnames: [] })], { 'ml/s:80': [port] }))
    for (let n = 0; n < 2; n++) void fetch(proxy.url).catch(() => {})
    const prometheus = await startPrometheus(prometheusPort, { proxy: { target: new URL(proxy.urls.admin ?? '').host, labels: { namespace: 'modelroute', pod: 'gateway-0' } } })
    t.after(() => prometheus.stop())

    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'modelroute' } },
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'monitoring' } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: 'modelroute' } },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'gateway-0', namespace: 'modelroute', labels: { app: 'gateway' } }, spec: { containers: [{ name: 'proxy', image: 'proxy' }] } },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'adapter', namespace: 'monitoring' }, spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port: adapterPort }] } },
      {
        apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', metadata: { name: 'v1beta1.custom.metrics.k8s.io' },
        spec: {
          group: 'custom.metrics.k8s.io', version: 'v1beta1', groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true,
          service: { name: 'adapter', namespace: 'monitoring', port: adapterPort },
        },
      },
    ])
    const docs = readFileSync(join(root, 'docs/chart.md'), 'utf8')
    const rule = /```yaml\n(rules:\n {2}custom:\n[^]*?)```/.exec(docs)?.[1]
    assert.ok(rule)
    // As its own chart has it.
    const config = file('config.yaml', rule.replace(/^ {2}custom:\n/m, '').replaceAll(/^ {2}/gm, ''))
    const adapter = new Process({
      name: 'prometheus-adapter', command: await prometheusAdapter(), log: join(folder, 'adapter.log'),
      args: [
        `--secure-port=${adapterPort}`, '--bind-address=127.0.0.1', `--cert-dir=${folder}`, `--config=${config}`, `--prometheus-url=http://127.0.0.1:${prometheusPort}/`,
        '--metrics-relist-interval=2s', '--metrics-max-age=1m', ...['lister', 'authentication', 'authorization'].map((name) => `--${name}-kubeconfig=${cluster.kubeconfig}`),
      ],
    })
    adapter.start()
    t.after(() => adapter.kill('SIGTERM'))

    const rendered = await cluster.helm('template', 'modelroute', join(root, 'charts/modelroute'), '--set', 'gatewayDefaults.autoscaling.enabled=true,gatewayDefaults.autoscaling.targetInflightRequests=200')
    const autoscaler = parseAllDocuments(rendered).map((document) => document.toJS() as Autoscaler | null).find((object) => object?.kind === 'HorizontalPodAutoscaler')
    const name = autoscaler?.spec.metrics.find(({ type }) => type === 'Pods')?.pods?.metric.name
    assert.ok(name)
    let last = ''
    const found = await until('the metric', async () => {
      last = await cluster.kubectl('get', '--raw', `/apis/custom.metrics.k8s.io/v1beta1/namespaces/modelroute/pods/*/${name}?labelSelector=app%3Dgateway`).catch((error: Error) => error.message)
      return last.startsWith('{') && (JSON.parse(last) as Listed).items.some(({ value }) => value === '2') ? JSON.parse(last) as Listed : undefined
    }, { timeout: 200_000, every: 500, describe: () => `${last}\n${adapter.tail()}` })
    assert.deepEqual(found.items.map((item) => [item.describedObject.name, item.metricName, item.value]), [['gateway-0', name, '2']])
  })
})
