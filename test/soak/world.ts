import { join } from 'node:path'
import { startControlPlane, type ControlPlane } from '../cluster/control-plane.ts'
import { define } from '../cluster/definitions.ts'
import { addAddress } from '../cluster/netns.ts'
import { Process, temporaryFolder } from '../cluster/process.ts'
import { replicasOf } from '../cluster/replicas.ts'
import { until } from '../cluster/wait.ts'
import { freePorts } from '../free-ports.ts'

/** Everything that takes part: a real API server, two controllers, three proxies, Redis, and three model servers. */
export type World = Readonly<{
  cluster: ControlPlane
  controllers: readonly Process[]
  proxies: readonly Process[]
  /** Of each proxy, where callers are served, and where it says whether it is ready. */
  urls: readonly string[]
  ready: (proxy: number) => Promise<boolean>
  redis: Process
  upstreams: readonly Process[]
  /** What of the traffic of /rest goes to the canary, 0…100. */
  split: (canary: number) => Promise<void>
  stop: () => Promise<void>
}>

const namespace = 'ml'
const root = join(import.meta.dirname, '../..')
const bin = join(root, 'cli/modelroute.js')
const [http, grpc] = [8000, 8001]

const service = (name: string, addresses: readonly string[], port: number) => [
  { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { ports: [{ name: 'main', port }] } },
  {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4', ports: [{ name: 'main', port }], endpoints: addresses.map((address) => ({ addresses: [address] })),
  },
]

const to = (name: string, more: object = {}) => [{ variant: 'only', name, port: http, ...more }]
const below = (value: string) => [{ path: { type: 'PathPrefix', value } }]
const at = (value: string) => [{ path: { type: 'Exact', value } }]

const route = (canary: number) => ({
  apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'soak', namespace },
  spec: {
    rules: [
      { name: 'rest', matches: below('/rest'), backendRefs: [{ variant: 'stable', name: 'stable', port: http, weight: 100 - canary }, { variant: 'canary', name: 'canary', port: http, weight: canary }] },
      { name: 'events', matches: below('/events'), backendRefs: to('stable') },
      { name: 'chat', matches: at('/v1/chat/completions'), backendRefs: to('stable', { protocol: 'OpenAI' }) },
      { name: 'sum', matches: at('/v1/models/sum:predict'), backendRefs: to('stable', { protocol: 'V2' }) },
      { name: 'generate', matches: below('/v2/models/chat'), backendRefs: to('stable', { protocol: 'OpenAI' }) },
      { name: 'echo', matches: below('/soak.Echo'), backendRefs: [{ variant: 'only', name: 'grpc', port: grpc, protocol: 'GRPC' }] },
      { name: 'cached', matches: at('/cached'), backendRefs: to('stable'), cache: { ttl: '2s', scope: 'Shared' } },
    ],
  },
})
/** Apart: a policy is of a whole route. */
const limited = [
  { apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name: 'limited', namespace }, spec: { rules: [{ name: 'limited', matches: below('/limited'), backendRefs: to('stable') }] } },
  {
    apiVersion: 'modelroute.io/v1alpha1', kind: 'RateLimitPolicy', metadata: { name: 'limited', namespace },
    spec: { targetRefs: [{ group: 'modelroute.io', kind: 'ModelRoute', name: 'limited' }], limits: [{ name: 'few', rate: { requests: 3, window: '1s' } }] },
  },
]

export async function startWorld(): Promise<World> {
  const folder = temporaryFolder('soak')
  const program = (name: string, command: string, args: readonly string[]) => new Process({ name, command, args, log: join(folder, `${name}.log`) })
  const node = (name: string, ...args: string[]) => program(name, process.execPath, args)
  const cluster = await startControlPlane()
  await define(cluster)
  await cluster.kubectl('create', 'namespace', namespace)

  const names = ['stable', 'stable', 'canary']
  const addresses = names.map(() => addAddress())
  const upstreams = names.map((name, n) => node(`upstream-${n}`, join(import.meta.dirname, 'fixtures/backend.ts'), addresses[n] ?? '', String(http), String(grpc), name))
  const [first = '', second = '', third = ''] = addresses
  await cluster.apply([...service('stable', [first, second], http), ...service('canary', [third], http), ...service('grpc', [first, second], grpc), route(20), ...limited])

  const [redisPort = 0, ...ports] = await freePorts(1 + 3 * 3)
  const redis = program('redis', 'redis-server', ['--port', String(redisPort), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'])
  const takePort = () => String(ports.shift())
  const replicas = await replicasOf(folder, [0, 1].map((n) => ({ name: `controller-${n}`, kubeconfig: cluster.kubeconfig })))
  const pushes = replicas.map(({ push }) => push)
  const controllers = replicas.map(({ process }) => process)
  const urls: string[] = []
  const health: string[] = []
  const memory = ['--expose-gc', '--import', join(import.meta.dirname, 'fixtures/memory.ts')]
  const proxies = [0, 1, 2].map((n) => {
    const [main, admin, probe] = [takePort(), takePort(), takePort()]
    urls.push(`http://127.0.0.1:${main}`)
    health.push(`http://127.0.0.1:${probe}/readyz`)
    return node(`proxy-${n}`, ...memory, bin, 'dataplane', ...pushes.flatMap((push) => ['--controller', push]), '--host', '127.0.0.1', '--http-port', main, '--admin-port', admin, '--health-port', probe,
      '--redis', `redis://127.0.0.1:${redisPort}`, '--state-dir', join(folder, `proxy-${n}`), '--ledger', 'none', '--log-level', 'warn')
  })
  for (const each of [redis, ...upstreams, ...controllers, ...proxies]) each.start()
  const ready = async (proxy: number) => (await fetch(health[proxy] ?? '', { signal: AbortSignal.timeout(5000) })).ok
  for (const n of proxies.keys()) await until(`proxy ${n}`, () => ready(n), { timeout: 120_000, describe: () => [...controllers, ...proxies].map((each) => each.tail(5)).join('\n') })
  // All that there is, and no table of less: the last of the routes, and its policy.
  for (const url of urls) await until('the limit', async () => (await fetch(`${url}/limited/x`, { method: 'POST', body: '{}' })).headers.has('ratelimit-policy'), { timeout: 60_000 })
  return {
    cluster, controllers, proxies, urls, ready, redis, upstreams,
    split: async (canary) => { await cluster.api.patch(`/apis/modelroute.io/v1alpha1/namespaces/${namespace}/modelroutes/soak`, route(canary)) },
    stop: async () => {
      await Promise.all([redis, ...upstreams, ...controllers, ...proxies].map((each) => each.kill()))
      await cluster.stop()
    },
  }
}
