import { labelText, type Family } from '../../exposition/family.ts'
import type { Mirrors } from '../mirror/mirrors.ts'
import type { PluginTally } from '../plugins/tally.ts'
import type { Predictions } from '../predictions/predictions.ts'
import type { CheckTally } from '../validation/tally.ts'
import type { LimitTally } from './limits.ts'
import { predictionFamilies } from './predictions.ts'
import { backendLabels } from './timings.ts'

/** Spans, by what became of them: sent; not taken by whoever gets them; or never tried, because as many waited as may. */
export type SpanTally = { exported: number; failed: number; dropped: number }

export type Tallies = Readonly<{ limits: LimitTally; mirrors: Mirrors; predictions: Predictions; plugins: PluginTally; checks: CheckTally; spans: SpanTally }>

type Labelled = Readonly<{ values: readonly string[]; count: number }>

/** What was counted by those who decided it. */
export function tallyFamilies({ limits, mirrors, predictions, plugins, checks, spans }: Tallies): Family[] {
  const counter = (name: string, help: string, labels: readonly string[], counts: () => Iterable<Labelled>): Family => ({
    name, help, type: 'counter', labels,
    * rows() {
      for (const { values, count } of counts()) yield { labels: labelText(labels, values), value: count }
    },
  })
  const mirrored = (of: (one: ReturnType<Mirrors['values']> extends Iterable<infer One> ? One : never) => ReadonlyMap<string, number>) => function* (): Generator<Labelled> {
    for (const one of mirrors.values()) {
      const { route, rule, variant, model_version } = one.labels
      for (const [result, count] of of(one)) yield { values: [route, rule, variant, model_version, result], count }
    }
  }
  return [
    counter('modelroute_ratelimit_decisions_total', 'What each limit of each RateLimitPolicy decided: allowed, rejected, shadow_rejected, queue_full, queue_timeout, or unavailable where the counts could not be reached.',
      ['policy', 'limit', 'decision'], function* () {
        for (const { policy, limit, decision, count } of limits.decisions(true)) yield { values: [policy, limit, decision], count }
      }),
    counter('modelroute_mirror_requests_total', 'Requests that were to be copied to a variant, by what became of the copy: answered, failed, or why it was not sent (busy, full, memory, too_large, no_endpoints, unsupported, abandoned).',
      [...backendLabels, 'result'], mirrored(({ copies }) => copies)),
    counter('modelroute_mirror_compared_total', 'Copies whose answer was compared with the one that the caller got: match, mismatch, failed (the copy brought none), or skipped.',
      [...backendLabels, 'result'], mirrored(({ compared }) => compared)),
    counter('modelroute_plugin_calls_total', 'Requests that a plugin saw. result: passed, refused, answered; error, timeout, gone, busy where it failed.',
      ['plugin', 'result'], function* () {
        for (const { plugin, result, count } of plugins.values()) yield { values: [plugin, result], count }
      }),
    counter('modelroute_validations_total', 'Bodies of rules with validation. side: request or response. result: passed, refused, reported (it does not fit, and went on), or unchecked.',
      ['route', 'rule', 'side', 'result'], function* () {
        for (const { route, rule, side, result, count } of checks.values()) yield { values: [route, rule, side, result], count }
      }),
    counter('modelroute_spans_total', 'Spans of traces. result: exported, failed (whoever gets them did not take them), or dropped (as many waited as may).',
      ['result'], function* () {
        for (const [result, count] of Object.entries(spans)) if (count > 0) yield { values: [result], count }
      }),
    ...predictionFamilies(predictions),
  ]
}
