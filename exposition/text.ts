import { boundText, labelText, other, type Bucketed, type Counted, type Family, type Plain } from './family.ts'

/** Prometheus' own text format 0.0.4, or OpenMetrics 1.0, which alone has a place for exemplars. */
export type Format = 'text' | 'openmetrics'

export const contentTypes: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** Characters that are handed over together. */
const chunk = 65_536

/** Samples of one metric that are told; what is beyond them becomes one, under `other`. */
const samplesMax = 200_000

/** The exposition of them, piece by piece. @param most see `samplesMax` */
export function* expose(families: Iterable<Family>, format: Format, most = samplesMax): Generator<string> {
  let text = ''
  for (const family of families) {
    text += head(family, format)
    for (const lines of 'buckets' in family ? bucketLines(family, format, most) : plainLines(family, most)) {
      text += lines
      if (text.length < chunk) continue
      yield text
      text = ''
    }
  }
  yield format === 'openmetrics' ? `${text}# EOF\n` : text
}

function head({ name, help, type }: Family, format: Format): string {
  const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  if (format === 'text') return `# HELP ${name} ${escaped}\n# TYPE ${name} ${type}\n`
  // The name of a counter is without the suffix of its samples, and a unit is the end of the name.
  const family = type === 'counter' ? name.replace(/_total$/, '') : name
  const unit = /_(seconds|bytes)$/.exec(family)?.[1]
  return `# TYPE ${family} ${type}\n${unit === undefined ? '' : `# UNIT ${family} ${unit}\n`}# HELP ${family} ${escaped.replaceAll('"', '\\"')}\n`
}

function* plainLines({ name, labels: names, type, combine, rows }: Plain, most: number): Generator<string> {
  let told = 0
  let rest: number | undefined
  for (const { labels, value, suffix = '' } of rows()) {
    if (told++ < most || type === 'histogram') yield labels === '' ? `${name}${suffix} ${number(value)}\n` : `${name}${suffix}{${labels}} ${number(value)}\n`
    else rest = rest === undefined ? value : combine === 'max' ? Math.max(rest, value) : rest + value
  }
  if (rest !== undefined) yield `${name}{${others(names)}} ${number(rest)}\n`
}

function* bucketLines({ name, labels: names, bounds, buckets }: Bucketed, format: Format, most: number): Generator<string> {
  const ends = [...bounds.map((bound) => `le="${boundText(bound)}"} `), 'le="+Inf"} ']
  const lines = (labels: string, { counts, sum, exemplars }: Counted): string => {
    const begin = labels === '' ? `${name}_bucket{` : `${name}_bucket{${labels},`
    let text = ''
    let total = 0
    for (let i = 0; i < ends.length; i++) {
      total += counts[i] ?? 0
      text += begin + (ends[i] ?? '') + total
      const exemplar = format === 'openmetrics' ? exemplars?.[i] : undefined
      text += exemplar === undefined ? '\n' : ` # {${labelText(['trace_id'], [exemplar.trace])}} ${number(exemplar.value)} ${exemplar.at}\n`
    }
    const end = labels === '' ? ' ' : `{${labels}} `
    return `${text}${name}_sum${end}${number(sum)}\n${name}_count${end}${total}\n`
  }
  const setsMax = Math.max(1, Math.floor(most / (ends.length + 2)))
  let told = 0
  let rest: { counts: number[]; sum: number } | undefined
  for (const { labels, counted } of buckets()) {
    if (told++ < setsMax) {
      yield lines(labels, counted)
      continue
    }
    rest ??= { counts: ends.map(() => 0), sum: 0 }
    for (let i = 0; i < ends.length; i++) rest.counts[i] = (rest.counts[i] ?? 0) + (counted.counts[i] ?? 0)
    rest.sum += counted.sum
  }
  if (rest !== undefined) yield lines(others(names), rest)
}

const others = (names: readonly string[]): string => labelText(names, names.map(() => other))

function number(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}
