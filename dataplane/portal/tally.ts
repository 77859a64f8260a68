import type { Exchange } from '../pipeline/exchange.ts'

/** What became of a consumer's requests, at this proxy. `since`: milliseconds since the epoch. */
export type Used = Readonly<{ served: number; refused: number; failed: number; since: number }>

type Count = { served: number; refused: number; failed: number }

/** More consumers than these are not counted. */
const consumersMax = 20_000

export class Tally {
  readonly #since = Date.now()
  readonly #counts = new Map<string, Count>()

  count({ rule, principal, error }: Exchange, status: number): void {
    if (rule === undefined || principal === undefined || principal.consumer === '') return
    const key = keyOf(rule.route.slice(0, rule.route.indexOf('/')), principal.consumer)
    let count = this.#counts.get(key)
    if (count === undefined) {
      if (this.#counts.size >= consumersMax) return
      count = { served: 0, refused: 0, failed: 0 }
      this.#counts.set(key, count)
    }
    if (status >= 500 || error === 'client_closed') count.failed++
    else if (error !== undefined) count.refused++
    else count.served++
  }

  of(tenant: string, consumer: string): Used {
    const { served = 0, refused = 0, failed = 0 } = this.#counts.get(keyOf(tenant, consumer)) ?? {}
    return { served, refused, failed, since: this.#since }
  }
}

const keyOf = (tenant: string, consumer: string) => `${tenant}\n${consumer}`
