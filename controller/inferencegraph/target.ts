import type { StepSpec } from '../compile/spec.ts'
import type { Graph, Step, Told } from './spec.ts'

/** What an InferenceService speaks, where it is known. */
export type ProtocolOf = (namespace: string, name: string) => 'V1' | 'V2' | undefined

type Target = Pick<StepSpec, 'backendRef' | 'path'>

/** A name within the cluster: of a Service, its namespace, and what every cluster calls the rest. */
const inCluster = /^(?!localhost$)(?<name>[a-z0-9-]+)(?:\.(?<namespace>[a-z0-9-]+)\.svc(?:\.cluster\.local)?)?$/

/** Where a step leads that leads to no other node. */
export function targetOf({ target, path }: Step, { namespace }: Graph, protocolOf: ProtocolOf, told: Told[]): Target {
  if ('service' in target) {
    const { service } = target
    const model = encodeURIComponent(service)
    return {
      backendRef: { kind: 'InferenceService', name: service },
      path: protocolOf(namespace, service) === 'V2' ? `/v2/models/${model}/infer` : `/v1/models/${model}:predict`,
    }
  }
  const text = 'url' in target ? target.url : ''
  const url = URL.canParse(text) ? new URL(text) : undefined
  const refuse = (message: string): Target => {
    told.push({ path: [...path, 'serviceUrl'], severity: 'error', message })
    return { backendRef: { name: 'unknown' } }
  }
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) return refuse('is no URL such as http://fraud.ml.svc.cluster.local/v1/models/fraud:predict')
  if (url.username !== '' || url.password !== '') return refuse('holds credentials; take them out, and give them to the route as backendRef.credentials')
  if (url.search !== '') return refuse('has a query, and the path of a step has none')
  const secure = url.protocol === 'https:'
  const found = inCluster.exec(url.hostname)?.groups
  if (found === undefined) {
    told.push({ path: [...path, 'serviceUrl'], severity: 'warning', message: `leads out of the cluster: the operator admits it with --allow-url ${url.host}` })
    return { backendRef: { kind: 'URL', url: url.origin }, path: url.pathname }
  }
  const other = found['namespace'] !== undefined && found['namespace'] !== namespace ? found['namespace'] : undefined
  if (other !== undefined) told.push({ path: [...path, 'serviceUrl'], severity: 'warning', message: `is in the namespace ${other}: it takes a ReferenceGrant there` })
  if (secure) told.push({ path: [...path, 'serviceUrl'], severity: 'warning', message: 'is asked over TLS; its certificate must be one that the gateway trusts, or backendRef.tls.caRef says which' })
  return {
    backendRef: {
      name: found['name'] ?? '', ...(other !== undefined && { namespace: other }), port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
      ...(secure && { tls: { serverName: url.hostname } }),
    },
    path: url.pathname,
  }
}
