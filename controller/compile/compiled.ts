import type { ModelRoute } from '../../crds/types.gen.ts'
import type { Share } from '../../table/resources.ts'
import type { Problem } from '../sources/snapshot.ts'
import type { Delivery } from './rollout.ts'

/** What one reading of the world compiles into. Items that did not change keep their identity from one to the next. */
export type Compiled = Readonly<{
  /** By gateway name: every gateway that a route names, plus `default`. */
  fleets: ReadonlyMap<string, Share>
  /** By `namespace/name`. */
  routes: ReadonlyMap<string, RouteOutcome>
  policies: ReadonlyMap<string, PolicyOutcome>
  /** By `namespace/name`: Secrets that are meant to be API keys and are none, and why. */
  apiKeys: ReadonlyMap<string, readonly Problem[]>
}>

/** The verdict of a condition, before a time is put on it. */
export type Verdict = Readonly<{ status: 'True' | 'False' | 'Unknown'; reason: string; message: string }>

export type RouteOutcome = Readonly<{
  generation: number
  gateways: readonly string[]
  problems: readonly Problem[]
  accepted: Verdict
  resolvedRefs: Verdict
  /** Only when some rules hold and some do not. */
  partiallyInvalid?: Verdict
  /** Which limits hold on which rule; absent where no policy touches the route. */
  affected?: Verdict
  /** `infer: stable=95 canary=5`, in percent. */
  weights: string
  rules: readonly Readonly<{
    name: string
    backends: readonly Readonly<{ variant: string; effectiveWeight: number; endpoints: number }>[]
  }>[]
  /** What whoever rolls out is to know of each rule that splits its requests. */
  deliveries?: readonly (Readonly<{ name: string }> & Delivery)[]
  /** What is in force: the spec with each invalid rule replaced by its last good version. Absent: nothing of it is. */
  inForce?: ModelRoute['spec']
}>

export type PolicyOutcome = Readonly<{
  generation: number
  problems: readonly Problem[]
  accepted: Verdict
  targets: readonly Readonly<{ name: string; sectionName?: string; accepted: boolean; reason: string }>[]
  /** It is not accepted, and its last good version is in force. */
  kept?: true
  /** Which of its limits gave way to whose. */
  overridden?: string
}>
