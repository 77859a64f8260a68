import { labelText, type Family, type Sample } from '../../exposition/family.ts'
import type { CacheReport, Caches } from '../cache/caches.ts'

const labels = ['route', 'rule'] as const

/** What caches hold, and what became of it. */
export function cacheFamilies(caches: Caches): Family[] {
  const family = (type: 'counter' | 'gauge', name: string, help: string, of: (one: CacheReport) => number | undefined): Family => ({
    name, help, type, labels,
    * rows() {
      for (const one of caches.report()) {
        const value = of(one)
        if (value !== undefined) yield { labels: labelText(labels, [one.route, one.rule]), value }
      }
    },
  })
  return [
    family('gauge', 'modelroute_cache_bytes', 'Memory that the answers of a rule take.', ({ bytes }) => bytes),
    family('counter', 'modelroute_cache_evictions_total', 'Answers that made room for others before their time.', ({ evicted }) => evicted),
    {
      name: 'modelroute_cache_semantic_verified_total', type: 'counter', labels: [...labels, 'result'],
      help: 'Hits by meaning for which the model was asked as well. result: agree, or differ (a false hit).',
      * rows(): Generator<Sample> {
        for (const { route, rule, trust } of caches.report()) {
          if (trust === undefined) continue
          const text = labelText(labels, [route, rule])
          yield { labels: `${text},result="agree"`, value: trust.totals.right }
          yield { labels: `${text},result="differ"`, value: trust.totals.wrong }
        }
      },
    },
    family('gauge', 'modelroute_cache_semantic_off', '1 where hits by meaning are given no more, because too many of them were false.', ({ trust }) => trust && Number(trust.lost)),
  ]
}
