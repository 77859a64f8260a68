import type { InferenceService, Service } from '../sources/snapshot.ts'
import { tcp } from './services.ts'
import type { CalleeRef } from './spec.ts'
import { type Backend, type BackendContext, endpointsOf, setOf, type Unresolved } from './targets.ts'
import { hostAllowed, reachOf } from './urls.ts'

/** KServe's port of every component, where the Service does not exist yet. */
const DEFAULT_PORT = 80

/**
 * An InferenceService of KServe, by how it was deployed. RawDeployment (`Standard`): the component's own Service.
 * Knative: that Service is an ExternalName for Knative's router, which wants its own Host, so `status.address.url`.
 * Whether it is Ready shows in its endpoint set, so that a model that comes and goes rebuilds no route.
 */
export function resolveInferenceService(key: string, ref: CalleeRef, context: BackendContext): Backend | Unresolved {
  const found = context.world.inferenceService(key)
  if (!found) return { reason: 'BackendNotFound', why: `InferenceService ${key} does not exist` }
  const component = ref.component ?? (found.spec?.['transformer'] ? 'transformer' : 'predictor')
  const serviceKey = `${key}-${serviceSuffix(component)}`
  const service = context.world.service(serviceKey)
  if (service?.spec.type === 'ExternalName') return knative(key, serviceKey, ref, found, context)
  if (!service) {
    if (ready(found)) {
      const why = `InferenceService ${key} has no component ${component}: Service ${serviceKey} does not exist`
      return { reason: 'BackendNotFound', why }
    }
    return waiting(serviceKey, ref.port ?? DEFAULT_PORT, key)
  }
  const port = ref.port ?? httpPort(service)
  if (
    port === undefined ||
    !(service.spec.ports ?? []).some((candidate) => tcp(candidate) && candidate.port === port)
  ) {
    return {
      reason: 'BackendNotFound',
      why: `Service ${serviceKey} of InferenceService ${key} has no TCP port ${port ?? ''}`.trim(),
    }
  }
  return endpointsOf(serviceKey, port, ref, service, key)
}

/** Why it gets no traffic; undefined when it is ready. */
export function unreadiness(key: string, found: InferenceService | undefined): string | undefined {
  if (!found) return `InferenceService ${key} does not exist`
  if (ready(found)) return undefined
  const message = found.status?.conditions?.find((condition) => condition.type === 'Ready')?.message
  return `InferenceService ${key} is not Ready${message ? `: ${message.slice(0, 200)}` : ''}`
}

function ready(found: InferenceService): boolean {
  return found.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}

function serviceSuffix(component: string): string {
  return component === 'predictor' || component === 'transformer' ? component : `${component}-predictor`
}

function httpPort(service: Service): number | undefined {
  const ports = (service.spec.ports ?? []).filter(tcp)
  const http = ports.find(({ name }) => name === 'http') ?? ports.find(({ name }) => name?.startsWith('http'))
  return (http ?? ports[0])?.port
}

/** A set that stays empty until there is something to send to. */
function waiting(serviceKey: string, port: number, key: string): Backend {
  const source = setOf(serviceKey, port, 'Pods', key)
  return { target: { kind: 'endpoints', set: source.id }, source }
}

function knative(
  key: string,
  serviceKey: string,
  ref: CalleeRef,
  found: InferenceService,
  { options }: BackendContext,
): Backend | Unresolved {
  if (ref.component !== undefined) {
    const why = `InferenceService ${key} runs on Knative, which has one address for all components; omit component`
    return { reason: 'InvalidKind', why }
  }
  if (!ready(found)) return waiting(serviceKey, ref.port ?? DEFAULT_PORT, key)
  const address = found.status?.address?.url
  if (address === undefined || !URL.canParse(address)) {
    return { reason: 'BackendNotFound', why: `InferenceService ${key} has no status.address.url` }
  }
  const url = new URL(address)
  const namespace = found.metadata.namespace
  // A status is not always written by KServe alone; beyond this namespace's own Services the operator decides.
  const [, place, svc] = url.hostname.split('.')
  const inside = place === namespace && svc === 'svc'
  if (!/^https?:$/.test(url.protocol) || !(inside || hostAllowed(url, options))) {
    const what = `status.address.url of InferenceService ${key}`
    const why = `${what} is no Service of ${namespace}; --allow-url ${url.host} admits it`
    return { reason: 'RefNotPermitted', why }
  }
  return { target: { kind: 'url', url: url.origin, ...reachOf(url, options) } }
}
