import type { Principal } from '../../pipeline/principal.ts'
import type { Load } from '../load/load.ts'
import type { Latency } from './latency.ts'

/** What balancing needs to know of an endpoint. All of it outlives the tables. */
export interface Member {
  /** Requests it has not answered completely yet, over all routes of the tenant. */
  readonly inFlight: number
  /** It has more to do already than it may be given. */
  readonly full: boolean
  /** `10.0.0.7:8080`. */
  readonly label: string
  readonly zone: string | undefined
  /** `performance.now()` of when it was first there to be asked. */
  readonly since: number
  /** How fast it answers, where a policy has asked for that. */
  readonly latency: Latency | undefined
  /** What it says of its own load, where a policy has asked for that. */
  readonly load: Load | undefined
}

/** What a policy may want to know of the request. */
export interface Asker {
  readonly principal: Principal | undefined
  readonly clientAddress: string
  /** Of how its prompt begins, where that was read. */
  readonly promptKey: number | undefined
  header(name: string): string | undefined
}

/** How an endpoint looks to a policy; of those it compares, the least cost is chosen. */
export type Weighed = Readonly<{ endpoint: string; cost: number; why: string }>

export type Picker<M extends Member> = Readonly<{
  /** Chooses the endpoint of one try, none of `tried`. Undefined: there is none (left). */
  pick(members: readonly M[], asker: Asker, tried?: readonly M[]): M | undefined
  /** For who asks why, and without taking a turn: the one that would be chosen first, then those after it. */
  weigh(members: readonly M[], asker: Asker): readonly Weighed[]
}>

/** Where a policy that takes turns stands. It outlives the table, so that an edit does not send everybody to the first. */
export type Turn = { next: number }

export const byCost = (a: Weighed, b: Weighed): number => a.cost - b.cost
