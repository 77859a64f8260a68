import type { Limit } from '../../table/limits.ts'
import { other } from '../../exposition/family.ts'
import type { Sliced } from '../sliced.ts'
import { Callers } from './callers.ts'

/** How a limit decided. `unavailable`: it could not, and refuses then. */
const limitDecisions = ['allowed', 'rejected', 'shadow_rejected', 'unavailable', 'queue_full', 'queue_timeout'] as const
export type LimitDecision = (typeof limitDecisions)[number]

/** What the decisions of a limit are counted under. A policy's name has a namespace before it; a limit's has no slash. */
export const labelOf = ({ policy, name }: Readonly<{ policy: string; name: string }>): string => `${policy}/${name}`

/** Names that are remembered at most. */
const limitsMax = 10_000

/** Counts of what limits decided, and of who used what. They outlive the tables. */
export class LimitTally {
  readonly #decisions = new Map<string, Map<LimitDecision, number>>()
  readonly callers = new Callers()

  /** @param label see `labelOf` */
  decided(label: string, decision: LimitDecision): void {
    let counts = this.#decisions.get(label)
    if (counts === undefined) {
      // Those beyond are counted together.
      const place = this.#decisions.size < limitsMax ? label : `${other}/${other}`
      counts = this.#decisions.get(place) ?? new Map<LimitDecision, number>()
      this.#decisions.set(place, counts)
    }
    counts.set(decision, (counts.get(decision) ?? 0) + 1)
  }

  /** @param all also those that a limit has never come to: of a count that begins with its first increase, Prometheus does not see that one */
  * decisions(all = false): Generator<Readonly<{ policy: string; limit: string; decision: LimitDecision; count: number }>> {
    for (const [label, counts] of this.#decisions) {
      const slash = label.lastIndexOf('/')
      for (const decision of all ? limitDecisions : counts.keys()) yield { policy: label.slice(0, slash), limit: label.slice(slash + 1), decision, count: counts.get(decision) ?? 0 }
    }
  }

  /** Lets go of limits that no rule in force has. */
  * tidy(rules: Iterable<Readonly<{ limits?: readonly Limit[] | undefined }>>): Sliced {
    if (this.#decisions.size === 0) return
    const live = new Set<string>()
    for (const { limits = [] } of rules) {
      for (const limit of limits) live.add(labelOf(limit))
      yield
    }
    for (const label of this.#decisions.keys()) if (!live.has(label) && label !== `${other}/${other}`) this.#decisions.delete(label)
  }
}
