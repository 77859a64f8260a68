import type { CircuitBreaker, Health, WakeUp } from '../../table/resilience.ts'
import type { CheckTerms } from '../health/checks.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { TryOutcome } from './backend.ts'
import { Breaker, circuitOpen } from './breaker.ts'
import { Bulkhead } from './bulkhead.ts'
import type { CircuitState } from './circuit.ts'
import { Fitness, type Checking, type EndpointChange, type EndpointReport } from './fitness.ts'
import type { Group } from './groups.ts'
import { Line } from './line.ts'
import type { Upstream } from './pool.ts'
import { verdictOf, type Verdict } from './verdict.ts'

/** What a rule asks for, of one variant. */
export type ShieldTerms = Readonly<{
  health: Health | undefined
  breaker: CircuitBreaker | undefined
  wakeUp: WakeUp | undefined
  check: CheckTerms | undefined
}>

/** A circuit opened or closed. */
export type CircuitChange = Readonly<{ circuit: 'open' | 'closed'; why?: 'errors' | 'slow' }>

export type ShieldDeps = Readonly<{
  /** Undefined: nobody asks the endpoints, and all are taken for sound. */
  checks: Checking | undefined
  now: () => number
  onChange(change: EndpointChange | CircuitChange): void
}>

/** Requests of one variant that are held until it has an endpoint, and bytes of their bodies as far as they were read. */
const heldMax = 1024
const heldBytesMax = 67_108_864

/** Until an endpoint's turn to be asked has come. Milliseconds. */
const askingMax = 1000

const opens = ({ errorPercent, slow }: CircuitBreaker) => errorPercent !== undefined || slow !== undefined

/** What stands between the requests of one variant and its endpoints, and outlives the table that asks for it. */
export class Shield {
  #terms: ShieldTerms
  readonly #deps: ShieldDeps
  readonly #fitness: Fitness
  #breaker: Breaker | undefined
  #bulkhead: Bulkhead | undefined
  readonly #held = new Line(heldBytesMax)

  constructor(group: Group, terms: ShieldTerms, deps: ShieldDeps) {
    this.#terms = terms
    this.#deps = deps
    const { checks, now } = deps
    this.#fitness = new Fitness(group, fitnessTerms(terms), { checks, now, onEndpoint: (change) => deps.onChange(change) }, () => this.#letGo())
    this.#arrange()
  }

  /** Goes on by other terms, with all that it knows. */
  configure(terms: ShieldTerms): void {
    this.#terms = terms
    this.#fitness.configure(fitnessTerms(terms))
    this.#arrange()
  }

  get usable(): readonly Upstream[] {
    return this.#fitness.usable
  }

  /**
   * Whether a request may go on, at once or after it has waited.
   * @param until when its answer is of no use any more, as of `performance.now()`
   */
  enter(exchange: Exchange, until: number): Failure | undefined | Promise<Failure | undefined> {
    const refused = this.#breaker?.enter(exchange)
    if (refused !== undefined) return refused
    const held = this.#hold(exchange)
    if (held === undefined) return this.#seat(exchange, until)
    if (!(held instanceof Promise)) {
      this.leave(exchange)
      return held
    }
    return held.then((failed) => {
      if (failed === undefined) return this.#seat(exchange, until)
      this.leave(exchange)
      return failed
    })
  }

  leave(exchange: Exchange): void {
    this.#bulkhead?.leave(exchange)
    if (this.#breaker?.leave(exchange) === 'opened') this.#deps.onChange({ circuit: 'open' })
  }

  trial(exchange: Exchange, tried: readonly Upstream[] | undefined): Upstream | undefined {
    return this.#fitness.trial(exchange, tried)
  }

  /** What a request would be answered now without asking anybody; undefined: it would go on, or wait. */
  foresee(): Failure | undefined {
    if (this.#breaker?.state === 'open') return circuitOpen(this.#breaker.wait)
    const { usable, outFor, undecided } = this.#fitness
    const waits = this.#terms.wakeUp !== undefined || undecided
    return usable.length > 0 || outFor === 0 || (outFor === undefined && waits) ? undefined : this.refusal()
  }

  /** Why there is no endpoint to ask. */
  refusal(): Failure {
    const wait = this.#fitness.outFor
    return wait === undefined ? noEndpoints : circuitOpen(wait)
  }

  began(upstream: Upstream, exchange: Exchange, outcome: TryOutcome): void {
    const trial = this.#breaker?.isTrial(exchange) === true
    if (!trial && !this.#fitness.anyOut) return
    const verdict = this.#verdictOf(outcome)
    if (verdict === undefined) return
    this.#fitness.began(upstream, exchange, verdict)
    if (trial && verdict === 'good' && this.#breaker?.record(exchange, verdict) === 'closed') this.#deps.onChange({ circuit: 'closed' })
  }

  settle(upstream: Upstream, exchange: Exchange, outcome: TryOutcome): void {
    const verdict = this.#verdictOf(outcome)
    this.#fitness.settle(upstream, exchange, verdict)
    if (verdict === undefined || this.#breaker === undefined) return
    const outcomeOfAll = this.#breaker.record(exchange, verdict)
    if (outcomeOfAll === undefined) return
    if (outcomeOfAll === 'closed') this.#deps.onChange({ circuit: 'closed' })
    else if (this.#fitness.blame(this.#breaker.terms)) this.#breaker.forgive()
    else {
      this.#breaker.open()
      this.#deps.onChange({ circuit: 'open', why: outcomeOfAll })
    }
  }

  #verdictOf(outcome: TryOutcome): Verdict | undefined {
    return verdictOf(outcome, this.#terms.breaker?.slow?.after ?? Number.POSITIVE_INFINITY)
  }

  report(): ShieldReport {
    return {
      circuit: this.#breaker?.state,
      inside: this.#bulkhead?.inside,
      waiting: this.#bulkhead?.waiting,
      held: this.#held.size,
      endpoints: this.#fitness.report(),
    }
  }

  close(): void {
    this.#fitness.close()
    this.#held.all()
  }

  #arrange(): void {
    const { breaker } = this.#terms
    const { now } = this.#deps
    if (breaker === undefined || !opens(breaker)) this.#breaker = undefined
    else if (this.#breaker === undefined) this.#breaker = new Breaker(breaker, now)
    else this.#breaker.terms = breaker
    if (breaker?.maxRequests === undefined) {
      this.#bulkhead?.open()
      this.#bulkhead = undefined
    } else {
      const terms = { places: breaker.maxRequests, pending: breaker.maxPending }
      if (this.#bulkhead === undefined) this.#bulkhead = new Bulkhead(terms, now)
      else this.#bulkhead.configure(terms)
    }
  }

  /** Those that are held go on when there is somebody to ask, or when it is known that there is nobody. */
  #letGo(): void {
    if (this.#held.size === 0) return
    const { usable, undecided, outFor } = this.#fitness
    if (usable.length > 0 || outFor !== undefined || (this.#terms.wakeUp === undefined && !undecided)) this.#held.all()
  }

  #seat(exchange: Exchange, until: number): Failure | undefined | Promise<Failure | undefined> {
    const seated = this.#bulkhead?.enter(exchange, until)
    if (seated === undefined) return undefined
    if (seated instanceof Promise) {
      return seated.then((failed) => {
        if (failed !== undefined) this.leave(exchange)
        return failed
      })
    }
    this.leave(exchange)
    return seated
  }

  /** Undefined: there is somebody to ask. */
  #hold(exchange: Exchange): Failure | undefined | Promise<Failure | undefined> {
    const fitness = this.#fitness
    if (fitness.usable.length > 0 || fitness.outFor === 0) return undefined
    const { wakeUp, check } = this.#terms
    // Who waits for the first answer of an endpoint waits as long as that may take.
    const patience = fitness.outFor !== undefined ? 0 : wakeUp?.hold ?? (check !== undefined && fitness.undecided ? check.active.timeout + askingMax : 0)
    if (patience === 0) return this.refusal()
    const waited = this.#held.size < heldMax ? this.#held.wait(exchange, patience) : undefined
    if (waited === undefined) return heldFull
    return waited.then((how) => how === 'go' ? undefined : noEndpoints)
  }
}

export type ShieldReport = Readonly<{
  /** Undefined: it never opens. */
  circuit: CircuitState | undefined
  /** Requests that have one of a limited number of places, and those that wait for one; undefined: nothing limits them. */
  inside: number | undefined
  waiting: number | undefined
  /** Requests that wait for an endpoint. */
  held: number
  endpoints: readonly EndpointReport[]
}>

function fitnessTerms({ health, breaker, check }: ShieldTerms) {
  return { passive: health?.passive, breaker: breaker && opens(breaker) ? breaker : undefined, check }
}

const noEndpoints = failure('no_endpoints', 'The backend has no ready endpoint.')
const heldFull = failure('overloaded', 'More requests wait for the backend than may.')
