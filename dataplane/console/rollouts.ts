import { LATENCY_BOUNDS } from '../../table/delivery.ts'
import type { Look, RolloutLine } from '../../table/console.ts'
import type { Rule } from '../../table/route.ts'
import { Best, finder } from '../../console/best.ts'
import { quantile } from '../../console/flow.ts'
import type { Built } from '../pipeline/route.ts'
import type { Sliced } from '../sliced.ts'
import type { Measurements } from '../telemetry/measurements.ts'

const WHOLE = 1_000_000

const splitOf = ({ variants }: Rule) => variants.filter(({ priority }) => priority === 0)

/** What the table says of rules that are split, rolled out or copied, and what was counted for that here. */
export function* rolloutsOf(look: Look, routes: Iterable<Built>, measurements: Measurements): Sliced<Readonly<{ total: number; offset: number; items: RolloutLine[] }>> {
  const best = new Best<Readonly<{ route: string; rule: Rule }>>(look)
  const finds = finder(look.search)
  for (const { route } of routes) {
    for (const rule of route.rules) {
      if (rule.measured === undefined && rule.mirror === undefined && splitOf(rule).length < 2) continue
      if (finds(route.id, rule.name)) best.add({ route: route.id, rule }, 0, `${route.id} ${rule.name}`)
    }
    yield
  }
  const items = best.page(look).map(({ route, rule }): RolloutLine => {
    const counted = measurements.of(route, rule)
    return {
      route, rule: rule.name,
      ...(rule.mirror && { mirror: { variant: rule.mirror.variant, percent: rule.mirror.percent } }),
      variants: splitOf(rule).map(({ name, weight }) => {
        const counts = counted?.seen(name)
        return {
          variant: name, weight: weight / WHOLE,
          ...(counts && { requests: counts.requests, failed: counts.errors, p95: quantile(0.95, counts.latency, LATENCY_BOUNDS) }),
        }
      }),
    }
  })
  return { total: best.total, offset: look.offset, items }
}
