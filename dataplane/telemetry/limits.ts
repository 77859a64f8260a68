import type { Limit } from '../../table/limits.ts'
import type { Limiter, Take } from '../limits/limiter.ts'

/** What one caller used, as it is told. */
export type Usage = Readonly<{
  tenant: string
  consumer?: string
  address?: string
  requests: number
  inputTokens: number
  outputTokens: number
  limits: readonly unknown[]
}>

/** How a limit decided. `unavailable`: it could not, and refuses then. */
export type LimitDecision = 'allowed' | 'rejected' | 'shadow_rejected' | 'unavailable' | 'queue_full' | 'queue_timeout'

type Counted = { policy: string; limit: string; counts: Map<LimitDecision, number> }

/** What one caller used since the proxy started, and the counts that it was last counted in. */
type Used = {
  tenant: string
  caller: string
  requests: number
  inputTokens: number
  outputTokens: number
  last: Taken
}

/** What was taken for one request; `of` are the limits of the takes. */
type Taken = Readonly<{ takes: readonly Take[]; of: readonly Readonly<{ limit: Limit }>[] }>

/** Names that are remembered at most; the one not heard of for the longest makes room. */
const limitsMax = 10_000
const callersMax = 10_000

/** Counts of what limits decided, and of who used what. They outlive the tables. */
export class LimitTally {
  readonly #decisions = new Map<string, Counted>()
  readonly #used = new Map<string, Used>()

  decided(policy: string, limit: string, decision: LimitDecision): void {
    const key = `${policy}/${limit}`
    let found = this.#decisions.get(key)
    if (found === undefined) {
      makeRoom(this.#decisions, limitsMax)
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

  /** @param caller `c:` and the consumer, or `ip:` and the address of somebody unknown */
  admitted(tenant: string, caller: string, last: Taken): void {
    const key = `${tenant} ${caller}`
    const found = this.#used.get(key) ?? { tenant, caller, requests: 0, inputTokens: 0, outputTokens: 0, last }
    found.requests++
    found.last = last
    // Put at the end again: whoever called last is forgotten last.
    this.#used.delete(key)
    makeRoom(this.#used, callersMax)
    this.#used.set(key, found)
  }

  spent(tenant: string, caller: string, { inputTokens, outputTokens }: Readonly<{ inputTokens: number; outputTokens: number }>): void {
    const found = this.#used.get(`${tenant} ${caller}`)
    if (found === undefined) return
    found.inputTokens += inputTokens
    found.outputTokens += outputTokens
  }

  /** What was used, and what the counts say now is left; those who called last first. */
  async usage(limiter: Limiter, most = 1000): Promise<readonly Usage[]> {
    const callers = [...this.#used.values()].reverse().slice(0, most)
    return Promise.all(callers.map(async ({ tenant, caller, last: { takes, of }, ...used }) => {
      const { verdicts } = await limiter.take(tenant, takes.map((take) => ({ ...take, units: 0, hold: false })))
      const limits = of.map(({ limit: { policy, name, unit, amount } }, i) => {
        const { remaining = Number.NaN, resetAfter = 0 } = verdicts[i] ?? {}
        return { policy, limit: name, unit, amount, remaining: Number.isNaN(remaining) ? null : remaining, resetSeconds: Math.ceil(resetAfter / 1000) }
      })
      const who = caller.startsWith('c:') ? { consumer: caller.slice(2) } : { address: caller.slice(3) }
      return { tenant, ...who, ...used, limits }
    }))
  }
}

/** Another process of this program made them in the same way, or gave no answer. */
function isUsages(value: unknown): value is readonly Usage[] {
  return Array.isArray(value)
}

/** What several processes tell, each of its own callers, with the same counts behind their limits. */
export function addUsage(told: readonly unknown[]): Usage[] {
  const all = new Map<string, Usage>()
  for (const each of told.flatMap((list) => isUsages(list) ? list : [])) {
    const key = JSON.stringify([each.tenant, each.consumer, each.address])
    const before = all.get(key)
    all.set(key, before === undefined ? each : {
      ...each,
      requests: each.requests + before.requests,
      inputTokens: each.inputTokens + before.inputTokens,
      outputTokens: each.outputTokens + before.outputTokens,
    })
  }
  return [...all.values()]
}

function makeRoom(map: Map<string, unknown>, max: number): void {
  if (map.size >= max) map.delete(map.keys().next().value ?? '')
}
