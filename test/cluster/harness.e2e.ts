// Proves the harness itself: a real control plane, and Pods that live and die as Pods do.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, suite, test } from 'node:test'
import { startControlPlane } from './control-plane.ts'
import type { ControlPlane } from './control-plane.ts'
import { startKubelet } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'
import { outsideNamespace } from './netns.ts'
import { until } from './wait.ts'

type Slices = { endpoints?: { addresses: string[], conditions: { ready: boolean } }[] }[]

suite('the kubelet of processes', { skip: outsideNamespace() }, () => {
  let cluster: ControlPlane
  let kubelet: Kubelet
  let marks: string

  before(async () => {
    cluster = await startControlPlane({ controllerManager: true })
    kubelet = await startKubelet(cluster)
    marks = join(cluster.folder, 'marks')
    mkdirSync(marks)
    chmodSync(marks, 0o777)
    await cluster.apply(manifests(marks))
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
  })
  after(async () => {
    await kubelet?.stop()
    await cluster?.stop()
  })

  afterEach(async (context) => {
    if ('passed' in context && !context.passed) console.log(await kubelet.describe())
  })

  const ask = async (host: string, path: string): Promise<unknown> => {
    const response = await fetch(`http://${host}:8080${path}`)
    const text = await response.text()
    assert.equal(response.status, 200, text)
    return JSON.parse(text) as unknown
  }
  const addresses = async () => {
    const slices = await cluster.api.list(
      '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dweb',
    ) as unknown as Slices
    return slices.flatMap(({ endpoints }) => endpoints ?? []).filter(({ conditions }) => conditions.ready)
      .flatMap(({ addresses }) => addresses).sort()
  }
  const running = () => kubelet.pods().filter(({ labels }) => labels.app === 'web')

  test('a Deployment becomes ready, and its Service has an EndpointSlice with the addresses of its Pods', async () => {
    const deployment = await cluster.kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.status.readyReplicas}')
    assert.equal(deployment, '2')
    const ips = running().map(({ ip }) => ip!).sort()
    assert.equal(ips.length, 2)
    await until('both addresses', async () => (await addresses()).join() === ips.join())
  })

  test('two Pods that bind the same port on every address both answer the test', async () => {
    for (const { name, ip } of running()) {
      const seen = await ask(ip!, '/') as Record<string, unknown>
      assert.deepEqual(seen, { hostname: name, pod: name, ip, uid: 65532, pid: 1 })
    }
  })

  test('the environment holds fields, ConfigMap and Secret keys, and expanded references', async () => {
    const env = await ask(running()[0]!.ip!, '/env') as Record<string, string>
    assert.equal(env.NAMESPACE, 'default')
    assert.equal(env.NODE, 'node-1')
    assert.equal(env.COLOUR, 'green')
    assert.equal(env.PASSWORD, 'first')
    assert.equal(env.ADDRESS, `${env.POD_IP}:8080 $(NOBODY)`)
    assert.equal(env.MR_PATH, undefined)
  })

  test('a changed Secret reaches the mount, and a read-only root refuses a write', async () => {
    const { ip } = running()[0]!
    const password = () => ask(ip!, '/file?path=/etc/app/secret/password')
    assert.equal(await password(), 'first')
    await cluster.api.patch('/api/v1/namespaces/default/secrets/app', { stringData: { password: 'second' } })
    await until('the new password', async () => await password() === 'second', { timeout: 5_000 })
    assert.match(await (await fetch(`http://${ip}:8080/write`)).text(), /EROFS/)
  })

  test('names of Services resolve to ready Pods, from a Pod and from the test', async () => {
    const expected = await addresses()
    for (const name of ['web', 'web.default', 'web.default.svc', 'web.default.svc.cluster.local']) {
      assert.deepEqual((await ask(running()[0]!.ip!, `/lookup?name=${name}`) as string[]).sort(), expected, name)
    }
    const answer = await ask('web.default.svc', '/') as { pod: string }
    assert.ok(running().some(({ name }) => name === answer.pod))
    assert.match(await (await fetch(`http://${expected[0]}:8080/lookup?name=absent.default.svc`)).text(), /ENOTFOUND/)
  })

  test('the service account token of a Pod may do what its Role says, and nothing else', async () => {
    const { ip } = running()[0]!
    assert.equal(await ask(ip!, '/ask?path=/api/v1/namespaces/default/pods'), 200)
    assert.equal(await ask(ip!, '/ask?path=/api/v1/namespaces/default/secrets'), 403)
    assert.equal(await ask(ip!, '/file?path=/var/run/secrets/kubernetes.io/serviceaccount/namespace'), 'default')
  })

  test('the logs of a Pod are read with kubectl', async () => {
    assert.match(await cluster.kubectl('logs', `pod/${running()[0]!.name}`), /listening/)
  })

  test('a deleted Pod leaves the EndpointSlice, runs preStop, then gets SIGTERM, and is replaced', async () => {
    const { name, ip } = running()[0]!
    await cluster.kubectl('delete', 'pod', name, '--timeout=20s')
    assert.equal(readFileSync(join(marks, name), 'utf8'), 'preStop\nSIGTERM\n')
    assert.ok(!(await addresses()).includes(ip!))
    await cluster.kubectl('rollout', 'status', 'deployment/web', '--timeout=30s')
    assert.equal(running().length, 2)
  })

  test('scaling up and down changes the addresses', async () => {
    await cluster.kubectl('scale', 'deployment/web', '--replicas=4')
    await until('four addresses', async () => (await addresses()).length === 4)
    await cluster.kubectl('scale', 'deployment/web', '--replicas=1')
    await until('one address', async () => (await addresses()).length === 1)
    await until('three Pods gone', () => running().length === 1)
  })

  test('a killed container is restarted and counted', async () => {
    const { name } = running()[0]!
    assert.equal(kubelet.kill('default', name), 1)
    const status = async () => (await cluster.api.get(`/api/v1/namespaces/default/pods/${name}`)).status as {
      containerStatuses: { ready: boolean, restartCount: number, lastState: { terminated?: { exitCode: number } } }[]
    }
    await until('a restart', async () => {
      const [container] = (await status()).containerStatuses
      return container!.ready && container!.restartCount === 1
    })
    assert.equal((await status()).containerStatuses[0]!.lastState.terminated?.exitCode, 137)
  })

  test('init containers and sidecars run first, and a Job completes', async () => {
    await cluster.apply(job)
    await cluster.kubectl('wait', '--for=condition=Complete', 'job/once', '--timeout=30s')
  })

  test('helm installs, waits for its hooks and Pods, upgrades and uninstalls', async () => {
    const chart = join(cluster.folder, 'chart')
    mkdirSync(join(chart, 'templates'), { recursive: true })
    writeFileSync(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: trivial\nversion: 1.0.0\n')
    writeFileSync(join(chart, 'values.yaml'), 'replicas: 1\n')
    writeFileSync(join(chart, 'templates/all.yaml'), template)
    await cluster.helm('install', 'trivial', chart, '--wait', '--timeout=60s')
    const ready = () => cluster.kubectl('get', 'deployment', 'trivial', '-o', 'jsonpath={.status.readyReplicas}')
    assert.equal(await ready(), '1')
    await cluster.helm('upgrade', 'trivial', chart, '--set', 'replicas=2', '--wait', '--timeout=60s')
    assert.equal(await ready(), '2')
    await cluster.helm('uninstall', 'trivial', '--wait', '--timeout=60s')
    await until('its Pods gone', () => kubelet.pods().every(({ labels }) => labels.app !== 'trivial'))
  })

  test('a Pod that waits for a Secret starts when there is one', async () => {
    await cluster.apply(waiting)
    const path = 'jsonpath={.status.containerStatuses[0].state}'
    const state = () => cluster.kubectl('get', 'pod', 'waiting', '-o', path)
    await until('a reason', async () => (await state()).includes('late\\" not found'))
    await cluster.kubectl('create', 'secret', 'generic', 'late', '--from-literal=a=b')
    await cluster.kubectl('wait', '--for=condition=Ready', 'pod/waiting', '--timeout=20s')
    await cluster.kubectl('delete', 'pod', 'waiting', '--grace-period=1')
  })

  test('a Pod that needs what is not emulated is told so', async () => {
    await cluster.apply({
      apiVersion: 'v1', kind: 'Pod', metadata: { name: 'odd' },
      spec: { hostNetwork: true, containers: [{ name: 'odd', image: 'odd', command: ['true'] }] },
    })
    const seen = () => cluster.kubectl('get', 'pod', 'odd', '-o', 'yaml')
    await until('the refusal', async () => (await seen()).includes('NotEmulated'))
    await cluster.kubectl('delete', 'pod', 'odd')
  })

  test('etcd and the API server come back after kill -9 with what they knew, and Pods go on', async () => {
    const { name, ip } = running()[0]!
    await cluster.apiServer.kill()
    await cluster.etcd.kill()
    assert.equal((await ask(ip!, '/') as { pod: string }).pod, name)
    await cluster.etcd.start()
    await cluster.apiServer.start()
    assert.equal(await cluster.kubectl('get', 'pod', name, '-o', 'jsonpath={.status.podIP}'), ip)
    await cluster.kubectl('scale', 'deployment/web', '--replicas=2')
    await until('a second Pod', async () => (await addresses()).length === 2)
  })
})

function manifests(marks: string): object[] {
  const labels = { app: 'web' }
  return [
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'app' }, stringData: { password: 'first' } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'app' }, data: { colour: 'green' } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web' } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'web' },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name: 'web' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'web' },
      subjects: [{ kind: 'ServiceAccount', name: 'web', namespace: 'default' }],
    },
    {
      apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' },
      spec: { selector: labels, ports: [{ port: 8080 }] },
    },
    {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' },
      spec: {
        replicas: 2, selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: 'web', terminationGracePeriodSeconds: 10,
            securityContext: { runAsNonRoot: true, fsGroup: 65532 },
            volumes: [
              { name: 'secret', secret: { secretName: 'app', defaultMode: 0o400 } },
              { name: 'marks', hostPath: { path: marks } },
            ],
            containers: [{
              name: 'web', image: 'example.com/web:1', command: ['node', '/app/test/cluster/fixtures/server.ts'],
              securityContext: {
                readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] },
              },
              env: [
                { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
                { name: 'NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
                { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
                { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'app', key: 'colour' } } },
                { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'app', key: 'password' } } },
                { name: 'ADDRESS', value: '$(POD_IP):8080 $(NOBODY)' },
              ],
              ports: [{ name: 'http', containerPort: 8080 }],
              startupProbe: { tcpSocket: { port: 'http' } },
              readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
              livenessProbe: { exec: { command: ['sh', '-c', 'test "$COLOUR" = green'] }, periodSeconds: 1 },
              lifecycle: {
                preStop: { exec: { command: ['sh', '-c', 'sleep 0.3; echo preStop >> /marks/$HOSTNAME'] } },
              },
              volumeMounts: [
                { name: 'secret', mountPath: '/etc/app/secret', readOnly: true },
                { name: 'marks', mountPath: '/marks' },
              ],
            }],
          },
        },
      },
    },
  ]
}

const job = {
  apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'once' },
  spec: {
    template: {
      spec: {
        restartPolicy: 'Never',
        volumes: [{ name: 'shared', emptyDir: {} }],
        initContainers: [
          {
            name: 'sidecar', image: 'none', restartPolicy: 'Always',
            command: ['sh', '-c', 'trap "exit 0" TERM; echo side > /shared/side; while :; do sleep 0.1; done'],
            startupProbe: { exec: { command: ['test', '-s', '/shared/side'] } },
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          },
          {
            name: 'first', image: 'none', command: ['sh', '-c', 'cat /shared/side > /shared/first'],
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          },
        ],
        containers: [{
          name: 'main', image: 'none', command: ['sh', '-c', 'test "$(cat /shared/first)" = side'],
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
        }],
      },
    },
  },
}

const waiting = {
  apiVersion: 'v1', kind: 'Pod', metadata: { name: 'waiting' },
  spec: {
    containers: [{
      name: 'main', image: 'none', command: ['sh', '-c', 'test "$A" = b && exec sleep infinity'],
      env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'late', key: 'a' } } }],
      volumeMounts: [{ name: 'late', mountPath: '/late' }],
    }],
    volumes: [{ name: 'late', secret: { secretName: 'late' } }],
  },
}

const template = `
apiVersion: batch/v1
kind: Job
metadata: {name: trivial-before, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: none, command: ["true"]}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: trivial}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: trivial}}
  template:
    metadata: {labels: {app: trivial}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: none, command: [sleep, infinity]}]
`
