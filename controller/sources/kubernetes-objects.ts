import * as v from 'valibot'
import { validateModelRoute, validateRateLimitPolicy, type Fault } from '../../crds/validate.ts'
import type { ModelRoute, RateLimitPolicy } from '../../crds/types.gen.ts'
import { isRecord, type RawObject } from '../kubernetes/api.ts'
import { equal } from '../kubernetes/equal.ts'
import { API_VERSION, type Own } from '../kubernetes/kinds.ts'
import { examine } from './rules.ts'
import type { EndpointSlice, InferenceService, ReferenceGrant, Resource, Service } from './snapshot.ts'

/** Before the name of a rule: an annotation with a command for its rollout. */
export const COMMAND = 'rollout.modelroute.io/'

/** Names the Service that a slice belongs to. */
export const SERVICE_LABEL = 'kubernetes.io/service-name'

/**
 * What is kept of each kind. A cluster's Services and slices are many and mostly none of our business, so only the
 * fields that the snapshot names survive; `keep` answers the earlier object when they say the same.
 */
type Keep<T> = (object: RawObject, previous: T | undefined) => T

/** Ours, checked against the schema once a change: the CRD in the cluster may be older or looser than this program. */
export type OwnObject<T> = Readonly<{ resource: Resource<T>; status: unknown }>

export const keepModelRoute = keepOwn<ModelRoute>('ModelRoute', validateModelRoute)
export const keepRateLimitPolicy = keepOwn<RateLimitPolicy>('RateLimitPolicy', validateRateLimitPolicy)

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- T is what the schema stands for
function keepOwn<T>(kind: Own, validate: (value: unknown) => readonly Fault[]): Keep<OwnObject<T>> {
  return (object, previous) => {
    const { name, namespace = '', uid, generation = 0, creationTimestamp = '', labels, annotations } = object.metadata
    const metadata = {
      name,
      namespace,
      uid,
      generation,
      creationTimestamp,
      ...(labels && { labels }),
      ...(annotations && { annotations: withoutCopies(annotations) }),
    }
    const kept = { apiVersion: API_VERSION, kind, metadata, spec: object['spec'] }
    const before = previous?.resource
    // The generation counts edits of the spec; a write of the status or of managedFields is no news.
    const same = before?.object !== undefined && isRecord(before.object) && before.generation === generation
      && equal(before.object['metadata'], metadata)
    if (previous !== undefined && same) {
      return equal(previous.status, object['status']) ? previous : { resource: previous.resource, status: object['status'] }
    }
    const { value, ...examined } = examine(kept, validate)
    return {
      resource: {
        namespace,
        name,
        generation,
        created: creationTimestamp,
        uid,
        ...examined,
        ...commandsIn(annotations),
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- validated above
        ...(value && { object: value as T }),
      },
      status: object['status'],
    }
  }
}

/** What somebody wants of the rollouts, a rule each. Also of a route whose manifest is broken: what is in force may go wrong. */
function commandsIn(annotations: Readonly<Record<string, string>> = {}): Pick<Resource<unknown>, 'commands'> {
  const commands = new Map(
    Object.entries(annotations).flatMap(([name, text]) => (name.startsWith(COMMAND) ? [[name.slice(COMMAND.length), text.slice(0, 128)] as const] : [])),
  )
  return commands.size > 0 ? { commands } : {}
}

/** kubectl keeps a whole copy of the manifest in an annotation. */
function withoutCopies(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { 'kubectl.kubernetes.io/last-applied-configuration': _copy, ...rest } = annotations
  return rest
}

const text = v.exactOptional(v.string())
const flag = v.exactOptional(v.boolean())
/** Go writes an empty list as null. */
const list = <T extends v.GenericSchema>(item: T) => v.nullish(v.array(item), [])
const meta = { name: v.string(), namespace: v.string() }

const ServiceSchema = v.object({
  metadata: v.object(meta),
  spec: v.object({
    type: text,
    clusterIP: text,
    externalName: text,
    ports: list(v.object({
      name: text,
      port: v.number(),
      targetPort: v.exactOptional(v.union([v.number(), v.string()])),
      protocol: text,
      appProtocol: text,
    })),
  }),
})

const EndpointSliceSchema = v.object({
  metadata: v.object({
    ...meta,
    labels: v.exactOptional(v.object({
      [SERVICE_LABEL]: text,
      'endpointslice.kubernetes.io/managed-by': text,
    })),
  }),
  addressType: v.string(),
  ports: list(v.object({ name: text, port: v.exactOptional(v.number()), protocol: text })),
  endpoints: list(v.object({
    addresses: v.array(v.string()),
    conditions: v.exactOptional(v.object({ ready: flag, serving: flag, terminating: flag })),
    zone: text,
    targetRef: v.exactOptional(v.object({ kind: text, namespace: text, name: text })),
  })),
})

const InferenceServiceSchema = v.object({
  metadata: v.object(meta),
  spec: v.exactOptional(v.record(v.string(), v.unknown())),
  status: v.exactOptional(v.object({
    url: text,
    address: v.exactOptional(v.object({ url: text })),
    conditions: list(v.object({ type: v.string(), status: v.string(), message: text })),
  })),
})

const ReferenceGrantSchema = v.object({
  metadata: v.object(meta),
  spec: v.object({
    from: list(v.object({ group: v.string(), kind: v.string(), namespace: v.string() })),
    to: list(v.object({ group: v.string(), kind: v.string(), name: text })),
  }),
})

/** Throws where an object has not the shape of its kind's published schema; the reflector logs it and goes on. */
function keepSlim<T>(schema: v.GenericSchema<unknown, T>): Keep<T> {
  return (object, previous) => {
    const next = v.parse(schema, object)
    return previous !== undefined && equal(previous, next) ? previous : next
  }
}

export const keepService = keepSlim<Service>(ServiceSchema)
export const keepEndpointSlice = keepSlim<EndpointSlice>(EndpointSliceSchema)
export const keepInferenceService = keepSlim<InferenceService>(InferenceServiceSchema)
export const keepReferenceGrant = keepSlim<ReferenceGrant>(ReferenceGrantSchema)
