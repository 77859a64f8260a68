import type { CircuitBreaker, PassiveHealth } from '../../table/resilience.ts'
import type { Check } from '../health/checks.ts'
import { exceeded } from './breaker.ts'
import { Circuit } from './circuit.ts'
import { Ejection } from './ejection.ts'
import type { Upstream } from './pool.ts'
import type { Verdict } from './verdict.ts'
import { Window } from './window.ts'

/** How far back the requests of one endpoint are remembered where there are few. Seconds. */
const memory = 20
/** Of so many requests at least, where it is only asked who is to blame. */
const blameMin = 3

/** Why requests put an endpoint out: failures in a row, or too large a share of failed or slow ones. */
export type Fault = 'failures in a row' | 'errors' | 'slow'

/** What is known of one endpoint of one variant. */
export class Standing {
  readonly upstream: Upstream
  readonly circuit = new Circuit()
  readonly ejection = new Ejection()
  /** Why it is out, or was last. */
  fault: Fault = 'failures in a row'
  /** What the gateway asks it itself; undefined: nothing. */
  check: Check | undefined
  /** The request that tries whether it is fit again. */
  trial: object | undefined
  /** Made when there is something to count. */
  #window: Window | undefined
  #recoveries = 0

  constructor(upstream: Upstream) {
    this.upstream = upstream
  }

  /** As far as the gateway's own questions say. */
  get sound(): boolean {
    return this.check === undefined || this.check.state === 'healthy'
  }

  get usable(): boolean {
    return this.circuit.closed && this.sound
  }

  /** Counts a request to it. @returns what is wrong with it now; undefined: nothing */
  record(verdict: Verdict, { passive, breaker }: Readonly<{ passive: PassiveHealth | undefined; breaker: CircuitBreaker | undefined }>, now: number): Fault | undefined {
    if (breaker !== undefined) (this.#window ??= new Window(memory)).record(verdict === 'failed', verdict === 'slow', now)
    if (verdict !== 'failed') this.ejection.succeeded(now)
    else if (passive !== undefined && this.ejection.failed(passive, now)) return 'failures in a row'
    return breaker === undefined || verdict === 'good' ? undefined : this.#exceeds(breaker, breaker.minRequests, now)
  }

  /** @param usable among how many its variant's requests are shared */
  toBlame(breaker: CircuitBreaker, usable: number, now: number): Fault | undefined {
    return this.#exceeds(breaker, Math.max(blameMin, Math.floor(breaker.minRequests / usable)), now)
  }

  #exceeds(breaker: CircuitBreaker, least: number, now: number): Fault | undefined {
    const counts = this.#window?.last(least, now)
    return counts && exceeded(breaker, counts)
  }

  /** Since it was put out it has become healthy by its own answers. */
  get recovered(): boolean {
    return this.check !== undefined && this.check.recoveries > this.#recoveries
  }

  out(fault: Fault, until: number): void {
    this.fault = fault
    this.#recoveries = this.check?.recoveries ?? 0
    this.trial = undefined
    this.circuit.open(until)
    this.#window?.clear()
  }

  back(): void {
    this.trial = undefined
    this.circuit.close()
  }
}
