import type { Look, RuleFlow, VariantFlow } from '../../table/console.ts'
import type { Rule, Variant } from '../../table/route.ts'
import { Best, finder } from '../../console/best.ts'
import { flowOf, noCounts, quantile, type Counts } from '../../console/flow.ts'
import { withShares } from '../../console/merge.ts'
import { flowScore } from '../../console/order.ts'
import type { Built } from '../pipeline/route.ts'
import type { Sliced } from '../sliced.ts'
import type { Series, SeriesSet } from '../telemetry/series.ts'
import type { Window } from './sampler.ts'

export type TrafficDeps = Readonly<{ routes: Iterable<Built>; series: SeriesSet; window: Window; bounds: readonly number[] }>

type Found = Readonly<{ route: string; rule: Rule | undefined }>

/** The rules, with what they and their variants get. */
export function* trafficOf(look: Look, deps: TrafficDeps): Sliced<Readonly<{ total: number; offset: number; items: RuleFlow[] }>> {
  const { routes, series, bounds } = deps
  const best = new Best<Found>(look)
  const finds = finder(look.search)
  // What no rule matched is counted under no route.
  const unmatched = countsOf(series.of(''), deps.window)
  if (unmatched.requests > 0 && look.search === '') best.add({ route: '', rule: undefined }, scoreOf(unmatched, look, deps), '')
  for (const { route } of routes) {
    for (const rule of route.rules) {
      if (!finds(route.id, rule.name, ...rule.variants.map(({ name }) => name))) continue
      const score = look.sort === 'name' ? 0 : scoreOf(countsOf(ofRule(series.of(route.id), rule.name), deps.window), look, deps)
      best.add({ route: route.id, rule }, score, `${route.id} ${rule.name}`)
    }
    yield
  }
  const items = best.page(look).map(({ route, rule }): RuleFlow => {
    const own = rule === undefined ? [...series.of(route)] : ofRule(series.of(route), rule.name)
    return {
      route, rule: rule?.name ?? '',
      flow: flowOf(countsOf(own, deps.window), deps.window.seconds, bounds),
      variants: withShares(rule === undefined ? [] : variantsOf(rule, own, deps)),
    }
  })
  return { total: best.total, offset: look.offset, items }
}

const ofRule = (all: Iterable<Series>, rule: string) => [...all].filter(({ labels }) => labels.rule === rule)

function countsOf(all: Iterable<Series>, { add }: Window): Counts {
  const counts = noCounts()
  add(counts, all)
  return counts
}

function scoreOf({ requests, failed, refused, recent, latency }: Counts, { sort }: Look, { window: { seconds }, bounds }: TrafficDeps): number {
  const rate = (count: number) => count / (seconds ?? 1)
  const perSecond = seconds === null ? null : { requests: rate(recent.requests), failed: rate(recent.failed), refused: rate(recent.refused), tokens: rate(recent.tokens), cost: rate(recent.cost) }
  return flowScore({ requests, failed, refused, perSecond, p95: sort === 'latency' ? quantile(0.95, latency, bounds) : null }, sort)
}

/** One line for each version of a model that a variant served, and one for a variant that served nothing. */
function variantsOf(rule: Rule, all: readonly Series[], { window, bounds }: TrafficDeps): VariantFlow[] {
  const sums = new Map<number, number>()
  for (const { priority, weight } of rule.variants) sums.set(priority, (sums.get(priority) ?? 0) + weight)
  const lineOf = ({ name, model, priority, weight }: Variant, modelVersion: string, own: readonly Series[]): VariantFlow => ({
    variant: name, modelVersion: modelVersion || (model?.version ?? ''), priority, share: null,
    // Where nothing has a weight, nothing has a share.
    weight: (sums.get(priority) ?? 0) === 0 ? 0 : weight / (sums.get(priority) ?? 1),
    flow: flowOf(countsOf(own, window), window.seconds, bounds),
  })
  return rule.variants.flatMap((variant) => {
    const own = all.filter(({ labels }) => labels.variant === variant.name)
    const versions = new Set(own.map(({ labels }) => labels.model_version))
    if (versions.size <= 1) return [lineOf(variant, [...versions][0] ?? '', own)]
    return [...versions].map((version) => lineOf(variant, version, own.filter(({ labels }) => labels.model_version === version)))
  })
}
