import { labelText, other, type Counted, type Family, type Sample } from '../../exposition/family.ts'
import { numberOf } from '../prices/amount.ts'
import { sizeBuckets } from './batch_counts.ts'
import { durationBuckets } from './distribution.ts'
import { seriesLabels, type Series, type SeriesSet } from './series.ts'
import { backendLabels, type Kind, type Timings } from './timings.ts'

/** What became of requests, by where they went. */
export function requestFamilies(series: SeriesSet): Family[] {
  const counter = (name: string, help: string, more: readonly string[], rows: () => Iterable<Sample>): Family =>
    ({ name, help, type: 'counter', labels: [...seriesLabels, ...more], rows })
  const worded = (name: string, help: string, words: readonly [string, string?], those: () => Iterable<Series>, of: (one: Series) => ReadonlyMap<number | string, number> | undefined): Family =>
    counter(name, help, words.filter((word) => word !== undefined), function* () {
      const text = textOf(words)
      for (const one of those()) {
        const counts = of(one)
        if (counts !== undefined) for (const [key, value] of counts) yield { labels: one.text + text(key), value }
      }
    })
  const histogram = (name: string, help: string, bounds: readonly number[], kind: Kind, of: (one: Timings) => Counted | undefined): Family => ({
    name, help, type: 'histogram', labels: backendLabels, bounds,
    * buckets() {
      for (const one of series.timed(kind)) {
        const counted = of(one)
        if (counted !== undefined) yield { labels: one.text, counted }
      }
    },
  })
  const gauge = (name: string, help: string, those: () => Iterable<Timings>, of: (one: Timings) => number | undefined): Family => ({
    name, help, type: 'gauge', labels: backendLabels,
    * rows() {
      for (const one of those()) {
        const value = of(one)
        if (value !== undefined) yield { labels: one.text, value }
      }
    },
  })
  return [
    worded('modelroute_requests_total', 'Requests, by where they went and how they ended. code is the HTTP status, error the code of docs/errors.md.',
      ['code', 'error'], () => series.values(), ({ outcomes }) => outcomes),
    gauge('modelroute_inflight_requests', 'Requests not answered completely yet.', () => series.timings(), ({ inFlight, request }) => inFlight > 0 || request !== undefined ? inFlight : undefined),
    histogram('modelroute_request_duration_seconds', 'From the arrival of a request to its last byte out.', durationBuckets, 'request', ({ request }) => request),
    histogram('modelroute_upstream_duration_seconds', 'From sending a request to a backend to the last byte of its answer.', durationBuckets, 'upstream', ({ upstream }) => upstream),
    histogram('modelroute_time_to_first_byte_seconds', 'From the arrival of a request to the first byte of its answer.', durationBuckets, 'firstByte', ({ firstByte }) => firstByte),
    counter('modelroute_tokens_total', 'Tokens of requests that something counts tokens of, as the backends tell them, else estimated. direction: input or output.', ['direction'],
      function* () {
        for (const one of series.having('tokens')) {
          if (one.inputTokens > 0) yield { labels: `${one.text},direction="input"`, value: one.inputTokens }
          if (one.outputTokens > 0) yield { labels: `${one.text},direction="output"`, value: one.outputTokens }
        }
      }),
    counter('modelroute_rows_total', 'Rows that predictions were made for, where a limit, a price or batching counts them.', [],
      function* () {
        for (const one of series.having('rows')) if (one.rows > 0) yield { labels: one.text, value: one.rows }
      }),
    counter('modelroute_cost_total', 'What requests cost: by the price list, in its currency; without one, in the unit of the first cost limit of their rule.', [],
      function* () {
        for (const one of series.having('cost')) {
          const sum = one.cost + (one.charged === 0n ? 0 : numberOf(one.charged))
          if (sum > 0) yield { labels: one.text, value: sum }
        }
      }),
    worded('modelroute_retries_total', 'Tries after the first. reason: connect-failure, reset-before-response, timeout, or the status that was answered.',
      ['reason'], () => series.having('retries'), ({ retries }) => retries),
    worded('modelroute_hedges_total', 'Second requests beside a slow first. result: won or lost.',
      ['result'], () => series.having('hedges'), ({ hedges }) => hedges),
    worded('modelroute_fallbacks_total', 'Requests that variant could not take or came to nothing with, passed on. to: the next variant, or static; error: why.',
      ['to', 'error'], () => series.having('passed'), ({ passed }) => passed),
    worded('modelroute_steps_total', 'Steps of compositions, by the step as variant. result: answered, failed, or skipped (its condition left it out).',
      ['result'], () => series.having('steps'), ({ steps }) => steps),
    worded('modelroute_cache_requests_total', 'Requests of rules with a cache. result: hit, semantic-hit, miss, bypass (the cache was not asked), or stale (an old answer stood in for a backend that failed).',
      ['result'], () => series.having('caches'), ({ caches }) => caches),
    worded('modelroute_batch_requests_total', 'Requests of rules that join predictions. result: joined, alone (no other came), apart (asked for alone after the call of all came to nothing), or bypass (it did not wait).',
      ['result'], () => series.having('joined'), ({ joined }) => joined),
    histogram('modelroute_batch_size', 'Rows of the calls that several requests were joined in.', sizeBuckets, 'batches', ({ batches }) => batches?.sizes),
    histogram('modelroute_batch_wait_seconds', 'How long requests waited for others, of those that were joined.', durationBuckets, 'batches', ({ batches }) => batches?.waits),
    gauge('modelroute_batch_waiting', 'Requests that wait for others, or for the answer of the call that they are a part of.', () => series.timed('batches'), ({ batches }) => batches?.waiting),
    {
      name: 'modelroute_series_folded_total', type: 'counter', labels: ['of'],
      help: 'How often something to be counted found no room of its own, and was counted under the label value other.',
      * rows() {
        for (const [of, value] of Object.entries(series.folded())) yield { labels: `of="${of}"`, value }
      },
    },
  ]
}

/** Of counts by one word, or by two with a space between them: names of the program's own, and of variants, which can stand in a header. */
function textOf([first, second]: readonly [string, string?]): (key: number | string) => string {
  const known = new Map<number | string, string>()
  return (key) => {
    let text = known.get(key)
    if (text === undefined) {
      const [a = '', b = key === other ? other : ''] = String(key).split(' ')
      text = `,${labelText(second === undefined ? [first] : [first, second], [a, b])}`
      known.set(key, text)
    }
    return text
  }
}
