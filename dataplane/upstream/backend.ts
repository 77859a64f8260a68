import type { Balance } from '../../table/resilience.ts'
import type { Variant } from '../../table/route.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { createBalancing, type Balancing, type BalancingDeps } from './balancing.ts'
import type { Group } from './groups.ts'
import type { Turn, Weighed } from './pick/pick.ts'
import type { Upstream } from './pool.ts'
import type { Shield, ShieldReport } from './shield.ts'

/** How a try on one endpoint ended. Times are milliseconds from its beginning. */
export type TryOutcome =
  /** `headers` and `trailers`: of the answer, names and values as they came. */
  | Readonly<{ kind: 'answered'; status: number; firstByteMs: number; totalMs: number; headers: readonly string[]; trailers: readonly string[] }>
  | Readonly<{ kind: 'failed'; why: 'connect' | 'reset' | 'timeout' | 'protocol' }>
  /** It says nothing about the endpoint: the client left, another try won, or the request could not be sent. */
  | Readonly<{ kind: 'cancelled' }>

/** What of a backend outlives the table, by variant and where that leads. */
export type BackendState = {
  readonly variant: string
  readonly target: Variant['target']
  /** Where policies that take turns stand, by zone. */
  turns: Map<string, Turn> | undefined
  /** Its connections are its own. */
  readonly lane: number
  /** Undefined: no rule asks for any. */
  shield: Shield | undefined
}

let lanes = 0

export const newBackendState = (variant: string, target: Variant['target']): BackendState => ({ variant, target, turns: undefined, lane: lanes++, shield: undefined })

export type BackendConfig = Readonly<{
  group: Group
  /** Some secret that a connection there is made with has not arrived; undefined: it takes none. */
  lacks: (() => boolean) | undefined
  balance: Balance
  balancing: BalancingDeps
  state: BackendState
}>

/** The way of one variant of one rule to its endpoints. */
export class Backend {
  readonly state: BackendState
  readonly #group: Group
  readonly #lacks: (() => boolean) | undefined
  readonly #balance: Balance
  readonly #deps: BalancingDeps
  /** Made for the first request: of thousands of backends most are never asked. */
  #made: Balancing | undefined
  readonly #shield: Shield | undefined

  constructor({ group, lacks, balance, balancing, state }: BackendConfig) {
    this.state = state
    this.#shield = state.shield
    this.#group = group
    this.#lacks = lacks
    this.#balance = balance
    this.#deps = balancing
  }

  get #balancing(): Balancing {
    return (this.#made ??= createBalancing(this.#balance, (this.state.turns ??= new Map()), this.#deps))
  }

  /**
   * Whether it takes a request, before the first try; a promise where that has to be waited for, which never rejects.
   * @param until when its answer is of no use any more, as of `performance.now()`
   */
  admit(exchange: Exchange, until: number): Failure | undefined | Promise<Failure | undefined> {
    if (this.#lacks?.() === true) {
      exchange.cause = 'a secret that TLS to the backend takes has not arrived'
      return lacking
    }
    if (this.#shield !== undefined) {
      const entered = this.#shield.enter(exchange, until)
      return entered instanceof Promise && exchange.spans !== undefined ? exchange.spans.queued(entered, exchange.variant?.name ?? '') : entered
    }
    return this.#group.members.length === 0 ? noEndpoints : undefined
  }

  /** It is done with a request that it took: its answer is over, or somebody else is asked. */
  leave(exchange: Exchange): void {
    this.#shield?.leave(exchange)
  }

  /** The endpoints that may be asked. */
  get usable(): readonly Upstream[] {
    return this.#shield === undefined ? this.#group.members : this.#shield.usable
  }

  /** Its rule asks for health, a circuit breaker or waking. */
  get watched(): boolean {
    return this.#shield !== undefined
  }

  report(): ShieldReport {
    if (this.#shield !== undefined) return this.#shield.report()
    const endpoints = this.#group.members.map(({ label, inFlight }) => ({ endpoint: label, state: 'healthy' as const, inFlight }))
    return { circuit: undefined, inside: undefined, waiting: undefined, held: 0, endpoints }
  }

  /** What a request would be answered now without asking anybody; undefined: it would go on, or wait. */
  foresee(): Failure | undefined {
    if (this.#lacks?.() === true) return lacking
    if (this.#shield !== undefined) return this.#shield.foresee()
    return this.#group.members.length === 0 ? noEndpoints : undefined
  }

  /**
   * The endpoint of one try, which has begun on it from here on.
   * @param tried what failed this request; taken again only where there is nobody else
   */
  take(exchange: Exchange, tried?: readonly Upstream[]): Upstream | Failure {
    const { usable } = this
    const { picker, picking } = this.#balancing
    picking?.(this.#group)
    const upstream = this.#shield?.trial(exchange, tried) ?? picker.pick(usable, exchange, tried) ?? (tried && picker.pick(usable, exchange))
    if (upstream === undefined) return this.#shield?.refusal() ?? noEndpoints
    if (upstream.fullIn(this.state.lane)) return overloaded
    upstream.begin()
    return upstream
  }

  /** Its endpoints as they look to the policy, the likeliest first; no turn is taken. */
  weigh(exchange: Exchange): readonly Weighed[] {
    return this.#balancing.picker.weigh(this.usable, exchange)
  }

  /** Whether there is an endpoint that has not been tried. */
  hasOther(tried: readonly Upstream[]): boolean {
    return this.usable.some((member) => !tried.includes(member))
  }

  /** The answer to a try has begun, where that is watched; `settle` follows when it is over. */
  began(upstream: Upstream, exchange: Exchange, outcome: TryOutcome): void {
    this.#shield?.began(upstream, exchange, outcome)
  }

  /** A try is over: called exactly once for each that was taken. */
  settle(upstream: Upstream, outcome: TryOutcome, exchange: Exchange): void {
    upstream.end()
    this.#balancing.observe?.(upstream, outcome)
    this.#shield?.settle(upstream, exchange, outcome)
  }

  /** No table leads here any more; what is in flight is finished. */
  close(): void {
    const { shield, lane } = this.state
    shield?.close()
    for (const member of this.#group.members) member.closeLane(lane)
  }
}

const lacking = failure('no_endpoints', 'The backend cannot be reached at present.')
const noEndpoints = failure('no_endpoints', 'The backend has no ready endpoint.')
const overloaded = failure('overloaded', 'The backend has more requests waiting than it can take.')
