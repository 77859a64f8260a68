import type { Distance } from '../dataplane/predictions/drift/distance.ts'
import type { ColumnSummary, VersionSummary } from '../dataplane/predictions/drift/summary.ts'
import type { Options } from './flags.ts'
import { report } from './report.ts'

/** What models were asked and answered by version, and how far that has moved, asked of a running proxy. */
export async function predictions({ admin, output }: Options<'predictions'>, stdout: (text: string) => void): Promise<number> {
  return report<VersionSummary>(admin, '/predictions', { output, textOf, none: 'no prediction has been seen yet' }, stdout)
}

/** From here on one distribution is taken for another. */
const shiftedFrom = 0.25

export function textOf({ route, rule, variant, version, requests, against, inputs, outputs, left }: VersionSummary): string {
  const title = `${route} ${rule} ${variant}${version && ` ${version}`}  ${requests} requests${against ? `, against ${against.variant}${against.version && ` ${against.version}`}` : ''}`
  const width = Math.max(0, ...[...inputs, ...outputs].map(({ name }) => name.length))
  const rows = (side: string, columns: readonly ColumnSummary[]) => columns.map((column) => `  ${side.padEnd(8)}${plain(column.name).padEnd(width + 2)}${columnText(column)}`)
  return [title, ...rows('input', inputs), ...rows('output', outputs), ...(left > 0 ? [`  ${left} values have no column, because there are as many as there may be`] : []), ''].join('\n')
}

/** Names and texts are callers': what moves a cursor is not shown. */
const plain = (text: string) => JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"')

function columnText({ count, missing, mean, quantiles, top, kind, overTime, between }: ColumnSummary): string {
  const shown = top?.slice(0, 3).map(({ value, share }) => `${plain(value)} ${short(100 * share)} %`) ?? []
  const numbers = mean === undefined || shown.length > 0 ? [] : [`mean ${kind === 'length' ? 'length ' : ''}${short(mean)}`, ...quantiles ? [`5 % ${short(quantiles.p5)}`, `median ${short(quantiles.p50)}`, `95 % ${short(quantiles.p95)}`] : []]
  const facts = [`${count} values`, `${short((100 * missing) / Math.max(1, count + missing))} % missing`, ...numbers, ...shown].join(', ')
  return [facts, ...distanceText('over time', overTime), ...distanceText('between', between)].join('; ')
}

function distanceText(what: string, distance: Distance | undefined): readonly string[] {
  if (distance === undefined) return []
  const { psi, ks } = distance
  return [`${what} psi ${short(psi)}${ks === undefined ? '' : ` ks ${short(ks)}`}${psi >= shiftedFrom ? ' (shifted)' : ''}`]
}

const short = (value: number) => String(Number(value.toPrecision(3)))
