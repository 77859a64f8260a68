import type { RuleMeasurements } from '../../table/delivery.ts'
import type { Hello, Measurements } from '../../table/messages.ts'
import { sumOf, type Counts } from '../../table/measurements.ts'

/** What one variant came to in a step, over all proxies. */
export type ByVariant = ReadonlyMap<string, Counts>

/** Rules times proxies of which counts are kept. What is told beyond makes room by letting go of the rule heard of longest ago. */
const entriesMax = 50_000
/** Proxies of one rule: those that were restarted meanwhile are among them. */
const proxiesMax = 1000

/** One rule under one id: what each proxy, by its instance, told last. */
type Told = { readonly byInstance: Map<string, RuleMeasurements> }

/**
 * What the proxies counted of the rules that are being rolled out. Each tells all that it counted since it began, so a
 * lost message loses nothing; one that restarts begins at zero under another instance, and what it told before, like
 * that of one that has left, stays in the sum as long as the step lasts.
 */
export class MeasurementStore {
  readonly #told = new Map<string, Told>()
  #entries = 0

  /** For `PublisherOptions.measured`. */
  readonly take = ({ instance, gateway }: Hello, { rules }: Measurements): void => {
    for (const rule of rules) this.#take(`${gateway} ${instance}`, rule)
  }

  #take(instance: string, rule: RuleMeasurements): void {
    const key = keyOf(rule)
    const told = this.#told.get(key) ?? { byInstance: new Map<string, RuleMeasurements>() }
    // Put at the end again: what is heard of goes last.
    this.#told.delete(key)
    this.#told.set(key, told)
    const before = told.byInstance.get(instance)
    if (before === undefined) {
      if (told.byInstance.size >= proxiesMax) return
      this.#entries++
    } else if (shrank(before, rule)) return
    told.byInstance.set(instance, rule)
    for (const oldest of this.#told.keys()) {
      if (this.#entries <= entriesMax || oldest === key) break
      this.#forget(oldest)
    }
  }

  /** Of all proxies together; empty where none has told anything. */
  sum(step: Readonly<{ route: string; rule: string; id: string }>): ByVariant {
    const told = this.#told.get(keyOf(step))
    return new Map(told && sumOf([...told.byInstance.values()]).map(({ variant, counts }) => [variant, counts]))
  }

  /** Proxies that told something. */
  proxies(step: Readonly<{ route: string; rule: string; id: string }>): number {
    return this.#told.get(keyOf(step))?.byInstance.size ?? 0
  }

  /** Forgets every step but these. */
  keep(ids: ReadonlySet<string>): void {
    for (const key of this.#told.keys()) if (!ids.has(key)) this.#forget(key)
  }

  #forget(key: string): void {
    this.#entries -= this.#told.get(key)?.byInstance.size ?? 0
    this.#told.delete(key)
  }
}

export const keyOf = ({ route, rule, id }: Readonly<{ route: string; rule: string; id: string }>): string => `${route}\n${rule}\n${id}`

/** Counts only grow: fewer of them were told before by the same proxy, and came late. */
function shrank(before: RuleMeasurements, rule: RuleMeasurements): boolean {
  const requests = ({ variants }: RuleMeasurements) => variants.reduce((sum, one) => sum + one.requests + one.compared, 0)
  return requests(rule) < requests(before)
}
