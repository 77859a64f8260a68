import * as v from 'valibot'
import type { ModelRoute, RateLimitPolicy } from '../../crds/types.gen.ts'
import { configMapOf, secretOf } from './files-secrets.ts'
import type * as snapshot from './snapshot.ts'

/** The kinds that are read from files, and what a valid object of each is. */
export type Shapes = {
  ModelRoute: ModelRoute
  RateLimitPolicy: RateLimitPolicy
  Service: snapshot.Service
  EndpointSlice: snapshot.EndpointSlice
  InferenceService: snapshot.InferenceService
  ReferenceGrant: snapshot.ReferenceGrant
  Secret: snapshot.Secret
  ConfigMap: snapshot.ConfigMap
}

export type Kind = keyof Shapes

export const GROUP = 'modelroute.io'

/** The API versions that each kind is read in. */
export const apiVersions: ReadonlyMap<string, readonly string[]> = new Map([
  ['ModelRoute', ['modelroute.io/v1alpha1']],
  ['RateLimitPolicy', ['modelroute.io/v1alpha1']],
  ['Service', ['v1']],
  ['EndpointSlice', ['discovery.k8s.io/v1']],
  ['InferenceService', ['serving.kserve.io/v1beta1']],
  ['ReferenceGrant', ['gateway.networking.k8s.io/v1beta1', 'gateway.networking.k8s.io/v1']],
  ['Secret', ['v1']],
  ['ConfigMap', ['v1']],
])

export const isKind = (kind: string): kind is Kind => apiVersions.has(kind)

const texts = v.record(v.string(), v.string())
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** What an object of any kind must have to be told from the others. */
export const Named = v.object({
  name: v.pipe(
    v.string('must be text (quote it)'),
    v.maxLength(253, 'is longer than 253 characters'),
    v.regex(subdomain, 'must be lower-case letters, digits, - and ., and begin and end with a letter or digit'),
  ),
  namespace: v.exactOptional(
    v.pipe(
      v.string('must be text (quote it)'),
      v.maxLength(63, 'is longer than 63 characters'),
      v.regex(label, 'must be lower-case letters, digits and -, and begin and end with a letter or digit'),
    ),
  ),
})

const Metadata = v.object({
  name: v.string(),
  namespace: v.string(),
  labels: v.exactOptional(texts),
  annotations: v.exactOptional(texts),
})

/*
 * The shape of the kinds that are not ours: only what is read of them, checked so that nothing downstream meets a wrong
 * type. Any other field of theirs is left out.
 */

export const Service = v.object({
  metadata: Metadata,
  spec: v.exactOptional(
    v.object({
      type: v.exactOptional(v.string()),
      clusterIP: v.exactOptional(v.string()),
      externalName: v.exactOptional(v.string()),
      ports: v.exactOptional(
        v.array(
          v.object({
            name: v.exactOptional(v.string()),
            port,
            targetPort: v.exactOptional(v.union([port, v.string()])),
            protocol: v.exactOptional(v.string()),
            appProtocol: v.exactOptional(v.string()),
          }),
        ),
      ),
    }),
    {},
  ),
})

const condition = v.exactOptional(v.boolean())

export const EndpointSlice = v.object({
  metadata: Metadata,
  addressType: v.picklist(['IPv4', 'IPv6', 'FQDN']),
  ports: v.exactOptional(
    v.array(
      v.object({
        name: v.exactOptional(v.string()),
        port: v.exactOptional(port),
        protocol: v.exactOptional(v.string()),
      }),
    ),
  ),
  endpoints: v.exactOptional(
    v.array(
      v.object({
        addresses: v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(1)),
        conditions: v.exactOptional(v.object({ ready: condition, serving: condition, terminating: condition })),
        zone: v.exactOptional(v.string()),
        targetRef: v.exactOptional(
          v.object({
            kind: v.exactOptional(v.string()),
            namespace: v.exactOptional(v.string()),
            name: v.exactOptional(v.string()),
          }),
        ),
      }),
    ),
  ),
})

export const InferenceService = v.object({
  metadata: Metadata,
  spec: v.exactOptional(v.record(v.string(), v.unknown())),
  status: v.exactOptional(
    v.object({
      url: v.exactOptional(v.string()),
      address: v.exactOptional(v.object({ url: v.exactOptional(v.string()) })),
      conditions: v.exactOptional(
        v.array(v.object({ type: v.string(), status: v.string(), message: v.exactOptional(v.string()) })),
      ),
    }),
  ),
})

export const ReferenceGrant = v.object({
  metadata: Metadata,
  spec: v.object({
    from: v.array(v.object({ group: v.string(), kind: v.string(), namespace: v.string() })),
    to: v.array(v.object({ group: v.string(), kind: v.string(), name: v.exactOptional(v.string()) })),
  }),
})

export const Secret = secretOf(Metadata)
export const ConfigMap = configMapOf(Metadata)
