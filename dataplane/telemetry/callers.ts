import type { Limit } from '../../table/limits.ts'
import type { Limiter, Take } from '../limits/limiter.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { Principal } from '../pipeline/principal.ts'

type Counts = {
  /** Let through. */
  requests: number
  /** Turned away by a limit. */
  rejected: number
  inputTokens: number
  outputTokens: number
  rows: number
  /** In the unit of the price list, or of a limit on cost. */
  cost: number
}

/** What one caller used, as it is told. */
export type Usage = Readonly<Counts & {
  tenant: string
  consumer?: string
  address?: string
  /** Of its last request that limits were for. */
  limits: readonly Readonly<{ policy: string; limit: string; unit: string; amount: number; remaining: number | null; resetSeconds: number }>[]
}>

/** Who is counted. `name`: `c:` and the consumer, or `ip:` and the address of somebody unknown. */
export type Caller = Readonly<{ key: string; tenant: string; name: string }>

export const caller = (tenant: string, name: string): Caller => ({ key: `${tenant} ${name}`, tenant, name })

/** What one caller used since the proxy started, and the counts that it was last counted in. */
export type Used = Counts & {
  readonly caller: Caller
  /** When it called last, in the order of calls, and whether it did since it was last passed over. */
  at: number
  recent: boolean
  /** Undefined: no limit was for it yet. */
  last: Taken | undefined
}

/** What was taken for one request; `of` are the limits of the takes. */
type Taken = Readonly<{ takes: readonly Take[]; of: readonly Readonly<{ limit: Limit }>[] }>

const untaken: Taken = { takes: [], of: [] }

/** Callers that are remembered at most. */
const callersMax = 10_000

/** Who used what: consumers, and whoever else a limit counts. */
export class Callers {
  readonly #used = new Map<string, Used>()
  /** Of a principal, by the route that it was last let through to. */
  readonly #known = new WeakMap<Principal, Readonly<{ route: string; caller: Caller }>>()
  #calls = 0

  /** A limit let a request through. */
  admitted(caller: Caller, last: Taken): void {
    this.#met(caller, last).requests++
  }

  rejected(caller: Caller, last: Taken): void {
    this.#met(caller, last).rejected++
  }

  #met(caller: Caller, last: Taken | undefined): Used {
    let found = this.#used.get(caller.key)
    if (found === undefined) {
      if (this.#used.size >= callersMax) this.#makeRoom()
      found = { caller, at: 0, recent: false, requests: 0, rejected: 0, inputTokens: 0, outputTokens: 0, rows: 0, cost: 0, last }
      this.#used.set(caller.key, found)
    } else found.recent = true
    found.last = last ?? found.last
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

  /** A request is over: counts what it took, and a consumer's that no limit was for. */
  ended(exchange: Exchange): void {
    const { caller, used: tokens, rows, charged } = exchange
    const used = caller === undefined ? this.#unlimited(exchange) : this.#used.get(caller.key)
    if (used === undefined) return
    if (tokens !== undefined) {
      used.inputTokens += tokens.inputTokens
      used.outputTokens += tokens.outputTokens
    }
    if (rows !== undefined) used.rows += rows
    if (charged !== undefined) used.cost += Number(charged)
  }

  /** Not who was refused before any limit would have been asked. */
  #unlimited({ principal, rule, error }: Exchange): Used | undefined {
    if (principal === undefined || principal.consumer === '' || rule === undefined || error === 'forbidden') return undefined
    const used = this.#met(this.#callerOf(principal, rule.route), undefined)
    used.requests++
    return used
  }

  #callerOf(principal: Principal, route: string): Caller {
    const known = this.#known.get(principal)
    if (known?.route === route) return known.caller
    const found = caller(route.slice(0, route.indexOf('/')), `c:${principal.consumer}`)
    this.#known.set(principal, { route, caller: found })
    return found
  }

  /** What was used, and what the counts say now is left; those who called last first. */
  async usage(limiter: Limiter, most = 1000): Promise<readonly Usage[]> {
    const callers = [...this.#used.values()].sort((a, b) => b.at - a.at).slice(0, most)
    return Promise.all(callers.map((used) => usageOf(used, limiter)))
  }

  /** All whom a limit counted. */
  * limited(): Generator<Readonly<Used>> {
    for (const used of this.#used.values()) if (used.last !== undefined) yield used
  }
}

/** What one caller used, and what the counts say now is left. */
export async function usageOf(used: Readonly<Used>, limiter: Limiter): Promise<Usage> {
  const { caller: { tenant, name }, requests, rejected, inputTokens, outputTokens, rows, cost, last: { takes, of } = untaken } = used
  const { verdicts } = await limiter.take(tenant, takes.map((take) => ({ ...take, units: 0, hold: false })))
  const limits = of.map(({ limit: { policy, name, unit, amount } }, i) => {
    const { remaining = Number.NaN, resetAfter = 0 } = verdicts[i] ?? {}
    return { policy, limit: name, unit, amount, remaining: Number.isNaN(remaining) ? null : remaining, resetSeconds: Math.ceil(resetAfter / 1000) }
  })
  const who = name.startsWith('c:') ? { consumer: name.slice(2) } : { address: name.slice(3) }
  return { tenant, ...who, requests, rejected, inputTokens, outputTokens, rows, cost, limits }
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
      rows: each.rows + before.rows,
      cost: each.cost + before.cost,
    })
  }
  return [...all.values()]
}
