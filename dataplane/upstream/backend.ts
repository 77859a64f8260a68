import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Balancing } from './balancing.ts'
import type { Group } from './groups.ts'
import type { Turn, Weighed } from './pick/pick.ts'
import type { Upstream } from './pool.ts'

/** How a try on one endpoint ended. Times are milliseconds from its beginning. */
export type TryOutcome =
  /** `headers`: of the answer, names and values as they came. */
  | Readonly<{ kind: 'answered'; status: number; firstByteMs: number; totalMs: number; headers: readonly string[] }>
  | Readonly<{ kind: 'failed'; why: 'connect' | 'reset' | 'timeout' | 'protocol' }>
  /** It says nothing about the endpoint: the client left, another try won, or the request could not be sent. */
  | Readonly<{ kind: 'cancelled' }>

/** What of a backend outlives the table, by variant and where that leads. */
export type BackendState = Readonly<{
  /** Where policies that take turns stand, by zone. */
  turns: Map<string, Turn>
}>

export const newBackendState = (): BackendState => ({ turns: new Map() })

export type BackendConfig = Readonly<{
  group: Group
  /** Some secret that a connection there is made with has not arrived; undefined: it takes none. */
  lacks: (() => boolean) | undefined
  balancing: Balancing
  state: BackendState
}>

/** The way of one variant of one rule to its endpoints. */
export class Backend {
  readonly state: BackendState
  readonly #group: Group
  readonly #lacks: (() => boolean) | undefined
  readonly #balancing: Balancing

  constructor({ group, lacks, balancing, state }: BackendConfig) {
    this.state = state
    this.#group = group
    this.#lacks = lacks
    this.#balancing = balancing
  }

  /** Whether it takes a request, before the first try; a promise where that has to be waited for, which never rejects. */
  admit(exchange: Exchange): Failure | undefined | Promise<Failure | undefined> {
    if (this.#group.members.length === 0) return noEndpoints
    if (this.#lacks?.() !== true) return undefined
    exchange.cause = 'a secret that TLS to the backend takes has not arrived'
    return failure('no_endpoints', 'The backend cannot be reached at present.')
  }

  /** It is done with a request that it took: its answer is over, or somebody else is asked. */
  leave(_exchange: Exchange): void {}

  /**
   * The endpoint of one try, which has begun on it from here on.
   * @param tried what failed this request; taken again only where there is nobody else
   */
  take(exchange: Exchange, tried?: readonly Upstream[]): Upstream | Failure {
    const { members } = this.#group
    const { picker, picking } = this.#balancing
    picking?.(this.#group)
    const upstream = picker.pick(members, exchange, tried) ?? (tried && picker.pick(members, exchange))
    if (upstream === undefined) return noEndpoints
    if (upstream.full) return overloaded
    upstream.begin()
    return upstream
  }

  /** Its endpoints as they look to the policy, the likeliest first; no turn is taken. */
  weigh(exchange: Exchange): readonly Weighed[] {
    return this.#balancing.picker.weigh(this.#group.members, exchange)
  }

  /** Whether there is an endpoint that has not been tried. */
  hasOther(tried: readonly Upstream[]): boolean {
    return this.#group.members.some((member) => !tried.includes(member))
  }

  /** A try is over: called exactly once for each that was taken. */
  settle(upstream: Upstream, outcome: TryOutcome): void {
    upstream.end()
    this.#balancing.observe?.(upstream, outcome)
  }
}

const noEndpoints = failure('no_endpoints', 'The backend has no ready endpoint.')
const overloaded = failure('overloaded', 'The backend has more requests waiting than it can take.')
