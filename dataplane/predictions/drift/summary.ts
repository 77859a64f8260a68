import { together, type ColumnReport } from './column.ts'
import { distanceOfNumbers, distanceOfTexts, quantilesOf, type Distance } from './distance.ts'
import type { VersionReport } from './drift.ts'

/** `overTime`: of the latest values from the first ones; `between`: of the latest from those of the first version. */
export type ColumnSummary = Readonly<{
  name: string
  kind: ColumnReport['kind'] | 'length'
  count: number
  missing: number
  odd?: number
  mean?: number
  variance?: number
  min?: number
  max?: number
  quantiles?: Readonly<Record<'p5' | 'p25' | 'p50' | 'p75' | 'p95', number>>
  top?: readonly Readonly<{ value: string; share: number }>[]
  overTime?: Distance
  between?: Distance
}>

/** `against`: the version that this one is held against; absent: it is the first. */
export type VersionSummary = Readonly<{
  route: string
  rule: string
  variant: string
  version: string
  requests: number
  against?: Readonly<{ variant: string; version: string }>
  inputs: readonly ColumnSummary[]
  outputs: readonly ColumnSummary[]
  left: number
}>

/** Texts that are told of a column. */
const topMax = 10
const quantiles = { p5: 0.05, p25: 0.25, p50: 0.5, p75: 0.75, p95: 0.95 } as const

/** What several processes tell, as one. Another process of this program made it in the same way, or gave no answer. */
export function summaries(told: readonly unknown[]): readonly VersionSummary[] {
  const versions = new Map<string, VersionReport>()
  for (const version of told.flatMap((list) => (areReports(list) ? list : []))) {
    const key = JSON.stringify([version.route, version.rule, version.order, version.variant, version.version])
    const before = versions.get(key)
    versions.set(key, before === undefined ? version : joined(before, version))
  }
  const all = [...versions.values()].sort((a, b) => compare(a.route, b.route) || compare(a.rule, b.rule) || a.order - b.order || compare(a.version, b.version))
  const firsts = new Map<string, VersionReport>()
  return all.map((version) => {
    const place = JSON.stringify([version.route, version.rule])
    const first = firsts.get(place)
    if (first === undefined) firsts.set(place, version)
    return summaryOf(version, first)
  })
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

function areReports(value: unknown): value is readonly VersionReport[] {
  return Array.isArray(value)
}

function joined(a: VersionReport, b: VersionReport): VersionReport {
  return { ...a, requests: a.requests + b.requests, left: a.left + b.left, inputs: columnsOf(a.inputs, b.inputs), outputs: columnsOf(a.outputs, b.outputs) }
}

function columnsOf(a: readonly ColumnReport[], b: readonly ColumnReport[]): readonly ColumnReport[] {
  const columns = new Map(a.map((column) => [`${column.kind} ${column.name}`, column]))
  for (const column of b) {
    const key = `${column.kind} ${column.name}`
    const before = columns.get(key)
    columns.set(key, before === undefined ? column : together(before, column))
  }
  return [...columns.values()]
}

function summaryOf(report: VersionReport, first: VersionReport | undefined): VersionSummary {
  const { route, rule, variant, version, requests, left } = report
  const side = (name: 'inputs' | 'outputs') => report[name].map((column) => columnOf(column, first?.[name].find((one) => one.name === column.name && one.kind === column.kind)))
  return { route, rule, variant, version, requests, ...(first && { against: { variant: first.variant, version: first.version } }), inputs: side('inputs'), outputs: side('outputs'), left }
}

function columnOf(column: ColumnReport, other: ColumnReport | undefined): ColumnSummary {
  const { name, kind, count, missing, odd, mean, squares, min, max, counts } = column
  const overTime = farther(column.numbers.baseline, column.numbers.recent, column.texts.baseline, column.texts.recent, counts.length > 0)
  const between = other && farther(latest(other.numbers), latest(column.numbers), latest(other.texts), latest(column.texts), counts.length > 0)
  return {
    name, kind: kind === 'text' ? 'length' : kind, count, missing, ...(odd > 0 && { odd }),
    ...(kind !== 'truth' && count > 0 && { mean, variance: count > 1 ? squares / (count - 1) : 0, min, max, ...quantilesIn(latest(column.numbers)) }),
    ...topOf(counts, count),
    ...(overTime && { overTime }), ...(between && { between }),
  }
}

const latest = <T>({ baseline, recent }: Readonly<{ baseline: readonly T[]; recent: readonly T[] }>): readonly T[] => (recent.length >= baseline.length ? recent : [...baseline, ...recent])

/** A text moves when its length does, or what it says. */
function farther(a: readonly number[], b: readonly number[], textsA: readonly (string | null)[], textsB: readonly (string | null)[], spelled: boolean): Distance | undefined {
  const numbers = distanceOfNumbers(a, b)
  const texts = spelled ? distanceOfTexts(textsA, textsB) : undefined
  if (numbers === undefined || texts === undefined) return rounded(numbers ?? texts)
  return rounded({ ...numbers, psi: Math.max(numbers.psi, texts.psi) })
}

const rounded = (distance: Distance | undefined): Distance | undefined =>
  distance && { psi: digits(distance.psi), ...(distance.ks !== undefined && { ks: digits(distance.ks) }) }

const digits = (value: number) => Math.round(value * 10_000) / 10_000

function quantilesIn(values: readonly number[]): Pick<ColumnSummary, 'quantiles'> {
  const [p5, p25, p50, p75, p95] = quantilesOf(values, Object.values(quantiles))
  return p5 === undefined || p25 === undefined || p50 === undefined || p75 === undefined || p95 === undefined ? {} : { quantiles: { p5, p25, p50, p75, p95 } }
}

/** The texts of which there were too many have no name. */
function topOf(counts: ColumnReport['counts'], all: number): Pick<ColumnSummary, 'top'> {
  if (counts.length === 0) return {}
  const top = counts.filter(([value]) => value !== '').toSorted(([, a], [, b]) => b - a).slice(0, topMax).map(([value, count]) => ({ value, share: digits(count / all) }))
  return { top }
}
