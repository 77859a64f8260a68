import type { CacheLine, Look } from '../../table/console.ts'
import { Best, finder } from '../../console/best.ts'
import { hitRateOf } from '../../console/merge.ts'
import { orders } from '../../console/order.ts'
import type { Caches } from '../cache/caches.ts'
import type { Sliced } from '../sliced.ts'
import type { SeriesSet } from '../telemetry/series.ts'
import { resultName, type Window } from './sampler.ts'

export type CachesDeps = Readonly<{ caches: Caches; series: SeriesSet; window: Window }>

/** The rules that keep answers, with what they were good for. */
export function* cachesOf(look: Look, { caches, series, window }: CachesDeps): Sliced<Readonly<{ total: number; offset: number; items: CacheLine[] }>> {
  const best = new Best<CacheLine>(look)
  const finds = finder(look.search)
  const { caches: order } = orders(look.sort)
  for (const { route, rule, trust, bytes, maxBytes, entries, evicted } of caches.report()) {
    if (!finds(route, rule)) continue
    const counts = new Map<number | string, number>()
    for (const one of series.of(route)) {
      if (one.labels.rule !== rule) continue
      for (const [result, count] of one.caches ?? []) counts.set(result, (counts.get(result) ?? 0) + count)
    }
    const results = [...counts].map(([result, count]) => (
      { result: String(result), count, perSecond: window.seconds === null ? null : window.grown(resultName(route, rule, result)) / window.seconds }))
    const line: CacheLine = { route, rule, bytes, maxBytes, entries, evicted, results, hitRate: hitRateOf(results), distrusted: trust?.lost === true }
    const { score, name } = order(line)
    best.add(line, score, name)
    yield
  }
  return { total: best.total, offset: look.offset, items: best.page(look) }
}
