import type { Limit } from '../../table/limits.ts'
import { other } from '../../exposition/family.ts'
import type { Limiter, Take } from '../limits/limiter.ts'
import type { Sliced } from '../sliced.ts'

/** What one caller used, as it is told. */
export type Usage = Readonly<{
  tenant: string
  consumer?: string
  address?: string
  /** Let through. */
  requests: number
  /** Turned away by a limit. */
  rejected: number
  inputTokens: number
  outputTokens: number
  limits: readonly Readonly<{ policy: string; limit: string; unit: string; amount: number; remaining: number | null; resetSeconds: number }>[]
}>

/** How a limit decided. `unavailable`: it could not, and refuses then. */
const limitDecisions = ['allowed', 'rejected', 'shadow_rejected', 'unavailable', 'queue_full', 'queue_timeout'] as const
export type LimitDecision = (typeof limitDecisions)[number]

/** Who is counted. `name`: `c:` and the consumer, or `ip:` and the address of somebody unknown. */
export type Caller = Readonly<{ key: string; tenant: string; name: string }>

export const caller = (tenant: string, name: string): Caller => ({ key: `${tenant} ${name}`, tenant, name })

/** What the decisions of a limit are counted under. A policy's name has a namespace before it; a limit's has no slash. */
export const labelOf = ({ policy, name }: Readonly<{ policy: string; name: string }>): string => `${policy}/${name}`

/** What one caller used since the proxy started, and the counts that it was last counted in. */
export type Used = {
  readonly caller: Caller
  /** When it called last, in the order of calls, and whether it did since it was last passed over. */
  at: number
  recent: boolean
  requests: number
  /** Requests that a limit turned away. */
  rejected: number
  inputTokens: number
  outputTokens: number
  last: Taken
}

/** What was taken for one request; `of` are the limits of the takes. */
type Taken = Readonly<{ takes: readonly Take[]; of: readonly Readonly<{ limit: Limit }>[] }>

/** Names that are remembered at most. */
const limitsMax = 10_000
const callersMax = 10_000

/** Counts of what limits decided, and of who used what. They outlive the tables. */
export class LimitTally {
  readonly #decisions = new Map<string, Map<LimitDecision, number>>()
  readonly #used = new Map<string, Used>()
  #calls = 0

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

  admitted(caller: Caller, last: Taken): void {
    this.#met(caller, last).requests++
  }

  rejected(caller: Caller, last: Taken): void {
    this.#met(caller, last).rejected++
  }

  #met(caller: Caller, last: Taken): Used {
    let found = this.#used.get(caller.key)
    if (found === undefined) {
      if (this.#used.size >= callersMax) this.#makeRoom()
      found = { caller, at: 0, recent: false, requests: 0, rejected: 0, inputTokens: 0, outputTokens: 0, last }
      this.#used.set(caller.key, found)
    } else found.recent = true
    found.last = last
    found.at = ++this.#calls
    return found
  }

  /** Whoever did not call since they were last passed over goes. */
  #makeRoom(): void {
    for (const [key, used] of this.#used) {
      this.#used.delete(key)
      if (!used.recent) return
      used.recent = false
      this.#used.set(key, used)
    }
  }

  spent({ key }: Caller, { inputTokens, outputTokens }: Readonly<{ inputTokens: number; outputTokens: number }>): void {
    const found = this.#used.get(key)
    if (found === undefined) return
    found.inputTokens += inputTokens
    found.outputTokens += outputTokens
  }

  /** What was used, and what the counts say now is left; those who called last first. */
  async usage(limiter: Limiter, most = 1000): Promise<readonly Usage[]> {
    const callers = [...this.#used.values()].sort((a, b) => b.at - a.at).slice(0, most)
    return Promise.all(callers.map((used) => usageOf(used, limiter)))
  }

  /** All who were counted. */
  callers(): Iterable<Readonly<Used>> {
    return this.#used.values()
  }
}

/** What one caller used, and what the counts say now is left. */
export async function usageOf({ caller: { tenant, name }, requests, rejected, inputTokens, outputTokens, last: { takes, of } }: Readonly<Used>, limiter: Limiter): Promise<Usage> {
  const { verdicts } = await limiter.take(tenant, takes.map((take) => ({ ...take, units: 0, hold: false })))
  const limits = of.map(({ limit: { policy, name, unit, amount } }, i) => {
    const { remaining = Number.NaN, resetAfter = 0 } = verdicts[i] ?? {}
    return { policy, limit: name, unit, amount, remaining: Number.isNaN(remaining) ? null : remaining, resetSeconds: Math.ceil(resetAfter / 1000) }
  })
  const who = name.startsWith('c:') ? { consumer: name.slice(2) } : { address: name.slice(3) }
  return { tenant, ...who, requests, rejected, inputTokens, outputTokens, limits }
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
      rejected: each.rejected + before.rejected,
      inputTokens: each.inputTokens + before.inputTokens,
      outputTokens: each.outputTokens + before.outputTokens,
    })
  }
  return [...all.values()]
}
