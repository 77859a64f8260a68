import type { CircuitBreaker } from '../../table/resilience.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import { Circuit, type CircuitState } from './circuit.ts'
import type { Verdict } from './verdict.ts'
import { Window, type Counts } from './window.ts'

/** How far back the requests of a variant are remembered where there are few. Seconds. */
const memory = 60

/** Which share of requests is beyond what is allowed. */
export function exceeded({ errorPercent, slow }: CircuitBreaker, { requests, failed, slow: late }: Counts): 'errors' | 'slow' | undefined {
  if (errorPercent !== undefined && failed * 100 >= requests * errorPercent) return 'errors'
  return slow !== undefined && late * 100 >= requests * slow.percent ? 'slow' : undefined
}

/** The circuit of a variant: it opens where too many of its requests fail or are slow, whichever endpoint they went to. */
export class Breaker {
  terms: CircuitBreaker
  readonly #circuit = new Circuit()
  readonly #window = new Window(memory)
  readonly #now: () => number
  /** The request that tries whether it can be closed, and what came of its tries so far. */
  #trial: { readonly request: object; verdict: Verdict | undefined } | undefined

  /** @param now milliseconds, as of `performance.now()` */
  constructor(terms: CircuitBreaker, now: () => number) {
    this.terms = terms
    this.#now = now
  }

  get state(): CircuitState {
    return this.#circuit.state(this.#now())
  }

  /** Milliseconds until a request may try. */
  get wait(): number {
    return this.#circuit.wait(this.#now())
  }

  /** @returns undefined: the request may go on, and says when it is over with `leave` */
  enter(request: object): Failure | undefined {
    if (this.#circuit.closed) return undefined
    const now = this.#now()
    const how = this.#circuit.enter(now)
    if (how === 'refuse') return circuitOpen(this.#circuit.wait(now))
    if (how === 'trial') this.#trial = { request, verdict: undefined }
    return undefined
  }

  /** This one tries whether it can be closed. */
  isTrial(request: object): boolean {
    return this.#trial?.request === request
  }

  /** @returns how it changed */
  leave(request: object): 'opened' | undefined {
    if (this.#trial?.request !== request) return undefined
    const { verdict } = this.#trial
    this.#trial = undefined
    if (verdict === undefined) this.#circuit.giveUp()
    else this.open()
    return verdict === undefined ? undefined : 'opened'
  }

  /**
   * What came of one try of a request. Once a circuit is open, only that of the trial counts.
   * @returns what is beyond what is allowed, for who decides whether all endpoints are to blame; `closed`: it is again
   */
  record(request: object, verdict: Verdict): 'errors' | 'slow' | 'closed' | undefined {
    if (!this.#circuit.closed) {
      if (this.#trial?.request !== request) return undefined
      this.#trial.verdict = verdict
      if (verdict !== 'good') return undefined
      this.#trial = undefined
      this.#circuit.close()
      return 'closed'
    }
    const now = this.#now()
    this.#window.record(verdict === 'failed', verdict === 'slow', now)
    if (verdict === 'good') return undefined
    const counts = this.#window.last(this.terms.minRequests, now)
    return counts && exceeded(this.terms, counts)
  }

  open(): void {
    this.#circuit.open(this.#now() + this.terms.openFor)
    this.#window.clear()
  }

  /** Those who were to blame are taken care of; what is counted from here on is about the others. */
  forgive(): void {
    this.#window.clear()
  }
}

/** @param wait milliseconds */
export function circuitOpen(wait: number): Failure {
  return {
    ...failure('circuit_open', 'The backend fails too often to be asked at present.'),
    headers: ['retry-after', String(Math.max(1, Math.ceil(wait / 1000)))],
  }
}
