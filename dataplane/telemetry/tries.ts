import { Counter, type Registry } from 'prom-client'
import type { Series, SeriesSet } from './series.ts'

const labels = ['route', 'rule', 'variant', 'model', 'model_version'] as const

/** What it took beyond one try at one variant. */
export function registerTries(registry: Registry, series: SeriesSet): void {
  const counter = (name: string, help: string, more: readonly string[], of: (one: Series) => ReadonlyMap<string, number>): void => {
    const counted = new Counter({
      name,
      help,
      labelNames: [...labels, ...more],
      registers: [registry],
      collect() {
        counted.reset()
        for (const one of series.values()) {
          for (const [key, count] of of(one)) {
            const values = key.split(' ')
            counted.inc({ ...one.labels, ...Object.fromEntries(more.map((label, at) => [label, values[at] ?? ''])) }, count)
          }
        }
      },
    })
  }
  counter('modelroute_retries_total', 'Tries after the first. reason: connect-failure, reset-before-response, timeout, or the status that was answered.',
    ['reason'], (one) => one.retries)
  counter('modelroute_hedges_total', 'Second requests beside a slow first. result: won or lost.', ['result'], (one) => one.hedges)
  counter('modelroute_fallbacks_total', 'Requests that variant could not take or came to nothing with, passed on. to: the next variant, or static; error: why.',
    ['to', 'error'], (one) => one.passed)
}
