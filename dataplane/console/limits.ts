import type { CallerLine, LimitLine, Look } from '../../table/console.ts'
import type { Limit } from '../../table/limits.ts'
import { Best, finder } from '../../console/best.ts'
import { CALLERS_MAX, callerScore } from '../../console/merge.ts'
import { orders } from '../../console/order.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { Built } from '../pipeline/route.ts'
import type { Sliced } from '../sliced.ts'
import { usageOf, type Used } from '../telemetry/callers.ts'
import type { LimitTally } from '../telemetry/limits.ts'
import { callerName, decisionName, type Window } from './sampler.ts'

export type LimitsDeps = Readonly<{ routes: Iterable<Built>; tally: LimitTally; window: Window }>

/** The limits of the table, and those that decided something before they left it. */
export function* limitsOf(look: Look, { routes, tally, window }: LimitsDeps): Sliced<Readonly<{ total: number; offset: number; items: LimitLine[] }>> {
  const lines = new Map<string, LimitLine>()
  const { limits: order } = orders(look.sort)
  for (const { route } of routes) {
    for (const { limits = [] } of route.rules) {
      for (const limit of limits) {
        lines.set(`${limit.policy}/${limit.name}`, { policy: limit.policy, limit: limit.name, terms: termsOf(limit), shadow: limit.shadow, decisions: [] })
      }
    }
    yield
  }
  for (const { policy, limit, decision, count } of tally.decisions()) {
    const key = `${policy}/${limit}`
    const line = lines.get(key) ?? { policy, limit, terms: '', shadow: false, decisions: [] }
    lines.set(key, line)
    const perSecond = window.seconds === null ? null : window.grown(decisionName(policy, limit, decision)) / window.seconds
    line.decisions.push({ decision, count, perSecond })
  }
  const best = new Best<LimitLine>(look)
  const finds = finder(look.search)
  for (const line of lines.values()) {
    if (!finds(line.policy, line.limit)) continue
    const { score, name } = order(line)
    best.add(line, score, name)
  }
  return { total: best.total, offset: look.offset, items: best.page(look) }
}

/** Who is limited the most. */
export function* callersOf(search: string, { tally, window }: LimitsDeps): Sliced<readonly Used[]> {
  const best = new Best<Used>({ offset: 0, limit: CALLERS_MAX })
  const finds = finder(search)
  let done = 0
  for (const used of tally.callers.limited()) {
    const { caller, requests, rejected } = used
    if (finds(caller.tenant, caller.name)) best.add(used, callerScore({ perSecond: ratesOf(used, window), requests, rejected }), caller.name)
    if (++done % 100 === 0) yield
  }
  return best.page({ offset: 0 })
}

export async function callerLine(used: Used, window: Window, limiter: Limiter): Promise<CallerLine> {
  const { limits, ...line } = await usageOf(used, limiter)
  return { ...line, limits: limits.map((one) => ({ ...one, remaining: one.remaining === null ? null : Math.max(0, one.remaining) })), perSecond: ratesOf(used, window) }
}

function ratesOf({ caller: { key } }: Used, { seconds, grown }: Window): CallerLine['perSecond'] {
  if (seconds === null) return null
  return { requests: grown(callerName(key, 'requests')) / seconds, rejected: grown(callerName(key, 'rejected')) / seconds }
}

/** `20 requests in 24 h, by Principal`. */
function termsOf({ amount, unit, algorithm, counters }: Limit): string {
  const by = counters.map((counter) => 'name' in counter ? `${counter.type} ${counter.name}` : counter.type)
  const what = algorithm.type === 'Concurrency' ? `${amount} ${unit} at once` : `${amount} ${unit} ${windowOf(algorithm.window)}`
  return by.length === 0 ? what : `${what}, by ${by.join(' and ')}`
}

function windowOf(window: number | 'month'): string {
  if (window === 'month') return 'a month'
  for (const [unit, milliseconds] of [['h', 3_600_000], ['min', 60_000], ['s', 1000]] as const) {
    if (window % milliseconds === 0) return `in ${window / milliseconds} ${unit}`
  }
  return `in ${window} ms`
}
