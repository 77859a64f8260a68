import { isIPv4, isIPv6 } from 'node:net'
import type { Endpoint, EndpointSet } from '../../table/endpoints.ts'
import type { EndpointSlice, Service, Snapshot } from '../sources/snapshot.ts'
import { unreadiness } from './inference.ts'
import { clusterIP, tcp } from './services.ts'
import type { CompileOptions } from './spec.ts'
import type { SetSource } from './targets.ts'

export type CompiledSet = Readonly<{
  set: EndpointSet
  /** Why it may hold less than somebody expects. */
  note?: string
}>

export function compileSet(source: SetSource, snapshot: Snapshot, options: CompileOptions): CompiledSet {
  const empty: EndpointSet = { id: source.id, endpoints: [] }
  if (source.inferenceService !== undefined) {
    const note = unreadiness(source.inferenceService, snapshot.inferenceServices.get(source.inferenceService))
    if (note !== undefined) return { set: empty, note }
  }
  const service = snapshot.services.get(source.service)
  if (!service) return { set: empty }
  if (source.mode === 'ServiceIP') {
    const address = clusterIP(service)
    return { set: address === undefined ? empty : { ...empty, endpoints: [{ address, port: source.port }] } }
  }
  return fromSlices(source, service, snapshot.endpointSlices.get(source.service) ?? [], options)
}

function fromSlices(
  source: SetSource,
  service: Service,
  slices: readonly EndpointSlice[],
  options: CompileOptions,
): CompiledSet {
  const portName = service.spec.ports?.find((port) => tcp(port) && port.port === source.port)?.name ?? ''
  const names = { port: portName, metrics: metricsNames.find((name) => service.spec.ports?.some((port) => tcp(port) && port.name === name)) }
  const endpoints: Endpoint[] = []
  let unmanaged = 0
  let nameless = 0
  for (const slice of slices) {
    if (!(options.allowUnmanagedEndpointSlices || managed(slice))) unmanaged++
    else if (slice.addressType === 'FQDN') nameless++
    else collect(slice, names, options, endpoints)
  }
  const notes: string[] = []
  const from = `of the EndpointSlices of Service ${source.service}`
  if (unmanaged)
    notes.push(`${unmanaged} ${from} are not Kubernetes' own and ignored; --allow-unmanaged-endpointslices admits them`)
  if (nameless) notes.push(`${nameless} ${from} hold DNS names and are ignored`)
  const set = { id: source.id, endpoints: inOrder(endpoints) ? endpoints : endpoints.sort(byAddress).filter(first) }
  return { set, ...(notes.length ? { note: notes.join(', ') } : {}) }
}

/** KEP-752: the label says who writes a slice. Anybody else's may name any address in the cluster. */
function managed(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.['endpointslice.kubernetes.io/managed-by'] === 'endpointslice-controller.k8s.io'
}

/** What a Service calls the port of its metrics, where that is not the one that it serves on. */
const metricsNames = ['metrics', 'http-metrics']

type PortNames = Readonly<{ port: string; metrics: string | undefined }>

function collect(slice: EndpointSlice, names: PortNames, options: CompileOptions, endpoints: Endpoint[]): void {
  const named = (name: string) => slice.ports?.find((candidate) => tcp(candidate) && (candidate.name ?? '') === name)?.port
  const port = named(names.port)
  const metrics = names.metrics === undefined ? undefined : named(names.metrics)
  if (port === undefined) return
  const valid = slice.addressType === 'IPv6' ? isIPv6 : isIPv4
  for (const { addresses, conditions, zone, targetRef } of slice.endpoints ?? []) {
    // An unknown readiness counts as ready (EndpointConditions); a terminating pod finishes and starts nothing.
    if (conditions?.ready === false || conditions?.terminating === true) continue
    const pod =
      targetRef?.kind === 'Pod' && (targetRef.namespace ?? slice.metadata.namespace) === slice.metadata.namespace
    if (!(pod || options.allowUnmanagedEndpointSlices)) continue
    // All addresses of one endpoint are the same pod, and kube-proxy takes the first too.
    const address = addresses[0]
    if (address === undefined || !valid(address)) continue
    endpoints.push({ address, port, ...(zone !== undefined && { zone }), ...(metrics !== undefined && metrics !== port && { metrics }) })
  }
}

function byAddress(a: Endpoint, b: Endpoint): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1
  if (a.port !== b.port) return a.port - b.port
  return (a.zone ?? '') < (b.zone ?? '') ? -1 : 1
}

/** Sorted already and without repeats, as every second set of few endpoints is. */
function inOrder(endpoints: readonly Endpoint[]): boolean {
  return endpoints.every(({ address }, at) => at === 0 || (endpoints[at - 1]?.address ?? '') < address)
}

/** While a slice fills up or moves, an endpoint may stand in two of them; it counts once. */
function first(endpoint: Endpoint, at: number, sorted: readonly Endpoint[]): boolean {
  const before = sorted[at - 1]
  return before?.address !== endpoint.address || before.port !== endpoint.port
}

export function sameSet(a: EndpointSet, b: EndpointSet): boolean {
  return (
    a.id === b.id &&
    a.endpoints.length === b.endpoints.length &&
    a.endpoints.every((endpoint, at) => {
      const other = b.endpoints[at]
      return endpoint.address === other?.address && endpoint.port === other.port && endpoint.zone === other.zone && endpoint.metrics === other.metrics
    })
  )
}
