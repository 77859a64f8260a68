import type { ControlPlane } from '../../test/cluster/control-plane.ts'

/** What the cluster holds: a Service of four endpoints a route, in 50 namespaces, and routes that split between two of them. */

const namespaces = 50
const perService = 4

export const namespaceOf = (index: number) => `team-${index % namespaces}`
export const nameOf = (index: number) => `model-${String(index).padStart(4, '0')}`
/** As the table calls it. */
export const idOf = (index: number) => `${namespaceOf(index)}/${nameOf(index)}`

export const routePath = (index: number) => `/apis/modelroute.io/v1alpha1/namespaces/${namespaceOf(index)}/modelroutes/${nameOf(index)}`
export const slicePath = (index: number) =>
  `/apis/discovery.k8s.io/v1/namespaces/${namespaceOf(index)}/endpointslices/${nameOf(index)}-x1`

function routeOf(index: number): object {
  const [name, namespace] = [nameOf(index), namespaceOf(index)]
  // The neighbour of the same namespace, or itself where it is the first.
  const next = index >= namespaces ? nameOf(index - namespaces) : name
  return {
    apiVersion: 'modelroute.io/v1alpha1', kind: 'ModelRoute', metadata: { name, namespace },
    spec: {
      rules: [{
        name: 'infer',
        matches: [{ path: { type: 'PathPrefix', value: `/v2/models/${name}` } }, { path: { type: 'Exact', value: `/v1/models/${name}:predict` }, method: 'POST' }],
        backendRefs: [{ variant: 'stable', name, port: 8000, weight: 95 }, { variant: 'canary', name: next, port: 8000, weight: 5 }],
        timeouts: { request: '30s', backendRequest: '20s' },
        retry: { attempts: 1, reasons: ['connect-failure'] },
      }],
    },
  }
}

function serviceOf(index: number): object {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name: nameOf(index), namespace: namespaceOf(index) },
    // Addresses of Services are not what is measured, and handing 5,000 of them out takes the API server a minute.
    spec: { clusterIP: 'None', ports: [{ name: 'http', port: 8000, targetPort: 8000 }] },
  }
}

function sliceOf(index: number): object {
  const [name, namespace] = [nameOf(index), namespaceOf(index)]
  const endpoints = Array.from({ length: perService }, (_, pod) => ({
    addresses: [`10.${100 + pod}.${index >> 8}.${index & 255}`],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${(index + pod) % 300}`, zone: `zone-${pod % 3}`,
    targetRef: { kind: 'Pod', namespace, name: `${name}-${pod}`, uid: `00000000-0000-4000-8000-${String(index * perService + pod).padStart(12, '0')}` },
  }))
  return {
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
    metadata: {
      name: `${name}-x1`, namespace,
      labels: { 'kubernetes.io/service-name': name, 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' },
    },
    addressType: 'IPv4', ports: [{ name: 'http', port: 8000, protocol: 'TCP' }], endpoints,
  }
}

/** A route and what it names. */
export const objectsOf = (index: number): readonly object[] => [serviceOf(index), sliceOf(index), routeOf(index)]

/** Runs them all, so many at once. */
export async function inParallel(count: number, jobs: Iterable<() => Promise<unknown>>): Promise<void> {
  const iterator = jobs[Symbol.iterator]()
  const work = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await next.value()
  }
  await Promise.all(Array.from({ length: count }, work))
}

export async function makeNamespaces({ api }: ControlPlane): Promise<void> {
  await inParallel(8, Array.from({ length: namespaces }, (_, i) => () =>
    api.create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespaceOf(i) } })))
}

/** Routes `from` up to `to`, each after what it names. */
export async function makeRoutes({ api }: ControlPlane, from: number, to: number): Promise<void> {
  await inParallel(24, Array.from({ length: to - from }, (_, at) => async () => {
    const index = from + at
    await api.create(`/api/v1/namespaces/${namespaceOf(index)}/services`, serviceOf(index))
    await api.create(`/apis/discovery.k8s.io/v1/namespaces/${namespaceOf(index)}/endpointslices`, sliceOf(index))
    await api.create(`/apis/modelroute.io/v1alpha1/namespaces/${namespaceOf(index)}/modelroutes`, routeOf(index))
  }))
}
