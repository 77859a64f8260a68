import type { CircuitBreaker, PassiveHealth } from '../../table/resilience.ts'
import type { Check, CheckTerms } from '../health/checks.ts'
import type { Group } from './groups.ts'
import { mayEject } from './ejection.ts'
import type { Upstream } from './pool.ts'
import { Standing, type Fault } from './standing.ts'
import type { Verdict } from './verdict.ts'

export type FitnessTerms = Readonly<{
  passive: PassiveHealth | undefined
  /** Of a breaker that opens at all. */
  breaker: CircuitBreaker | undefined
  /** What the endpoints are asked. */
  check: CheckTerms | undefined
}>

/** Somebody asks the endpoints. */
export interface Checking {
  /** The check of an endpoint, shared by all who ask the same of it; `changed` is called when its state does. */
  hold(upstream: Upstream, terms: CheckTerms, changed: () => void): Check
  release(check: Check, changed: () => void): void
}

export type FitnessDeps = Readonly<{
  /** Undefined: nobody is asked, and every endpoint is taken for sound. */
  checks: Checking | undefined
  now: () => number
  /** An endpoint was put out, or is back. */
  onEndpoint: (change: EndpointChange) => void
}>

export type EndpointChange = Readonly<{ endpoint: string; why: Fault; out: number }> | Readonly<{ endpoint: string; back: true }>

/** What an endpoint is to a variant. `half_open`: one request may try whether it is fit again. */
export type EndpointState = 'healthy' | 'unknown' | 'unhealthy' | 'ejected' | 'half_open'

export type EndpointReport = Readonly<{ endpoint: string; state: EndpointState; inFlight: number; why?: string; backInMs?: number }>

/**
 * Which endpoints of a variant are asked: of those that discovery gives, the ones that answer the gateway's own questions
 * and that requests have not put out. Who was put out comes back by one request at a time.
 */
export class Fitness {
  /** Replaced whole. */
  usable: readonly Upstream[] = []
  #terms: FitnessTerms
  readonly #group: Group
  readonly #deps: FitnessDeps
  readonly #standings = new Map<Upstream, Standing>()
  readonly #out = new Set<Standing>()
  /** No one of those that are out may be tried before. */
  #soonest = Number.POSITIVE_INFINITY
  readonly #onChange: () => void

  /** @param onChange called when other endpoints may be usable than before */
  constructor(group: Group, terms: FitnessTerms, deps: FitnessDeps, onChange: () => void) {
    this.#group = group
    this.#terms = terms
    this.#deps = deps
    this.#onChange = onChange
    group.followers.add(this.#follow)
    this.#follow()
  }

  configure(terms: FitnessTerms): void {
    const asked = JSON.stringify(this.#terms.check)
    this.#terms = terms
    if (terms.passive === undefined && terms.breaker === undefined) for (const standing of this.#out) this.#readmit(standing)
    if (JSON.stringify(terms.check) !== asked) {
      const before = [...this.#standings.values()].flatMap(({ check }) => check ?? [])
      for (const standing of this.#standings.values()) standing.check = this.#ask(standing.upstream)
      for (const check of before) this.#deps.checks?.release(check, this.#recompute)
    }
    this.#recompute()
  }

  /** Requests have put some endpoint out. */
  get anyOut(): boolean {
    return this.#out.size > 0
  }

  /** Nobody is unfit, and of some it is not known yet whether they are fit. */
  get undecided(): boolean {
    return this.usable.length === 0 && this.#out.size === 0 && [...this.#standings.values()].some(({ check }) => check?.state === 'unknown')
  }

  /** Some endpoint would do but for what requests to it came to: milliseconds until it may be tried; undefined: none would. */
  get outFor(): number | undefined {
    const now = this.#deps.now()
    const waits = [...this.#out].filter(({ sound }) => sound).map(({ circuit }) => circuit.wait(now))
    return waits.length > 0 ? Math.min(...waits) : undefined
  }

  /** An endpoint that this request is to try; undefined: none is due. */
  trial(request: object, tried: readonly Upstream[] | undefined): Upstream | undefined {
    if (this.#out.size === 0) return undefined
    const now = this.#deps.now()
    if (now < this.#soonest) return undefined
    for (const standing of this.#out) {
      if (!standing.sound || standing.upstream.full || tried?.includes(standing.upstream) || standing.circuit.enter(now) !== 'trial') continue
      standing.trial = request
      return standing.upstream
    }
    return undefined
  }

  /** An answer has begun. Of a trial that is enough: how long it then goes on is up to the request. */
  began(upstream: Upstream, request: object, verdict: Verdict): void {
    const standing = this.#standings.get(upstream)
    if (verdict === 'good' && standing?.trial === request) this.#judgeTrial(standing, request, verdict, this.#deps.now())
  }

  settle(upstream: Upstream, request: object, verdict: Verdict | undefined): void {
    const standing = this.#standings.get(upstream)
    if (standing === undefined) return
    const now = this.#deps.now()
    if (!standing.circuit.closed) this.#judgeTrial(standing, request, verdict, now)
    else if (verdict !== undefined) {
      const fault = standing.record(verdict, this.#terms, now)
      if (fault !== undefined) this.#putOut(standing, fault, now)
    }
  }

  /** Puts those out whose requests fail while those of the others do not. False: there is no such difference. */
  blame(breaker: CircuitBreaker): boolean {
    const now = this.#deps.now()
    const usable = this.usable.flatMap((upstream) => this.#standings.get(upstream) ?? [])
    const culprits = usable.map((standing) => [standing, standing.toBlame(breaker, usable.length, now)] as const).filter(([, fault]) => fault !== undefined)
    if (culprits.length === 0 || culprits.length === usable.length) return false
    for (const [standing, fault] of culprits) if (fault !== undefined) this.#putOut(standing, fault, now)
    return true
  }

  report(): EndpointReport[] {
    const now = this.#deps.now()
    return [...this.#standings.values()].map((standing) => {
      const { upstream, check, circuit, fault } = standing
      const state = check !== undefined && check.state !== 'healthy' ? check.state
        : circuit.closed ? 'healthy' : circuit.state(now) === 'open' ? 'ejected' : 'half_open'
      const why = circuit.closed ? check?.why ?? '' : fault
      const wait = circuit.wait(now)
      return { endpoint: upstream.label, state, inFlight: upstream.inFlight, ...(why !== '' && { why }), ...(wait > 0 && { backInMs: Math.round(wait) }) }
    })
  }

  close(): void {
    this.#group.followers.delete(this.#follow)
    for (const { check } of this.#standings.values()) if (check) this.#deps.checks?.release(check, this.#recompute)
    this.#standings.clear()
    this.#out.clear()
    // Requests of the table before may still need somebody to ask.
    this.usable = this.#group.members
  }

  #judgeTrial(standing: Standing, request: object, verdict: Verdict | undefined, now: number): void {
    // What was on its way when it was put out says nothing new.
    if (standing.trial !== request) return
    if (verdict === undefined) {
      standing.trial = undefined
      standing.circuit.giveUp()
    } else if (verdict === 'failed' || (verdict === 'slow' && standing.fault === 'slow')) this.#putOut(standing, standing.fault, now)
    else {
      this.#readmit(standing)
      this.#recompute()
    }
  }

  #putOut(standing: Standing, fault: Fault, now: number): void {
    const { passive, breaker } = this.#terms
    const again = this.#out.has(standing)
    let until = now + (breaker?.openFor ?? 0)
    if (fault === 'failures in a row') {
      const fit = [...this.#standings.values()].filter(({ sound }) => sound)
      const ejected = fit.filter(({ circuit, fault: why }) => !circuit.closed && why === fault).length
      if (passive === undefined || !(again || mayEject(passive, ejected, fit.length))) return
      until = standing.ejection.eject(passive, now)
    }
    standing.out(fault, until)
    this.#out.add(standing)
    this.#soonest = Math.min(...[...this.#out].map(({ circuit }) => now + circuit.wait(now)))
    this.#deps.onEndpoint({ endpoint: standing.upstream.label, why: fault, out: until - now })
    if (!again) this.#recompute()
  }

  #readmit(standing: Standing): void {
    standing.back()
    this.#out.delete(standing)
    this.#deps.onEndpoint({ endpoint: standing.upstream.label, back: true })
  }

  readonly #follow = (): void => {
    const members = new Set(this.#group.members)
    for (const upstream of members) {
      if (this.#standings.has(upstream)) continue
      const standing = new Standing(upstream)
      this.#standings.set(upstream, standing)
      standing.check = this.#ask(upstream)
    }
    for (const [upstream, standing] of this.#standings) {
      if (members.has(upstream)) continue
      if (standing.check) this.#deps.checks?.release(standing.check, this.#recompute)
      this.#standings.delete(upstream)
      this.#out.delete(standing)
    }
    this.#recompute()
  }

  #ask(upstream: Upstream): Check | undefined {
    return this.#terms.check && this.#deps.checks?.hold(upstream, this.#terms.check, this.#recompute)
  }

  readonly #recompute = (): void => {
    const { members } = this.#group
    // Who failed requests, then the gateway's own questions, and now answers those, has been restarted.
    for (const standing of this.#out) if (standing.recovered) this.#readmit(standing)
    const usable = members.filter((member) => this.#standings.get(member)?.usable === true)
    this.usable = usable.length === members.length ? members : usable
    this.#onChange()
  }
}
