import type { News } from '../rollout/machine.ts'

/** What happened, and when (RFC 3339). */
export type Past = Readonly<{ at: string; type: News['type']; reason: string; message: string }>

/** Of one rule, and rules of which anything is kept. */
const eachMax = 20
const rulesMax = 2000

/** What became of rollouts lately, for who looks. It ends with the process: events and the log stay. */
export class History {
  readonly #byRule = new Map<string, Past[]>()

  add(route: string, rule: string, { type, reason, message }: News, date: Date): void {
    const key = keyOf(route, rule)
    const past = this.#byRule.get(key) ?? []
    // Put at the end again: what nothing happens to goes first.
    this.#byRule.delete(key)
    this.#byRule.set(key, [{ at: date.toISOString(), type, reason, message: message.slice(0, 1000) }, ...past].slice(0, eachMax))
    const oldest = this.#byRule.keys().next().value
    if (this.#byRule.size > rulesMax && oldest !== undefined) this.#byRule.delete(oldest)
  }

  of(route: string, rule: string): readonly Past[] {
    return this.#byRule.get(keyOf(route, rule)) ?? []
  }
}

const keyOf = (route: string, rule: string) => `${route}\n${rule}`
