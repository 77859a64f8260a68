import type { Route } from '../../table/route.ts'

/** Which way a body went that was checked. */
export type Side = 'request' | 'response'
/** `reported`: it does not fit, and went on. `unchecked`: there was nothing to check it by, or no way to. */
export type CheckResult = 'passed' | 'refused' | 'reported' | 'unchecked'

type Count = { readonly route: string; readonly rule: string; readonly side: Side; readonly result: CheckResult; count: number }

/** What came of checks, by rule. */
export class CheckTally {
  readonly #counts = new Map<string, Map<string, Count>>()

  count(at: Readonly<{ route: string; name: string }>, side: Side, result: CheckResult): void {
    let ofRoute = this.#counts.get(at.route)
    if (ofRoute === undefined) {
      ofRoute = new Map()
      this.#counts.set(at.route, ofRoute)
    }
    const key = `${side} ${result} ${at.name}`
    const known = ofRoute.get(key)
    if (known === undefined) ofRoute.set(key, { route: at.route, rule: at.name, side, result, count: 1 })
    else known.count++
  }

  *values(): Iterable<Readonly<Count>> {
    for (const counts of this.#counts.values()) yield* counts.values()
  }

  /** Lets go of what a route has no more. */
  prune(route: string, next: Route | undefined): void {
    const rules = new Set(next?.rules.map(({ name }) => name))
    const ofRoute = this.#counts.get(route)
    for (const [key, { rule }] of ofRoute ?? []) if (!rules.has(rule)) ofRoute?.delete(key)
    if (ofRoute?.size === 0) this.#counts.delete(route)
  }
}
