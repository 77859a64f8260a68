import type { RuleMeasurements } from '../../table/delivery.ts'
import { noCounts, told, type Counts } from '../../table/measurements.ts'
import type { Route, Rule } from '../../table/route.ts'

/** What is counted of one rule that a rollout watches, by variant. Whoever counts says so with `touch`. */
export class RuleCounts {
  readonly id: string
  readonly #route: string
  readonly #rule: string
  readonly #variants: ReadonlyMap<string, Counts>
  /** Something was counted since it was last taken. */
  #fresh = false

  constructor(route: string, { name, measured, variants }: Rule) {
    this.#route = route
    this.#rule = name
    this.id = measured?.id ?? ''
    this.#variants = new Map(variants.map((variant) => [variant.name, noCounts(measured?.fields.length ?? 0)]))
  }

  /** To be added to; undefined for a variant that the rule had not when it began to be measured under this id. */
  of(variant: string): Counts | undefined {
    this.#fresh = true
    return this.#variants.get(variant)
  }

  /** The answer to a copy of a request was compared with the one that the caller got. */
  compared(variant: string, mismatched: boolean): void {
    const counts = this.of(variant)
    if (counts === undefined) return
    counts.compared++
    if (mismatched) counts.mismatched++
  }

  /** What was counted so far of one variant, for who only looks. */
  seen(variant: string): Readonly<Counts> | undefined {
    return this.#variants.get(variant)
  }

  /** Undefined where there is nothing new since the last time, and only what is new is asked for. */
  take(onlyNew: boolean): RuleMeasurements | undefined {
    if (onlyNew && !this.#fresh) return undefined
    this.#fresh = false
    return { route: this.#route, rule: this.#rule, id: this.id, variants: [...this.#variants].map(([variant, counts]) => told(variant, counts)) }
  }
}

/** The counts of every rule that is watched in the table in force. They outlive tables, as long as the id stays. */
export class Measurements {
  readonly #byRoute = new Map<string, Map<string, RuleCounts>>()

  /** Where a rule is counted; the same as before where it is watched under the same id. */
  of(route: string, rule: Rule): RuleCounts | undefined {
    if (rule.measured === undefined) return undefined
    const ofRoute = this.#byRoute.get(route) ?? new Map<string, RuleCounts>()
    this.#byRoute.set(route, ofRoute)
    let counts = ofRoute.get(rule.name)
    if (counts === undefined || counts.id !== rule.measured.id) {
      counts = new RuleCounts(route, rule)
      ofRoute.set(rule.name, counts)
    }
    return counts
  }

  /** Forgets the rules of a route that are watched no longer; all of them, where it is gone. */
  prune(id: string, route: Route | undefined): void {
    const ofRoute = this.#byRoute.get(id)
    if (ofRoute === undefined) return
    const watched = new Set(route?.rules.flatMap(({ name, measured }) => (measured === undefined ? [] : [name])))
    for (const rule of ofRoute.keys()) if (!watched.has(rule)) ofRoute.delete(rule)
    if (ofRoute.size === 0) this.#byRoute.delete(id)
  }

  /** @param onlyNew leaves out the rules of which nothing was counted since the last time */
  take(onlyNew: boolean): RuleMeasurements[] {
    return [...this.#byRoute.values()].flatMap((rules) => [...rules.values()].flatMap((counts) => counts.take(onlyNew) ?? []))
  }
}
