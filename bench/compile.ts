import { createCompiler } from '../controller/compile/compile.ts'
import type { Compiled } from '../controller/compile/compiled.ts'
import type { EndpointSlice, Resource, Service, Snapshot } from '../controller/sources/snapshot.ts'
import type { ModelRoute } from '../crds/types.gen.ts'
import { hashOf, versionOf } from '../table/version.ts'

/**
 * How long a table takes to compile: 1,000 routes of 3 rules (or as asked), 2 backends a rule, 4 endpoints a backend, to the version
 * of the table. `node bench/compile.ts [routes [rules]]`; run it pinned to one core (`taskset -c 0`). Exits 1 past its limits.
 */
const routes = Number(process.argv[2] ?? 1000)
const rules = Number(process.argv[3] ?? 3)
const limits = { cold: 100, warm: 100, edit: 5, endpoint: 5 } as const
const options = { allowUrls: [], allowLoopback: false, allowUnmanagedEndpointSlices: false }

const managed = { 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' }

function routeOf(index: number, weight: number): Resource<ModelRoute> {
  const [namespace, name] = [`team-${index % 50}`, `model-${index}`]
  const spec: ModelRoute['spec'] = {
    hostnames: [`${name}.models.example.com`],
    rules: Array.from({ length: rules }, (_, rule) => ({
      name: `rule-${rule}`,
      matches: [
        {
          path: { value: `/v${rule}/models/${name}` },
          method: 'POST' as const,
          headers: [{ name: 'X-Tier', value: 'gold' }],
        },
      ],
      backendRefs: [
        { variant: 'stable', name: `${name}-${rule}-stable`, port: 8000, weight: 100 - weight },
        { variant: 'canary', name: `${name}-${rule}-canary`, port: 8000, weight },
      ],
      timeouts: { request: '30s', backendRequest: '20s' },
    })),
  }
  const object: ModelRoute = {
    apiVersion: 'modelroute.io/v1alpha1',
    kind: 'ModelRoute',
    metadata: { name, namespace },
    spec,
  }
  return { namespace, name, generation: weight, created: '2026-01-01T00:00:00Z', uid: name, object, problems: [] }
}

function slicesOf(namespace: string, name: string, salt: number): readonly EndpointSlice[] {
  const endpoints = [0, 1, 2, 3].map((pod) => ({
    addresses: [`10.${salt % 200}.${(salt >> 8) % 200}.${pod + 1}`],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: { kind: 'Pod', namespace, name: `${name}-${pod}` },
    zone: `zone-${pod % 3}`,
  }))
  const metadata = { name: `${name}-x1`, namespace, labels: managed }
  return [{ metadata, addressType: 'IPv4', ports: [{ name: 'http', port: 8000 }], endpoints }]
}

function world(): Snapshot {
  const modelRoutes = new Map<string, Resource<ModelRoute>>()
  const services = new Map<string, Service>()
  const endpointSlices = new Map<string, readonly EndpointSlice[]>()
  for (let index = 0; index < routes; index++) {
    const route = routeOf(index, 5)
    modelRoutes.set(`${route.namespace}/${route.name}`, route)
    for (const rule of route.object?.spec.rules ?? []) {
      for (const { name = '' } of rule.backendRefs ?? []) {
        const metadata = { name, namespace: route.namespace }
        services.set(`${route.namespace}/${name}`, {
          metadata,
          spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 8000 }] },
        })
        endpointSlices.set(`${route.namespace}/${name}`, slicesOf(route.namespace, name, services.size))
      }
    }
  }
  const none = new Map<string, never>()
  return {
    modelRoutes,
    services,
    endpointSlices,
    rateLimitPolicies: none,
    inferenceServices: none,
    referenceGrants: none,
    revisions: none,
    secrets: none,
    configMaps: none,
    openNamespaces: { has: () => true },
  }
}

/** What the publisher does after a compilation: hash what is new, and the whole. */
function createHashes() {
  const hashes = new Map<string, string>()
  let before: ReadonlyMap<string, unknown> = new Map()
  return (compiled: Compiled): string => {
    const now = compiled.fleets.get('default')?.routes ?? new Map<string, never>()
    for (const [id, item] of now) if (before.get(id) !== item) hashes.set(id, hashOf(item))
    before = now
    return versionOf(hashes)
  }
}

type Cost = Readonly<{ wall: number; cpu: number }>

/** CPU time of all threads (the garbage collector and the JIT have their own) is what one core would need. */
function costOf(run: () => unknown): Cost {
  const [cpu, start] = [process.cpuUsage(), performance.now()]
  run()
  const [wall, { user, system }] = [performance.now() - start, process.cpuUsage(cpu)]
  return { wall, cpu: (user + system) / 1000 }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

const snapshot = world()
globalThis.gc?.()
const heapBefore = process.memoryUsage().heapUsed

const cold = costOf(() => createCompiler(options)(snapshot))
const warm = Array.from({ length: 20 }, () => costOf(() => createCompiler(options)(snapshot)))

const compile = createCompiler(options)
const version = createHashes()
const full = costOf(() => version(compile(snapshot)))
globalThis.gc?.()
const heap = process.memoryUsage().heapUsed - heapBefore

const edits = Array.from({ length: 200 }, (_, index) => {
  const route = routeOf((index * 37) % routes, 6 + (index % 50))
  const next = {
    ...snapshot,
    modelRoutes: new Map(snapshot.modelRoutes).set(`${route.namespace}/${route.name}`, route),
  }
  return costOf(() => version(compile(next)))
})
compile(snapshot)
const churn = Array.from({ length: 200 }, (_, index) => {
  const key = [...snapshot.endpointSlices.keys()][(index * 41) % snapshot.endpointSlices.size] ?? ''
  const [namespace = '', name = ''] = key.split('/')
  const next = {
    ...snapshot,
    endpointSlices: new Map(snapshot.endpointSlices).set(key, slicesOf(namespace, name, 7000 + index)),
  }
  return costOf(() => compile(next))
})

const rows: [string, readonly Cost[], number][] = [
  ['full, cold', [cold], limits.cold],
  ['full, warm', warm, limits.warm],
  ['full, warm, with hashes', [full], limits.warm],
  ['one route edited, to version', edits, limits.edit],
  ['one slice changed', churn, limits.endpoint],
]
const milliseconds = (costs: readonly Cost[], of: keyof Cost, share: number) =>
  Number(
    quantile(
      costs.map((cost) => cost[of]),
      share,
    ).toFixed(2),
  )

console.log(`${routes} routes, ${routes * rules} rules, ${routes * rules * 2} backends, ${routes * rules * 8} endpoints; milliseconds`)
console.table(
  rows.map(([what, costs, limit]) => ({
    what,
    'cpu median': milliseconds(costs, 'cpu', 0.5),
    'cpu p99': milliseconds(costs, 'cpu', 0.99),
    'wall median': milliseconds(costs, 'wall', 0.5),
    limit,
  })),
)
const exact = globalThis.gc ? '' : ' (exact with --expose-gc)'
console.log(`heap of the compiler and its output: ${(heap / 2 ** 20).toFixed(1)} MiB${exact}`)
if (routes <= 1000 && rows.some(([, costs, limit]) => milliseconds(costs, 'cpu', 0.5) > limit)) process.exitCode = 1
