// Sidecars whose certificates the controller does not make: brought by somebody, or asked of cert-manager itself.
import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { loadIssue } from '../../controller/certificates/load.ts'
import { certManager } from './chart/tools.ts'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { outsideNamespace } from './netns.ts'
import { Process, temporaryFolder } from './process.ts'
import { body, example, path, surroundings, values } from './sidecar-workloads.ts'
import { until } from './wait.ts'

const chart = join(import.meta.dirname, '../../charts/modelroute')
const namespace = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })

/** What there is before the chart. @returns values of the chart for it, and what ends it */
type Prepare = (cluster: ControlPlane) => Promise<Readonly<{ values: string; end?: () => Promise<void> }>>

/** As docs/sidecar.md tells it: the proxies' is for their host too, the sidecars' names the namespace. */
const brought: Prepare = async (cluster) => {
  const { issueAuthority, issueProxy, issueServer, issueSidecar } = await loadIssue()
  const now = new Date()
  const pair = await issueAuthority('own', now)
  const authority = { pair, certificate: new X509Certificate(pair.cert), key: createPrivateKey(pair.key), trusted: pair.cert }
  const secret = (inNamespace: string, name: string, { cert, key }: typeof pair) => ({
    apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name, namespace: inNamespace },
    stringData: { 'tls.crt': cert, 'tls.key': key, 'ca.crt': pair.cert },
  })
  await cluster.apply([namespace('modelroute')])
  await cluster.apply([
    secret('modelroute', 'push-controller', await issueServer(authority, ['modelroute-controller.modelroute.svc'], now)),
    secret('modelroute', 'push-proxy', await issueProxy(authority, 'proxy', 'modelroute-controller-proxy.modelroute.svc', now)),
    secret('ml', 'modelroute-controller-sidecar', await issueSidecar(authority, 'sidecar', 'ml', now)),
  ])
  return { values: 'certificates.existingSecret.controller=push-controller,certificates.existingSecret.proxy=push-proxy' }
}

const issued: Prepare = async (cluster) => {
  const { program, definitions } = await certManager()
  for (const definition of definitions) await cluster.kubectl('apply', '--server-side', '-f', '-', { stdin: definition })
  await cluster.kubectl('wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all')
  const manager = new Process({
    name: 'cert-manager', command: program, args: [cluster.kubeconfig, 'cert-manager'], log: join(temporaryFolder('cert-manager'), 'log'),
  })
  manager.start()
  const issuer = (name: string, spec: object) => ({ apiVersion: 'cert-manager.io/v1', kind: 'ClusterIssuer', metadata: { name }, spec })
  await cluster.apply([namespace('cert-manager')])
  await cluster.apply([
    issuer('root', { selfSigned: {} }),
    {
      apiVersion: 'cert-manager.io/v1', kind: 'Certificate', metadata: { name: 'internal-ca', namespace: 'cert-manager' },
      spec: { isCA: true, commonName: 'internal-ca', secretName: 'internal-ca', privateKey: { algorithm: 'ECDSA', size: 256 }, issuerRef: { name: 'root', kind: 'ClusterIssuer' } },
    },
    issuer('internal-ca', { ca: { secretName: 'internal-ca' } }),
  ])
  await cluster.kubectl('wait', '--for=condition=Ready', '--timeout=120s', 'clusterissuer/internal-ca')
    .catch((error: Error) => assert.fail(`${error.message}\n${manager.tail()}`))
  const ref = 'certificates.certManager.issuerRef'
  return {
    values: `certificates.issuer=cert-manager,${ref}.name=internal-ca,${ref}.kind=ClusterIssuer,${ref}.group=cert-manager.io`,
    end: async () => { await manager.kill('SIGTERM') },
  }
}

for (const [whose, prepare] of [['that were brought', brought], ['of cert-manager', issued]] as const) {
  suite(`sidecars with certificates ${whose}`, { skip: outsideNamespace() }, () => {
    let cluster: ControlPlane
    let kubelet: Kubelet
    let end: (() => Promise<void>) | undefined
    const described = async (error: Error) => assert.fail(`${error.message}\n${await kubelet.describe()}`)

    before(async () => {
      cluster = await startControlPlane({ controllerManager: true })
      kubelet = await startKubelet(cluster)
      await cluster.apply(surroundings)
      const prepared = await prepare(cluster)
      end = prepared.end
      await cluster.helm('install', 'modelroute', chart, '-n', 'modelroute', '--create-namespace', '--wait', '--timeout', '120s', '--set', values, '--set', prepared.values)
        .catch(described)
    })
    after(async () => {
      await end?.()
      await kubelet?.stop()
      await cluster?.stop()
    })

    test('an application reaches its fleet, and a model server behind its guard, by them', async () => {
      await cluster.apply([...example('model-server'), ...example('application')])
      await cluster.kubectl('-n', 'ml', 'wait', '--for=condition=Available', '--timeout=120s', 'deploy/fraud', 'deploy/shop').catch(described)
      const logs = () => kubelet.logs('ml', 'shop', 'shop')
      await until('an answer', () => /asked 200 stable true/.test(logs()), { timeout: 120_000, describe: logs })
      const guard = kubelet.pods().find(({ name }) => name.startsWith('fraud'))?.ip
      const answer = await fetch(`http://${guard}:15080${path}`, { method: 'POST', body })
      await answer.arrayBuffer()
      assert.equal(answer.status, 401)
    })

    test('the controller makes none of its own', async () => {
      const made = await cluster.kubectl('get', 'secrets', '-A', '-o', 'name', '-l', 'app.kubernetes.io/managed-by=modelroute-controller')
      assert.deepEqual(made.trim().split('\n'), ['secret/modelroute-pepper'])
    })
  })
}
