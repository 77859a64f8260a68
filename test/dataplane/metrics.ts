import { Caches } from '../../dataplane/cache/caches.ts'
import { Mirrors } from '../../dataplane/mirror/mirrors.ts'
import { PluginTally } from '../../dataplane/plugins/tally.ts'
import { Predictions } from '../../dataplane/predictions/predictions.ts'
import { LimitTally } from '../../dataplane/telemetry/limits.ts'
import { createMetrics, type Metrics } from '../../dataplane/telemetry/metrics.ts'
import { SeriesSet } from '../../dataplane/telemetry/series.ts'
import { CheckTally } from '../../dataplane/validation/tally.ts'

/** The metrics of a proxy in which nothing has happened but what is counted in `series`. */
export const metricsOf = (series = new SeriesSet()): Metrics => createMetrics({
  series, ledger: { dropped: () => 0, waiting: () => 0 }, caches: new Caches(), limits: new LimitTally(), mirrors: new Mirrors(), plugins: new PluginTally(), checks: new CheckTally(),
  spans: { exported: 0, failed: 0, dropped: 0 }, predictions: new Predictions(), upstreams: () => [], table: () => undefined, tableAge: () => 0,
})
