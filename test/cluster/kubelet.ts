// A kubelet of processes: the node of a cluster started by control-plane.ts (with `controllerManager: true`), on which
// the Pods of real Deployments run as processes of this machine.
//
//   const cluster = await startControlPlane({ controllerManager: true })
//   const kubelet = await startKubelet(cluster)
//   await cluster.helm('install', 'mr', 'charts/modelroute', '--wait')
//   await cluster.kubectl('rollout', 'status', 'deployment/modelroute-controller')
//   await kubelet.kill('default', 'modelroute-controller', 'SIGKILL')   // crash it; it is restarted as a kubelet would
//   console.log(kubelet.logs('default', 'modelroute-controller'))       // `cluster.kubectl('logs', …)` works too
//
// It works only inside the namespace that run.ts makes. Pods have addresses of their own (10.77.x.y) that the test
// reaches directly; the test and the Pods resolve <service>.<namespace>.svc to the ready ones.
//
// In a Pod: command `modelroute` (also where no command is given, as if it were the image's entrypoint) is this
// repository's cli/modelroute.js; `node` is this Node; the repository is at /app; the machine's file system is the rest
// of the image, under a layer that vanishes with the container. README.md says what is not emulated.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import { once } from 'node:events'
import { join } from 'node:path'
import type { KubeObject } from './api.ts'
import type { ControlPlane } from './control-plane.ts'
import { bridgeAddress, outsideNamespace } from './netns.ts'
import { Configs } from './kubelet/configs.ts'
import { Names } from './kubelet/names.ts'
import { Pod } from './kubelet/pod.ts'
import type { Images, Node } from './kubelet/pod.ts'
import type { PodObject } from './kubelet/spec.ts'
import { pause } from './wait.ts'

type RunningPod = Readonly<{
  namespace: string
  name: string
  /** Undefined until its network is made. */
  ip: string | undefined
  labels: Readonly<Record<string, string>>
  /** The words before a command that run it in the Pod's network. */
  enter: readonly string[]
}>

export type Kubelet = Readonly<{
  node: string
  /** What runs now, with addresses. */
  pods: () => readonly RunningPod[]
  /** Everything the Pods whose names begin so have written, each line headed by its Pod. */
  logs: (namespace: string, podPrefix: string, container?: string) => string
  /** Signals the first process of every container of the Pods whose names begin so. Returns how many. */
  kill: (namespace: string, podPrefix: string, signal?: NodeJS.Signals, container?: string) => number
  /** For a failed test: the Pods, the latest events, and the end of every log. */
  describe: () => Promise<string>
  /** Kills every Pod's processes; the objects stay as they are. */
  stop: () => Promise<void>
}>

export type KubeletOptions = Readonly<{
  /** Default `node-1`. */
  name?: string
  /** Labels of the Node, such as `topology.kubernetes.io/zone`. */
  labels?: Readonly<Record<string, string>>
  /** Images that are folders: containers of these see what is in them, and nothing of this machine. */
  images?: Images
  /** By image, the folder that is /app in its containers: of another release. Default: this repository. */
  releases?: Readonly<Record<string, string>>
}>

const repository = join(import.meta.dirname, '../..')

export async function startKubelet(cluster: ControlPlane, options: KubeletOptions = {}): Promise<Kubelet> {
  const outside = outsideNamespace()
  if (outside) throw new Error(`the kubelet ${outside}`)
  const hostIP = bridgeAddress()!
  const name = options.name ?? 'node-1'
  const { api } = cluster
  const ended = new AbortController()
  const pods = new Map<string, Pod>()
  const configs = new Configs()
  const names = new Names(join(cluster.folder, 'names'), hostIP)
  await Promise.all([configs.start(api, ended.signal), names.start(api, ended.signal)])
  const { hostname: host, port } = new URL(cluster.url)
  const node: Node = {
    name, api, configs, hostIP, folder: join(cluster.folder, 'pods'), resolvConf: names.resolvConf,
    apiServer: { host, port }, images: options.images ?? {}, programs: (image) => options.releases?.[image] ?? repository,
  }
  const server = await serveLogs(cluster, hostIP, pods)
  await register(cluster, name, options.labels ?? {}, hostIP, (server.address() as { port: number }).port)

  const see = (object: KubeObject, gone: boolean) => {
    const pod = object as PodObject
    const { uid } = pod.metadata
    const known = pods.get(uid)
    if (gone) {
      pods.delete(uid)
      void known?.vanish()
    } else if (known) known.update(pod)
    else if (!pod.spec.nodeName && !pod.metadata.deletionTimestamp) void bind(pod)
    else if (pod.spec.nodeName === name) {
      const made = new Pod(pod, node)
      pods.set(uid, made)
      if (pod.metadata.deletionTimestamp) made.update(pod)
      else made.run().catch((error: unknown) => process.stderr.write(`${pod.metadata.name}: ${String(error)}\n`))
    }
  }
  const bind = async ({ metadata }: PodObject) => {
    while (!ended.signal.aborted) {
      try {
        await api.create(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}/binding`, {
          apiVersion: 'v1', kind: 'Binding', metadata: { name: metadata.name, uid: metadata.uid },
          target: { apiVersion: 'v1', kind: 'Node', name },
        })
        return
      } catch (error) {
        const code = (error as { code?: unknown }).code
        if (code === 404 || code === 409) return
        await pause(100)
      }
    }
  }
  await new Promise<void>((resolve) => void api.follow('/api/v1/pods', see, ended.signal, resolve))

  const chosen = (namespace: string, prefix: string) => [...pods.values()].filter(({ object: { metadata } }) =>
    metadata.namespace === namespace && metadata.name.startsWith(prefix))
  return {
    node: name,
    pods: () => [...pods.values()].map(({ object: { metadata }, ip, enter }) =>
      ({ namespace: metadata.namespace, name: metadata.name, ip, labels: metadata.labels ?? {}, enter })),
    logs: (namespace, prefix, container) => chosen(namespace, prefix).flatMap((pod) =>
      [...pod.containers.keys()].filter((one) => container === undefined || one === container).flatMap((one) =>
        readFileSync(pod.logFile(one), 'utf8').trimEnd().split('\n')
          .map((line) => `[${pod.object.metadata.name}] ${line}`)),
    ).join('\n'),
    kill: (namespace, prefix, signal = 'SIGKILL', container) => {
      const targets = chosen(namespace, prefix).flatMap((pod) =>
        [...pod.containers].filter(([one]) => container === undefined || one === container).map(([, one]) => one))
      for (const target of targets) target.signal(signal)
      return targets.length
    },
    describe: async () => {
      const logs = [...pods.values()].flatMap((pod) => [...pod.containers].map(([container, { tail }]) =>
        `--- ${pod.object.metadata.namespace}/${pod.object.metadata.name} ${container}\n${tail(20)}`))
      const listed = await Promise.allSettled([
        cluster.kubectl('get', 'pods', '-A', '-o', 'wide'),
        cluster.kubectl('get', 'events', '-A', '--sort-by=.metadata.creationTimestamp'),
      ])
      return [...listed.map((one) => one.status === 'fulfilled' ? one.value : String(one.reason)), ...logs].join('\n')
    },
    stop: async () => {
      ended.abort()
      server.close()
      await Promise.all([...pods.values()].map((pod) => pod.vanish()))
    },
  }
}

async function register(
  { api }: ControlPlane,
  name: string,
  labels: Readonly<Record<string, string>>,
  address: string,
  port: number,
): Promise<void> {
  const { metadata } = await api.create('/api/v1/nodes', {
    apiVersion: 'v1', kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...labels } },
  })
  const now = new Date().toISOString()
  const resources = { cpu: '64', memory: '256Gi', pods: '500' }
  await api.patch(`/api/v1/nodes/${metadata.name}/status`, {
    status: {
      capacity: resources, allocatable: resources,
      addresses: [{ type: 'InternalIP', address }, { type: 'Hostname', address: name }],
      conditions: [{
        type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet of processes', lastTransitionTime: now,
        lastHeartbeatTime: now,
      }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
      nodeInfo: {
        kubeletVersion: 'v1.36.3', architecture: 'amd64', operatingSystem: 'linux', osImage: 'processes',
        kernelVersion: '', containerRuntimeVersion: 'processes://1', kubeProxyVersion: '',
        machineID: '', systemUUID: '', bootID: '',
      },
    },
  })
  // The admission plugin marks a new node as not ready; the real controller would take that away.
  await api.patch(`/api/v1/nodes/${metadata.name}`, { spec: { taints: null } })
}

/** What the API server asks of a node for `kubectl logs`: /containerLogs/<namespace>/<pod>/<container>. */
async function serveLogs({ folder }: ControlPlane, host: string, pods: ReadonlyMap<string, Pod>): Promise<Server> {
  const pem = (name: string) => readFileSync(join(folder, 'certificates', name))
  const server = createServer({ key: pem('apiserver.key'), cert: pem('apiserver.crt') }, (request, response) => {
    const url = new URL(request.url ?? '/', 'https://node')
    const [, what, namespace, name, container = ''] = url.pathname.split('/')
    const pod = [...pods.values()].find(({ object: { metadata } }) =>
      metadata.namespace === namespace && metadata.name === name)
    if (what !== 'containerLogs' || !pod?.containers.has(container)) {
      response.writeHead(404).end('only the logs of running Pods are served')
      return
    }
    const tail = url.searchParams.get('tailLines')
    const text = readFileSync(pod.logFile(container), 'utf8')
    response.end(tail === null ? text : text.trimEnd().split('\n').slice(-Number(tail)).join('\n') + '\n')
  })
  server.listen(0, host)
  await once(server, 'listening')
  server.unref()
  return server
}
