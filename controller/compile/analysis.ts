import type { Measured } from '../../table/delivery.ts'
import type { Callee } from '../../table/principal.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote } from './problems.ts'
import type { AnalysisSpec, CompileOptions, MetricSpec } from './spec.ts'
import { calleeOf, calleeProblem } from './urls.ts'

/** What a gate measures. `pointer` is a JSON Pointer; `percentile` is of 100. */
export type Measure =
  | Readonly<{ type: 'ErrorRate' | 'CostPerRequest' | 'TokensPerSecond' | 'MirrorMismatch' }>
  | Readonly<{ type: 'Latency'; percentile: number }>
  | Readonly<{ type: 'ResponseField'; pointer: string }>
  /** `$variant` in the query stands for the variant that is asked about. */
  | Readonly<{ type: 'Prometheus'; to: Callee; query: string }>
  | Readonly<{ type: 'Webhook'; to: Callee }>

/** The ratios are to what all other variants measure. At least one of the four is there. */
export type Bounds = Readonly<{ max?: number; min?: number; maxRatio?: number; minRatio?: number }>

export type Gate = Readonly<{ name: string; measure: Measure; bounds: Bounds }>

/** The gates of a rollout, ready to be judged. */
export type Analysis = Readonly<{
  /** Milliseconds between two judgements. */
  interval: number
  /** Requests of the candidate in a step before anything is judged. */
  minRequests: number
  /** Failed judgements in a row that abort. */
  failureLimit: number
  onNoData: 'Hold' | 'Abort' | 'Continue'
  gates: readonly Gate[]
}>

export function compileAnalysis(spec: AnalysisSpec, place: string, options: CompileOptions, problems: Problem[]): Analysis {
  const interval = spec.interval === undefined ? 10_000 : parseDuration(spec.interval)
  if (interval === null || interval < 1000) {
    problems.push(invalid(`${place}.interval`, `${quote(spec.interval ?? '')} is no duration from 1s on; proxies measure once a second`))
  }
  return {
    interval: Math.max(interval ?? 0, 1000),
    minRequests: spec.minRequests ?? 200,
    failureLimit: spec.failureLimit ?? 2,
    onNoData: spec.onNoData ?? 'Hold',
    gates: (spec.metrics ?? []).flatMap((metric, at) => compileGate(metric, `${place}.metrics[${at}]`, options, problems) ?? []),
  }
}

function compileGate(metric: MetricSpec, place: string, options: CompileOptions, problems: Problem[]): Gate | undefined {
  const measure = measureOf(metric, place, options, problems)
  if (measure === undefined) return undefined
  const bounds = boundsOf(metric, place, problems)
  const { type } = measure
  if ((type === 'ErrorRate' || type === 'MirrorMismatch') && ((bounds.max ?? 0) > 1 || (bounds.min ?? 0) > 1)) {
    problems.push(invalid(place, `${type} is a fraction of 1: write "0.01" for one percent`))
  }
  const relative = bounds.maxRatio !== undefined || bounds.minRatio !== undefined
  if (relative && type === 'MirrorMismatch') {
    problems.push(invalid(place, 'mismatches are of copies, and the other variants have none to compare with; use max'))
  }
  if (relative && measure.type === 'Prometheus' && !measure.query.includes('$variant')) {
    problems.push(invalid(`${place}.prometheus.query`, 'a bound relative to stable needs $variant in the query, to ask about both'))
  }
  return { name: metric.name, measure, bounds }
}

const named: Readonly<Record<string, Measure>> = {
  'error-rate': { type: 'ErrorRate' },
  'p50-latency': { type: 'Latency', percentile: 50 },
  'p95-latency': { type: 'Latency', percentile: 95 },
  'p99-latency': { type: 'Latency', percentile: 99 },
  'mirror-mismatch': { type: 'MirrorMismatch' },
}

function measureOf(metric: MetricSpec, place: string, options: CompileOptions, problems: Problem[]): Measure | undefined {
  const { type, name } = metric
  if (type === undefined) {
    const measure = Object.hasOwn(named, name) ? named[name] : undefined
    if (measure === undefined) problems.push(invalid(place, `type is required: ${quote(name)} does not say what is measured`))
    return measure
  }
  if (type === 'Latency') return { type, percentile: metric.percentile ?? 99 }
  if (type === 'ResponseField') return { type, pointer: metric.pointer ?? '' }
  if (type === 'Prometheus') {
    const { address = '', query = '' } = metric.prometheus ?? {}
    const base = calledAt(address, `${place}.prometheus.address`, options, problems)
    if (base === undefined) return undefined
    const url = new URL(base.url)
    url.pathname = `${url.pathname.replace(/\/$/, '')}/api/v1/query`
    return { type, to: { ...base, url: url.href }, query }
  }
  if (type === 'Webhook') {
    const to = calledAt(metric.webhook?.url ?? '', `${place}.webhook.url`, options, problems)
    return to && { type, to }
  }
  return { type }
}

function calledAt(text: string, place: string, options: CompileOptions, problems: Problem[]): Callee | undefined {
  const callee = calleeOf(text, options)
  if (!('why' in callee)) return callee
  problems.push(calleeProblem(place, callee))
  return undefined
}

const spelled = [['max', 'max'], ['min', 'min'], ['maxRatioToStable', 'maxRatio'], ['minRatioToStable', 'minRatio']] as const

function boundsOf(metric: MetricSpec, place: string, problems: Problem[]): Bounds {
  const bounds: { -readonly [name in keyof Bounds]: Bounds[name] } = {}
  for (const [field, name] of spelled) {
    const text = metric[field]
    if (text === undefined) continue
    const value = Number(text)
    if (Number.isFinite(value)) bounds[name] = value
    else problems.push(invalid(`${place}.${field}`, `${quote(text)} is no number`))
  }
  if (Object.keys(bounds).length === 0) problems.push(invalid(place, 'needs a bound: max, min, maxRatioToStable or minRatioToStable'))
  return bounds
}

/** What proxies have to count for these gates. */
export function measuredFor({ gates }: Analysis, id: string): Measured {
  const fields = gates.flatMap(({ measure }) => (measure.type === 'ResponseField' ? [measure.pointer] : []))
  return {
    id,
    fields: [...new Set(fields)],
    ...(gates.some(({ measure }) => measure.type === 'TokensPerSecond') && { tokens: true as const }),
  }
}
