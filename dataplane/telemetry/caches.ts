import { Counter, Gauge, type Registry } from 'prom-client'
import type { Caches } from '../cache/caches.ts'
import type { SeriesSet } from './series.ts'

const labelNames = ['route', 'rule'] as const

/** What caches answered, and what they hold. */
export function registerCaches(registry: Registry, series: SeriesSet, caches: Caches): void {
  const registers = [registry]
  const requests = new Counter({
    name: 'modelroute_cache_requests_total',
    help: 'Requests of rules with a cache. result: hit, miss, bypass (the cache was not asked), or stale (an old answer stood in for a backend that failed).',
    labelNames: ['route', 'rule', 'variant', 'model', 'model_version', 'result'],
    registers,
    collect() {
      requests.reset()
      for (const { labels, caches: counts } of series.values()) for (const [result, count] of counts) requests.inc({ ...labels, result }, count)
    },
  })
  const bytes = new Gauge({
    name: 'modelroute_cache_bytes',
    help: 'Memory that the answers of a rule take.',
    labelNames,
    registers,
    collect() {
      bytes.reset()
      for (const { route, rule, bytes: held } of caches.report()) bytes.set({ route, rule }, held)
    },
  })
  const evictions = new Counter({
    name: 'modelroute_cache_evictions_total',
    help: 'Answers that made room for others before their time.',
    labelNames,
    registers,
    collect() {
      evictions.reset()
      for (const { route, rule, evicted } of caches.report()) evictions.inc({ route, rule }, evicted)
    },
  })
}
