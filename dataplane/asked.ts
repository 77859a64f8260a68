import { randomUUID } from 'node:crypto'
import type { AdminDeps } from './admin.ts'
import { addPurged, type Caches } from './cache/caches.ts'
import type { ProxyConsole } from './console/console.ts'
import type { Explanation } from './explain/explain.ts'
import type { Question } from './explain/question.ts'
import type { Limiter } from './limits/limiter.ts'
import { createMeasuredSum, workerMeasured, type MeasuredReporterOptions } from './measured.ts'
import type { Mirrors } from './mirror/mirrors.ts'
import { addReports } from './mirror/tally.ts'
import type { Predictions } from './predictions/predictions.ts'
import { addUsage } from './telemetry/callers.ts'
import type { LimitTally } from './telemetry/limits.ts'
import type { Measurements } from './telemetry/measurements.ts'
import type { Metrics } from './telemetry/metrics.ts'
import type { UpstreamReport } from './upstream/report.ts'
import type { Asked } from './workers/messages.ts'
import type { Workers } from './workers/primary.ts'

export type AskedDeps = Readonly<{
  caches: Caches
  console: ProxyConsole
  explained: (question: Question) => Promise<Explanation> | undefined
  limiter: Limiter
  limitTally: LimitTally
  measurements: Measurements
  metrics: Metrics
  mirrors: Mirrors
  predictions: Predictions
  upstreams: () => readonly UpstreamReport[]
  /** They serve in place of this process, and what is asked of it is asked of them. */
  workers: Workers | undefined
}>

/** What a proxy can be asked for, whether it serves itself or has workers. */
export type Answers = Readonly<{
  /** For the process that this is a worker of. */
  answer(what: Asked): Promise<unknown>
  measured: MeasuredReporterOptions['take']
  admin: Pick<AdminDeps, 'usage' | 'mirrored' | 'drift' | 'upstreams' | 'purge' | 'explain' | 'look'>
}>

export function createAnswers(deps: AskedDeps): Answers {
  const { caches, console, explained, limiter, limitTally, measurements, metrics, mirrors, predictions, upstreams, workers } = deps
  const ownMeasured = workerMeasured(measurements, randomUUID())
  const own = {
    usage: () => limitTally.callers.usage(limiter),
    measured: ownMeasured,
    mirrors: () => mirrors.report(),
    predictions: () => predictions.drift.report(),
    upstreams: () => upstreams().map((one) => ({ ...one, pid: process.pid })),
  }
  return {
    async answer(what) {
      if (typeof what === 'string') return own[what]()
      if ('purge' in what) return caches.purge(what.purge)
      if ('scrape' in what) return metrics.page(what.scrape)
      return 'look' in what ? console.own(what.look) : explained(what.explain)
    },
    measured: workers === undefined ? (onlyNew) => measurements.take(onlyNew) : createMeasuredSum(measurements, () => workers.ask('measured')),
    admin: workers === undefined
      ? {
          usage: own.usage,
          mirrored: async () => mirrors.report(),
          drift: async () => summed([own.predictions()]),
          upstreams: async () => upstreams(),
          purge: (what) => caches.purge(what),
          explain: async (question) => explained(question),
          look: (look) => console.state(look),
        }
      : {
          usage: async () => addUsage(await workers.ask('usage')),
          mirrored: async () => addReports(await workers.ask('mirrors')),
          drift: async () => summed(await workers.ask('predictions')),
          upstreams: async () => (await workers.ask('upstreams')).flatMap((told) => Array.isArray(told) ? told as unknown[] : []),
          purge: async (what) => addPurged(await workers.ask({ purge: what })),
          explain: async (question) => (await workers.ask({ explain: question }))[0],
          look: (look) => console.state(look),
        },
  }
}

const summed = async (told: readonly unknown[]) => (await import('./predictions/drift/summary.ts')).summaries(told)
