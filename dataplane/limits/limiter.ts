import type { Limit } from '../../table/limits.ts'
import type { Wish, Waited } from './queue.ts'

/** What one limit asks of one request. The keys of one request are all different (`key.ts` makes them). */
export type Take = Readonly<{
  key: string
  algorithm: Limit['algorithm']
  /** How much there is; with TokenBucket, `algorithm.burst` comes on top. */
  amount: number
  /** What this request costs, or is expected to at most. 0 looks and takes nothing. May have fractions. */
  units: number
  /** The units are a reservation: `settle` says what it came to. One of 0 is let through while anything is left. */
  hold: boolean
  scope: Limit['scope']
  /** Counts and tells, and never refuses. What it would have refused it does not count. */
  shadow: boolean
  onStoreFailure: Limit['onStoreFailure']
}>

/** What one limit said. Times are milliseconds from now; of a count that could not be asked, `remaining` is NaN. */
export type Verdict = Readonly<{
  /** False also for a shadow limit that would have refused. */
  allows: boolean
  /** What is left after this request, never below 0. */
  remaining: number
  /** Until all of it is there again: the window's end, the bucket full, the log empty. 0: unknown, or there is all. */
  resetAfter: number
  /** 0 where it allows; where more was asked than there ever is, infinite. Concurrency can only guess. */
  retryAfter: number
}>

/** Where it was decided. `failure`: the shared counts could not be reached, and `onStoreFailure` decided. */
export type DecidedBy = 'process' | 'store' | 'failure'

/** All limits of a request together: either every one that enforces allowed and all were charged, or none was. */
export type Decision = Readonly<{
  allowed: boolean
  /** Refused for want of the shared counts, by a limit whose `onStoreFailure` is Deny. */
  unavailable: boolean
  by: DecidedBy
  /** In the order of what was asked. */
  verdicts: readonly Verdict[]
  /** What `settle` needs; undefined where there is nothing to settle. */
  held: Held | undefined
}>

/** Ends the reservations of one decision. Called once; `units` as in `Limiter.settle`. `keys`: of their counts. */
export type Held = Readonly<{ keys: readonly string[]; settle(units: readonly number[] | undefined): void }>

/** Decides in one atomic step. In the process at once, over a shared store as a promise that never rejects. */
export type Limiter = Readonly<{
  /** @param tenant whose counts these are: over Redis Cluster, all of a tenant's are on one node */
  take(tenant: string, takes: readonly Take[]): Decision | Promise<Decision>
  /** The same for a request that may wait for what it asks. */
  wait(wish: Wish): Waited | Promise<Waited>
  /**
   * Says what a request came to, once, for the takes that hold, in their order among all takes (the others are not
   * looked at): the difference is charged or given back. Without units all is given back. Concurrency ends in any case.
   */
  settle(decision: Decision, units?: readonly number[]): void
  close(): Promise<void>
}>

/** A limit as it stands for one caller, with nothing taken. `remaining` is NaN where the counts could not be asked. */
export type Standing = Readonly<{ limit: Limit; remaining: number; resetAfter: number }>
