import type { ModelRoute } from '../../crds/types.gen.ts'
import type { HostnameBinding } from './ownership.ts'

/** Short names for the parts of the users' contract that the compiler takes apart. */
export type RouteSpec = ModelRoute['spec']
export type RuleSpec = RouteSpec['rules'][number]
export type MatchSpec = NonNullable<RuleSpec['matches']>[number]
export type BackendRef = NonNullable<RuleSpec['backendRefs']>[number]
/** A server to call, with or without a share of the traffic. */
export type CalleeRef = Omit<BackendRef, 'variant' | 'weight' | 'priority'>
export type TimeoutsSpec = NonNullable<RuleSpec['timeouts']>
export type SizeLimitsSpec = NonNullable<RuleSpec['sizeLimits']>
export type LoadBalancingSpec = NonNullable<RuleSpec['loadBalancing']>
export type HealthSpec = NonNullable<RuleSpec['health']>
export type CircuitBreakerSpec = NonNullable<RuleSpec['circuitBreaker']>
export type BatchingSpec = NonNullable<RuleSpec['batching']>
export type CacheSpec = NonNullable<RuleSpec['cache']>
export type ComposeSpec = NonNullable<RuleSpec['compose']>
export type StepSpec = ComposeSpec['steps'][number]

export type RolloutSpec = NonNullable<RuleSpec['rollout']>
export type AnalysisSpec = NonNullable<RolloutSpec['analysis']>
export type MetricSpec = NonNullable<AnalysisSpec['metrics']>[number]

export type AuthSpec = NonNullable<RuleSpec['auth']>
export type CredentialSpec = NonNullable<AuthSpec['anyOf']>[number]
export type AuthorizationSpec = NonNullable<RuleSpec['authorization']>
export type CorsSpec = NonNullable<RouteSpec['cors']>
export type PrincipalSpec = NonNullable<MatchSpec['principal']>

export type CompileOptions = Readonly<{
  /** What URL backends may name: `host`, `*.suffix`, either with `:port`. */
  allowUrls: readonly string[]
  /** Files on one's own machine may name it as a backend; manifests of a cluster may not. */
  allowLoopback: boolean
  /** Trust EndpointSlices that no controller of Kubernetes wrote: their author chooses any address. */
  allowUnmanagedEndpointSlices: boolean
  /**
   * Of the installation, for the digests of API keys: who has a table but not this cannot try keys against it. Proxies
   * get it as the secret `pepper`. Without it there are no keys.
   */
  pepper?: Uint8Array
  /** Which namespaces alone may name a host. */
  hostnameBindings?: readonly HostnameBinding[]
  /** When given, a route that names none of them is `NoMatchingGateway`. */
  gateways?: readonly string[]
}>
export type ValidationSpec = NonNullable<RuleSpec['validation']>
export type TransformSpec = NonNullable<RuleSpec['transform']>
