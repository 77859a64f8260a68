import type { Target } from '../../table/route.ts'
import type { Service } from '../sources/snapshot.ts'
import type { ReferenceReason } from './problems.ts'
import { clusterIP, tcp } from './services.ts'
import type { CalleeRef, CompileOptions } from './spec.ts'
import type { World } from './world.ts'

export type BackendContext = Readonly<{ namespace: string; world: World; options: CompileOptions }>

/** Where a reference leads. `source`: how the endpoint set that the target names is made. */
export type Backend = Readonly<{ target: Target; source?: SetSource }>

/** Why a reference leads nowhere; the rest of its rule goes on. */
export type Unresolved = Readonly<{ reason: ReferenceReason; why: string }>

/** How an endpoint set is made. Keys are `namespace/name`. */
export type SetSource = Readonly<{
  id: string
  service: string
  port: number
  mode: 'Pods' | 'ServiceIP'
  /** Empty while this is not Ready. */
  inferenceService?: string
}>

/** `ml/fraud:8000`; what is special about a set follows, since one Service may be used in several ways. */
export function setOf(service: string, port: number, mode: SetSource['mode'], inferenceService?: string): SetSource {
  const parts = [`${service}:${port}`]
  if (mode !== 'Pods') parts.push(mode)
  if (inferenceService === undefined) return { id: parts.join('/'), service, port, mode }
  parts.push('InferenceService', inferenceService.slice(inferenceService.indexOf('/') + 1))
  return { id: parts.join('/'), service, port, mode, inferenceService }
}

/** The target of a Service that exists and has the port. */
export function endpointsOf(
  key: string,
  port: number,
  ref: CalleeRef,
  service: Service,
  inferenceService?: string,
): Backend | Unresolved {
  if (ref.endpointMode === 'ServiceIP' && !clusterIP(service)) {
    const why = `Service ${key} is headless, so endpointMode ServiceIP has no address to use; omit endpointMode`
    return { reason: 'InvalidKind', why }
  }
  const source = setOf(key, port, ref.endpointMode ?? 'Pods', inferenceService)
  const protocol = service.spec.ports?.find((candidate) => tcp(candidate) && candidate.port === port)?.appProtocol
  // The name in the certificate of a Service: what its clients call it by.
  const name = key.split('/').reverse().join('.')
  return {
    target: {
      kind: 'endpoints',
      set: source.id,
      ...(protocol === 'https' && { tls: { serverName: `${name}.svc` } }),
      ...(protocol === 'kubernetes.io/h2c' && { http2: true }),
    },
    source,
  }
}
