import { monitorEventLoopDelay } from 'node:perf_hooks'
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry, type MetricObjectWithValues, type MetricValue } from 'prom-client'
import type { Caches } from '../cache/caches.ts'
import type { Mirrors } from '../mirror/mirrors.ts'
import type { LimitTally } from './limits.ts'
import type { UpstreamReport } from '../upstream/report.ts'
import type { PluginTally } from '../plugins/tally.ts'
import { registerPlugins } from './plugins.ts'
import { registerCaches } from './caches.ts'
import { registerTries } from './tries.ts'
import { registerUpstreams } from './upstreams.ts'
import { durationBuckets, type Durations, type Series, type SeriesSet } from './series.ts'

export type MetricsDeps = Readonly<{
  series: SeriesSet
  limits: LimitTally
  mirrors: Mirrors
  plugins: PluginTally
  caches: Caches
  /** How variants stand with their endpoints. */
  upstreams: () => Iterable<UpstreamReport>
  /** The table in force. */
  table: () => Readonly<{ version: string }> | undefined
  /** Seconds since a controller last said that the table in force is what it should be. */
  tableAge: () => number
  /** Of the processes that this one's metrics are to include. */
  others?: () => Promise<readonly unknown[]>
}>

/** What a process counted, to be put together with that of others. */
export type Snapshots = readonly MetricObjectWithValues<MetricValue<string>>[]

export type Metrics = Readonly<{
  contentType: string
  text(): Promise<string>
  snapshots(): Promise<Snapshots>
  close(): void
}>

const backendLabels = ['route', 'rule', 'variant', 'model_version'] as const

/** prom-client only writes: the counting is done by Series, at a fiftieth of the cost. */
export function createMetrics({ series, upstreams, limits, mirrors, caches, plugins, table, tableAge, others }: MetricsDeps): Metrics {
  const registry = new Registry()
  const registers = [registry]

  const requests = new Counter({
    name: 'modelroute_requests_total',
    help: 'Requests, by where they went and how they ended. code is the HTTP status, error the code of docs/errors.md.',
    labelNames: ['route', 'rule', 'variant', 'model', 'model_version', 'code', 'error'],
    registers,
    collect() {
      requests.reset()
      for (const { labels, outcomes } of series.values()) {
        for (const [outcome, count] of outcomes) {
          const [code = '', error = ''] = String(outcome).split(' ')
          requests.inc({ ...labels, code, error }, count)
        }
      }
    },
  })
  const inFlight = new Gauge({
    name: 'modelroute_inflight_requests',
    help: 'Requests not answered completely yet.',
    labelNames: backendLabels,
    registers,
    collect() {
      inFlight.reset()
      for (const { labels, inFlight: count } of series.values()) {
        const { route, rule, variant, model_version } = labels
        inFlight.inc({ route, rule, variant, model_version }, count)
      }
    },
  })
  const durations = (name: string, help: string, of: (series: Series) => Durations) =>
    registry.registerMetric(new SeriesHistogram(name, help, series, of))
  durations('modelroute_request_duration_seconds', 'From the arrival of a request to its last byte out.', (one) => one.request)
  durations('modelroute_upstream_duration_seconds', 'From sending a request to a backend to the last byte of its answer.', (one) => one.upstream)
  durations('modelroute_time_to_first_byte_seconds', 'From the arrival of a request to the first byte of its answer.', (one) => one.firstByte)

  const tokens = new Counter({
    name: 'modelroute_tokens_total',
    help: 'Tokens of requests that a limit counts tokens of, as the backends tell them, else estimated. direction: input or output.',
    labelNames: ['route', 'rule', 'variant', 'model', 'model_version', 'direction'],
    registers,
    collect() {
      tokens.reset()
      for (const { labels, inputTokens, outputTokens } of series.values()) {
        if (inputTokens > 0) tokens.inc({ ...labels, direction: 'input' }, inputTokens)
        if (outputTokens > 0) tokens.inc({ ...labels, direction: 'output' }, outputTokens)
      }
    },
  })
  registerTries(registry, series)
  registerCaches(registry, series, caches)
  registerUpstreams(registry, upstreams)
  registerPlugins(registry, plugins)
  const decisions = new Counter({
    name: 'modelroute_ratelimit_decisions_total',
    help: 'What each limit of each RateLimitPolicy decided: allowed, rejected, shadow_rejected, queue_full, queue_timeout, or unavailable where the counts could not be reached.',
    labelNames: ['policy', 'limit', 'decision'],
    registers,
    collect() {
      decisions.reset()
      for (const { count, ...labels } of limits.decisions()) decisions.inc(labels, count)
    },
  })

  const copies = new Counter({
    name: 'modelroute_mirror_requests_total',
    help: 'Requests that were to be copied to a variant, by what became of the copy: answered, failed, or why it was not sent (busy, full, memory, too_large, no_endpoints, unsupported, abandoned).',
    labelNames: [...backendLabels, 'result'],
    registers,
    collect() {
      copies.reset()
      for (const { labels, copies: counts } of mirrors.values()) for (const [result, count] of counts) copies.inc({ ...labels, result }, count)
    },
  })
  const compared = new Counter({
    name: 'modelroute_mirror_compared_total',
    help: 'Copies whose answer was compared with the one that the caller got: match, mismatch, failed (the copy brought none), or skipped.',
    labelNames: [...backendLabels, 'result'],
    registers,
    collect() {
      compared.reset()
      for (const { labels, compared: counts } of mirrors.values()) for (const [result, count] of counts) compared.inc({ ...labels, result }, count)
    },
  })

  const version = new Gauge({
    name: 'modelroute_table_version_info',
    help: 'The routing table in force; always 1.',
    labelNames: ['version'],
    aggregator: 'max',
    registers,
    collect() {
      version.reset()
      const current = table()
      if (current) version.set({ version: current.version }, 1)
    },
  })
  const age = new Gauge({
    name: 'modelroute_table_age_seconds',
    help: 'Since a controller last said that the routing table in force is what it should be.',
    aggregator: 'max',
    registers,
    collect() {
      age.set(tableAge())
    },
  })
  const resolution = 20
  const delay = monitorEventLoopDelay({ resolution })
  delay.enable()
  const lag = new Gauge({
    name: 'modelroute_event_loop_lag_seconds',
    help: 'How late the event loop was, at worst for 99 % of the time since the last scrape.',
    aggregator: 'max',
    registers,
    collect() {
      // Nanoseconds between two wake-ups that should have been `resolution` milliseconds apart.
      const late = delay.percentile(99) / 1e9 - resolution / 1000
      lag.set(Number.isFinite(late) ? Math.max(0, late) : 0)
      delay.reset()
    },
  })

  const snapshots = async (): Promise<Snapshots> => registry.getMetricsAsJSON()
  return {
    contentType: registry.contentType,
    async text() {
      if (others === undefined) return registry.metrics()
      const all = [await snapshots(), ...(await others()).filter(isSnapshots)]
      return AggregatorRegistry.aggregate(all).metrics()
    },
    snapshots,
    close: () => delay.disable(),
  }
}

/** Another process of this program made them in the same way, or gave no answer. */
function isSnapshots(value: unknown): value is Snapshots {
  return Array.isArray(value) && value.length > 0
}

/** A histogram whose counts are read from Series at the scrape. */
class SeriesHistogram extends Histogram<(typeof backendLabels)[number] | 'le'> {
  readonly #name: string
  readonly #help: string
  readonly #series: SeriesSet
  readonly #of: (series: Series) => Durations

  constructor(name: string, help: string, series: SeriesSet, of: (series: Series) => Durations) {
    super({ name, help, labelNames: backendLabels, buckets: [...durationBuckets], registers: [] })
    this.#name = name
    this.#help = help
    this.#series = series
    this.#of = of
  }

  /** What both the registry and `get` read; `get` puts `labels` and `sharedLabels` together. */
  getForPromString() {
    return Promise.resolve({ name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum', values: this.#values() })
  }

  #values() {
    return [...merged(this.#series, this.#of)].flatMap(({ labels, counts, sum }) => {
      let total = 0
      const buckets = [...counts].map((count, i) => {
        total += count
        return { metricName: `${this.#name}_bucket`, labels: { ...labels, le: durationBuckets[i] ?? '+Inf' }, sharedLabels: {}, value: total }
      })
      return [
        ...buckets,
        { metricName: `${this.#name}_sum`, labels, sharedLabels: {}, value: sum },
        { metricName: `${this.#name}_count`, labels, sharedLabels: {}, value: total },
      ]
    })
  }
}

/** These metrics do not tell models apart, so the series of several become one. */
function merged(series: SeriesSet, of: (series: Series) => Durations) {
  const sums = new Map<string, { labels: Record<(typeof backendLabels)[number], string>; counts: Float64Array; sum: number }>()
  for (const one of series.values()) {
    const { route, rule, variant, model_version } = one.labels
    const { counts, sum } = of(one)
    const key = `${route}\n${rule}\n${variant}\n${model_version}`
    const found = sums.get(key)
    if (found === undefined) {
      sums.set(key, { labels: { route, rule, variant, model_version }, counts: Float64Array.from(counts), sum })
    } else {
      for (const [i, count] of counts.entries()) found.counts[i] = (found.counts[i] ?? 0) + count
      found.sum += sum
    }
  }
  return sums.values()
}
