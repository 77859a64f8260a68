import type { Hedge, Retry } from '../../table/resilience.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import { grpcCodeOf } from '../protocols/grpc.ts'

/** Why a request is sent once more: of `retry.reasons`, or a status of `retry.codes`. */
export type Reason = Retry['reasons'][number] | number

/** One try that came to nothing. */
export type Miss = Readonly<{
  reason: Reason
  /** The backend certainly did nothing with it, so that it is no repetition. */
  unstarted: boolean
  /** What the caller is told, where it ends with this. */
  why: Failure
  /** For the log. */
  cause: string
}>

/**
 * Statuses by which a server says that it did not act on the request (RFC 9110, RFC 6585, RFC 8470): the request was not
 * complete, misdirected, too early, one too many, or the server could not handle it.
 */
const refusals = new Set([408, 421, 425, 429, 503])

/** It certainly was not acted on: sending it again is no repetition. */
export const saysRefused = ({ reason, unstarted }: Miss) => unstarted || (typeof reason === 'number' && refusals.has(reason))

export const asksFor = ({ codes, reasons }: Retry, { reason }: Miss) => typeof reason === 'number' ? codes.includes(reason) : reasons.includes(reason)

/** What is wrong with the request itself is wrong for everybody. */
const ownFaults: ReadonlySet<string> = new Set(['request_too_large', 'invalid_request', 'client_closed', 'schema_mismatch'])
export const isOwnFault = ({ code }: Failure): boolean => ownFaults.has(code)

export const incomplete = failure('timeout', 'The request was not complete in time.')
export const late = failure('timeout', 'The backend did not answer in time.')

/** What a caller is told in place of an answer with this status, where nobody gave a better one. */
export function toldBy(status: number): Failure {
  if (status === 504) return late
  if (status === 429 || status === 503) return failure('overloaded', 'The backend has more requests than it can take.')
  return failure('upstream_reset', 'The backend could not answer the request.')
}

/**
 * What an answer says in terms of HTTP. A gRPC error that comes before any message has its status in the head; it is
 * one of the codes by the usual correspondence (grpc doc/http-grpc-status-mapping), so that 503 is UNAVAILABLE.
 */
export function statusSaid(status: number, rawHeaders: readonly string[], grpc: boolean): number {
  if (!grpc || status !== 200) return status
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === 'grpc-status') return grpcCodeOf(rawHeaders[i + 1] ?? '')
  }
  return status
}

/** No wait grows beyond so many times the first. */
const growthMax = 16

/**
 * Milliseconds before the n-th retry, from 1: anything up to a bound that doubles, so that those who failed together do not
 * come back together.
 */
export function backoffOf({ backoff }: Retry, n: number, random: () => number = Math.random): number {
  return random() * backoff * Math.min(2 ** (n - 1), growthMax)
}

/** So many requests of a rule may be retried at once whatever the share: at low traffic a share is less than one. */
const retriesMin = 10
/** Second requests that a rule has saved up, at most. */
const hedgesMax = 10

/** What the requests of one rule may cost in addition, so that a backend in trouble is not given more to do. Outlives the table. */
export class Budget {
  /** Requests in progress. */
  active = 0
  #retrying = 0
  #hedges = 1

  enter(hedge: Hedge | undefined): void {
    this.active++
    if (hedge !== undefined) this.#hedges = Math.min(this.#hedges + hedge.budgetPercent / 100, hedgesMax)
  }

  leave(retrying: boolean): void {
    this.active--
    if (retrying) this.#retrying--
  }

  /** Whether one more of the requests in progress may be one that is retried. It is until it leaves. */
  retry({ budgetPercent }: Retry): boolean {
    if (budgetPercent === 0 || this.#retrying >= Math.max(retriesMin, this.active * budgetPercent / 100)) return false
    this.#retrying++
    return true
  }

  /** Whether one more second request may be sent. */
  hedge({ budgetPercent }: Hedge): boolean {
    if (budgetPercent === 0 || this.#hedges < 1) return false
    this.#hedges--
    return true
  }
}
