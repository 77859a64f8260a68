import type { Predictions } from '../../table/predictions.ts'
import { timestamp } from '../telemetry/members.ts'
import type { Shown } from './body.ts'
import type { Attributes, PredictionEvent } from './event.ts'
import type { Seen } from './watch.ts'

type Service = Readonly<{ name: string; namespace: string; component: string }>

/** What all events of a rule have in common. */
export type Origin = Readonly<{ source: string; route: string; rule: string; services: ReadonlyMap<string, Service>; otherwise: Service }>

/** Of a variant that is no InferenceService the route stands in for it. */
export function originOf(route: string, rule: string, { services = [] }: Predictions): Origin {
  const [namespace = '', name = ''] = route.split('/')
  return {
    source: `urn:modelroute:${route}:${encodeURIComponent(rule)}`, route, rule,
    services: new Map(services.map((service) => [service.variant, service])), otherwise: { name, namespace, component: 'predictor' },
  }
}

export function requestEvent(seen: Seen, origin: Origin, body: Shown): PredictionEvent {
  const { asked: { size, type } } = seen
  return eventOf(attributesOf(seen, origin, 'org.kubeflow.serving.inference.request', seen.askedAt, size, body), type, body)
}

export function answerEvent(seen: Seen, origin: Origin, body: Shown): PredictionEvent {
  const { status, cache, answered: { size = 0, type } = {} } = seen
  return eventOf(attributesOf(seen, origin, 'org.kubeflow.serving.inference.response', seen.answeredAt, size, body, status, cache), type, body)
}

const eventOf = (attributes: Attributes, contentType: string | undefined, { data, value }: Shown): PredictionEvent => ({ attributes, contentType, data, json: value !== undefined })

/** The first ten are KServe's. `metadata` has headers that its operator chose there: none here, since credentials travel in headers. */
function attributesOf(
  { variant, model, modelVersion, requestId, eventId, traceparent }: Seen, { source, route, rule, services, otherwise }: Origin, type: string, at: number, size: number,
  { withheld, truncated }: Shown, status?: number, cache?: string,
): Attributes {
  const { name, namespace, component } = services.get(variant) ?? otherwise
  return {
    id: eventId ?? requestId,
    source,
    type,
    time: timestamp(at),
    recordedtime: timestamp(Date.now()),
    inferenceservicename: name,
    namespace,
    component,
    endpoint: variant === '' ? 'default' : variant,
    metadata: '{}',
    route, rule, variant: variant || undefined, model: model || undefined, modelversion: modelVersion || undefined, requestid: requestId, traceparent,
    status, cache, databytes: size, withheld, truncated: truncated || undefined,
  }
}
