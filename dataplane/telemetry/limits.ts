/** How a limit decided. `unavailable`: it could not, and refuses then. */
export type LimitDecision = 'allowed' | 'rejected' | 'shadow_rejected' | 'unavailable'

/** Counts of what limits decided. They outlive the tables. */
export class LimitTally {
  readonly #decisions = new Map<string, { policy: string; limit: string; counts: Map<LimitDecision, number> }>()

  decided(policy: string, limit: string, decision: LimitDecision): void {
    const key = `${policy}/${limit}`
    let found = this.#decisions.get(key)
    if (found === undefined) {
      // Names come and go with the policies. The one not heard of for the longest makes room.
      if (this.#decisions.size >= limitsMax) this.#decisions.delete(this.#decisions.keys().next().value ?? '')
      found = { policy, limit, counts: new Map() }
      this.#decisions.set(key, found)
    }
    found.counts.set(decision, (found.counts.get(decision) ?? 0) + 1)
  }

  * decisions(): Generator<Readonly<{ policy: string; limit: string; decision: LimitDecision; count: number }>> {
    for (const { policy, limit, counts } of this.#decisions.values()) {
      for (const [decision, count] of counts) yield { policy, limit, decision, count }
    }
  }
}

const limitsMax = 10_000
