import type { Kind } from './api.ts'

/** Every kind that the controller reads or writes. */
export const MODEL_ROUTES: Kind = { group: 'modelroute.io', version: 'v1alpha1', plural: 'modelroutes' }
export const RATE_LIMIT_POLICIES: Kind = { group: 'modelroute.io', version: 'v1alpha1', plural: 'ratelimitpolicies' }
export const SERVICES: Kind = { group: '', version: 'v1', plural: 'services' }
export const ENDPOINT_SLICES: Kind = { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' }
export const INFERENCE_SERVICES: Kind = { group: 'serving.kserve.io', version: 'v1beta1', plural: 'inferenceservices' }
export const REFERENCE_GRANTS: Kind = { group: 'gateway.networking.k8s.io', version: 'v1beta1', plural: 'referencegrants' }
export const CONTROLLER_REVISIONS: Kind = { group: 'apps', version: 'v1', plural: 'controllerrevisions' }
export const SECRETS: Kind = { group: '', version: 'v1', plural: 'secrets' }
export const CONFIG_MAPS: Kind = { group: '', version: 'v1', plural: 'configmaps' }
export const LEASES: Kind = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' }
export const EVENTS: Kind = { group: 'events.k8s.io', version: 'v1', plural: 'events' }
export const TOKEN_REVIEWS: Kind = { group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews' }
export const SUBJECT_ACCESS_REVIEWS: Kind = { group: 'authorization.k8s.io', version: 'v1', plural: 'subjectaccessreviews' }

/** The kinds that carry a status of ours. */
export type Own = 'ModelRoute' | 'RateLimitPolicy'

export const OWN: Readonly<Record<Own, Kind>> = { ModelRoute: MODEL_ROUTES, RateLimitPolicy: RATE_LIMIT_POLICIES }

export const API_VERSION = 'modelroute.io/v1alpha1'

/** Which object of ours, and which life of it. */
export type Ref = Readonly<{ kind: Own; namespace: string; name: string; uid: string }>
