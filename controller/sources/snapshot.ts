import type { ModelRoute, RateLimitPolicy } from '../../crds/types.gen.ts'

/** The world at one moment. Maps are by `namespace/name`; one that did not change keeps its identity, as do objects. */
export type Snapshot = Readonly<{
  modelRoutes: ReadonlyMap<string, Resource<ModelRoute>>
  rateLimitPolicies: ReadonlyMap<string, Resource<RateLimitPolicy>>
  services: ReadonlyMap<string, Service>
  /** By the Service they belong to (`namespace/service`), each list sorted by slice name. */
  endpointSlices: ReadonlyMap<string, readonly EndpointSlice[]>
  /** Empty while the cluster does not have the kind. */
  inferenceServices: ReadonlyMap<string, InferenceService>
  referenceGrants: ReadonlyMap<string, ReferenceGrant>
  secrets: ReadonlyMap<string, Secret>
  configMaps: ReadonlyMap<string, ConfigMap>
  /** The namespaces whose Secrets and ConfigMaps are read. */
  openNamespaces: Readonly<{ has(namespace: string): boolean }>
  /** The spec last in force, by route: what an invalid rule falls back to after a restart. */
  revisions: ReadonlyMap<string, Revision>
  /** How far the rules of each route are rolled out, by the rule's name. No source tells it. */
  rollouts?: ReadonlyMap<string, ReadonlyMap<string, RuleRollout>>
}>

/** What of a rule is in force. Shares are millionths of the rule. */
export type RuleRollout = Readonly<{
  variants: ReadonlyMap<string, Readonly<{ share: number; promoted: number; reference: string }>>
  /** Under which name proxies count; absent outside of a rollout. */
  measured?: string
  /** Earlier ones, in place of the manifest's. */
  undone?: NonNullable<ModelRoute['spec']['rules'][number]['backendRefs']>
}>

/**
 * A resource of ours as it was read: `object` only where it satisfies the schema, and what is wrong where it does not.
 * An object that cannot even be named (a file that does not parse) is no resource; the source reports it itself.
 */
export type Resource<T> = Readonly<{
  namespace: string
  name: string
  generation: number
  /** Sorts by age. RFC 3339 from a cluster, the place in the files otherwise. */
  created: string
  uid: string
  /** Without the rules in `broken`. */
  object?: T
  /** Rules of a route that do not satisfy the schema, where the rest of it does. */
  broken?: readonly BrokenRule[]
  /** What was written asks of callers, where something else is wrong with it. */
  asks?: Asks & Readonly<{ rules: ReadonlyMap<string, Asks> }>
  /** By rule: what somebody wants of its rollout, as it was written. */
  commands?: ReadonlyMap<string, string>
  problems: readonly Problem[]
}>

/** Authentication and authorization, as they were written. */
export type Asks = Readonly<{ auth?: unknown; authorization?: unknown }>

export type BrokenRule = Readonly<{
  /** Its place among the rules as they were written. */
  at: number
  name: string
  asks: Asks
  problems: readonly Problem[]
}>

export type Problem = Readonly<{
  /** From the object's root: `spec.rules[0].backendRefs[1].port`. Empty: the whole object. */
  field: string
  /** A condition's reason: `Invalid`, `UnsupportedValue`, `BackendNotFound`, … */
  reason: string
  message: string
  severity: 'error' | 'warning'
}>

export type Revision = Readonly<{ revision: number; spec: ModelRoute['spec'] }>

/** What we read of kinds that are not ours; any other field of theirs is left alone. */
type Meta = Readonly<{
  name: string
  namespace: string
  uid?: string
  labels?: Readonly<Record<string, string>>
  annotations?: Readonly<Record<string, string>>
}>

export type Service = Readonly<{
  metadata: Meta
  spec: Readonly<{
    type?: string
    clusterIP?: string
    externalName?: string
    ports?: readonly Readonly<{ name?: string; port: number; targetPort?: number | string; protocol?: string; appProtocol?: string }>[]
  }>
}>

export type EndpointSlice = Readonly<{
  metadata: Meta
  addressType: string
  ports?: readonly Readonly<{ name?: string; port?: number; protocol?: string }>[]
  endpoints?: readonly Readonly<{
    addresses: readonly string[]
    conditions?: Readonly<{ ready?: boolean; serving?: boolean; terminating?: boolean }>
    zone?: string
    targetRef?: Readonly<{ kind?: string; namespace?: string; name?: string }>
  }>[]
}>

export type InferenceService = Readonly<{
  metadata: Meta
  spec?: Readonly<Record<string, unknown>>
  status?: Readonly<{
    url?: string
    address?: Readonly<{ url?: string }>
    conditions?: readonly Readonly<{ type: string; status: string; message?: string }>[]
  }>
}>

/** Base64, as in its manifest. Its values go into no log, message or status. */
export type Secret = Readonly<{ metadata: Meta; type?: string; data: ReadonlyMap<string, string> }>

/** Base64 too, `data` and `binaryData` alike. */
export type ConfigMap = Readonly<{ metadata: Meta; data: ReadonlyMap<string, string> }>

export type ReferenceGrant = Readonly<{
  metadata: Meta
  spec: Readonly<{
    from: readonly Readonly<{ group: string; kind: string; namespace: string }>[]
    to: readonly Readonly<{ group: string; kind: string; name?: string }>[]
  }>
}>
