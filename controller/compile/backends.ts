import type { Problem, Service } from '../sources/snapshot.ts'
import { compileTls } from './backend-access.ts'
import { resolveInferenceService } from './inference.ts'
import type { Needs } from './needs.ts'
import { invalid, unresolved } from './problems.ts'
import { tcp } from './services.ts'
import type { CalleeRef } from './spec.ts'
import { type Backend, type BackendContext, endpointsOf, type Unresolved } from './targets.ts'
import { compileUrl } from './urls.ts'

export type BackendFound = Readonly<{ needs: Needs; problems: Problem[] }>

export function compileBackend(ref: CalleeRef, place: string, context: BackendContext, found: BackendFound): Backend {
  const backend = findBackend(ref, place, context, found.problems)
  return ref.tls ? withTls(backend, ref, ref.tls, place, context, found) : backend
}

function withTls(
  backend: Backend,
  ref: CalleeRef,
  tls: NonNullable<CalleeRef['tls']>,
  place: string,
  context: BackendContext,
  found: BackendFound,
): Backend {
  const { target } = backend
  if (target.kind === 'unresolved') return backend
  const url = target.kind === 'url' ? new URL(target.url) : undefined
  if (url && url.protocol !== 'https:') {
    found.problems.push(invalid(`${place}.tls`, 'the URL is plain; write https: in it'))
    return { target: { kind: 'unresolved', why: 'tls on a plain URL' } }
  }
  const own = target.kind === 'endpoints' ? target.tls?.serverName : undefined
  const host = url?.hostname ?? own ?? `${ref.name ?? ''}.${ref.namespace ?? context.namespace}.svc`
  const access = compileTls(tls, host, `${place}.tls`, context, found)
  if ('why' in access) return { target: { kind: 'unresolved', why: `RefNotPermitted: ${access.why}` } }
  return { ...backend, target: { ...target, tls: access.value } }
}

function findBackend(ref: CalleeRef, place: string, context: BackendContext, problems: Problem[]): Backend {
  if (ref.kind === 'URL') return compileUrl(ref.url ?? '', `${place}.url`, context.options, problems)
  const found = resolve(ref, place, context, problems)
  if (!('reason' in found)) return found
  problems.push(unresolved(place, found.reason, found.why))
  return { target: { kind: 'unresolved', why: `${found.reason}: ${found.why}` } }
}

const groups = { Service: '', InferenceService: 'serving.kserve.io' } as const

function resolve(ref: CalleeRef, place: string, context: BackendContext, problems: Problem[]): Backend | Unresolved {
  const kind = ref.kind === 'InferenceService' ? 'InferenceService' : 'Service'
  const group = groups[kind]
  if (ref.group !== undefined && ref.group !== group) {
    return { reason: 'InvalidKind', why: `there is no ${kind} in group ${JSON.stringify(ref.group)}; omit group` }
  }
  if (ref.name === undefined) {
    problems.push(invalid(`${place}.name`, `a ${kind} is named; add name`))
    return { reason: 'BackendNotFound', why: `${kind} without a name` }
  }
  const namespace = ref.namespace ?? context.namespace
  const key = `${namespace}/${ref.name}`
  // Before looking whether it exists: a missing and a forbidden one read the same.
  const mine = namespace === context.namespace
  if (!mine && !context.world.permits(context.namespace, { group, kind, namespace, name: ref.name })) {
    const who = `a ModelRoute of ${context.namespace}`
    const why = `no ReferenceGrant in namespace ${namespace} lets ${who} refer to ${kind} ${key}`
    return { reason: 'RefNotPermitted', why }
  }
  if (kind === 'InferenceService') return resolveInferenceService(key, ref, context)
  if (ref.port === undefined) problems.push(invalid(`${place}.port`, 'a Service needs a port; add port'))
  return resolveService(key, ref, context.world.service(key))
}

function resolveService(key: string, ref: CalleeRef, service: Service | undefined): Backend | Unresolved {
  if (!service) return { reason: 'BackendNotFound', why: `Service ${key} does not exist` }
  if (service.spec.type === 'ExternalName') {
    // Its DNS name is chosen by whoever may write the Service, past --allow-url.
    return { reason: 'InvalidKind', why: `Service ${key} is an ExternalName, which is not followed; use kind URL` }
  }
  const port = ref.port ?? 0
  const ports = service.spec.ports ?? []
  if (!ports.some((candidate) => candidate.port === port && tcp(candidate))) {
    const has = ports
      .filter(tcp)
      .map((candidate) => candidate.port)
      .join(', ')
    return { reason: 'BackendNotFound', why: `Service ${key} has no TCP port ${port} (it has ${has || 'none'})` }
  }
  return endpointsOf(key, port, ref, service)
}
