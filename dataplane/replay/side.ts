import type { Route } from '../../table/route.ts'
import type { FilterDeps } from '../filters/filter.ts'
import { createLimiter } from '../limits/create.ts'
import { unavailable, type Authenticate } from '../pipeline/principal.ts'
import type { Table } from '../runtime.ts'
import { createDecider, type Decision } from './decide.ts'
import { Heap } from './order.ts'
import type { Recorded } from './recorded.ts'
import { callerBy, Replayed } from './replayed.ts'

/** Requests that hold a place of a limit at once, at most: beyond it, the first to end is taken to have ended. */
const heldMax = 100_000

/** One table that recorded requests are sent through, in the time in which they came. */
export type Side = Readonly<{
  /** What its runtime is to be made with. */
  filterDeps: Partial<FilterDeps>
  /** The route as it is replayed: what no record tells, no request is refused for. */
  prepare(route: Route): Route
  /** What is not as it would be, in a sentence each. */
  notes: ReadonlySet<string>
  begin(table: Table): (recorded: Recorded) => Decision | Promise<Decision>
}>

export function createSide(): Side {
  let now = 0
  let source: Table['source'] | undefined
  const notes = new Set<string>()
  const ends = new Heap<() => void>()
  const authenticates = new Map<string, Authenticate>()
  const authenticate = (terms: Parameters<typeof callerBy>[0]): Authenticate => (exchange) => exchange instanceof Replayed && source !== undefined ? callerBy(terms, exchange, source) : unavailable

  function pass(until: number): void {
    while (ends.least <= until || ends.size > heldMax) {
      now = Math.max(now, Math.min(ends.least, until))
      ends.pop()?.()
    }
    // A record goes by the ends of requests, and some began long before.
    now = Math.max(now, until)
  }

  return {
    notes,
    filterDeps: {
      limiter: createLimiter({ now: () => now }),
      // One and the same for the same terms, as whoever asks expects it.
      authenticators(tenant, auth) {
        const key = JSON.stringify([tenant, auth])
        const known = authenticates.get(key) ?? authenticate(auth)
        authenticates.set(key, known)
        return known
      },
    },
    prepare: (route) => ({ ...route, rules: route.rules.map((rule) => rule.limits === undefined ? rule : { ...rule, limits: countable(rule.limits, notes) }) }),
    begin(table) {
      source = table.source
      const decide = createDecider(table)
      const keep = (recorded: Recorded, decision: Decision): Decision => {
        if (decision.end !== undefined) ends.push(recorded.until, decision.end)
        return decision
      }
      return (recorded) => {
        pass(recorded.at)
        const decision = decide(recorded)
        return decision instanceof Promise ? decision.then((settled) => keep(recorded, settled)) : keep(recorded, decision)
      }
    },
  }
}

type Limits = NonNullable<Route['rules'][number]['limits']>

function countable(limits: Limits, notes: Set<string>): Limits {
  return limits.flatMap(({ queue, ...limit }) => {
    const name = `the limit ${limit.policy} ${limit.name}`
    if (limit.unit !== 'requests') {
      notes.add(`${name} is not counted: no record says what requests came to in ${limit.unit}`)
      return []
    }
    if (queue !== undefined) notes.add(`${name} lets requests wait: those that would wait count as limited`)
    return [limit]
  })
}
