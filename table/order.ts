import * as v from 'valibot'
import { confidential, type Resource } from './resources.ts'
import { amount } from './scalars.ts'

/**
 * How new a table is, among those of several controllers: the term of the lease that its controller knew of, and how much
 * of the API server's history, as the largest resourceVersion. It is of whole tables, and says nothing of their content.
 */
export const Order = v.pipe(v.strictObject({ epoch: amount, sequence: amount }), v.readonly())
export type Order = v.InferOutput<typeof Order>

/** The epoch decides: after a restore of etcd versions begin anew, and the term does not. */
export function isBefore(a: Order, b: Order): boolean {
  return a.epoch === b.epoch ? a.sequence < b.sequence : a.epoch < b.epoch
}

/** The later one; undefined: the other one. */
export function laterOf(a: Order, b: Order | undefined): Order {
  return b === undefined || isBefore(b, a) ? a : b
}

/**
 * Whether a resource of an earlier order would take a proxy back that holds this version of it: not where it is the same one,
 * nor where it has none because nothing of it is ever kept.
 */
export function takesBack(resource: Resource, held: string | null, offered: string): boolean {
  return held !== offered && (held !== null || !confidential(resource))
}
