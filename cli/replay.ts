import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import type { Difference, Share } from '../dataplane/replay/compare.ts'
import { replayRecord, type Replay } from '../dataplane/replay/replay.ts'
import { createSide } from '../dataplane/replay/side.ts'
import { count } from './count.ts'
import type { Options } from './flags.ts'
import { imagineTable, type ImaginedOptions } from './imagined.ts'
import { plain } from './plain.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

type Replayed = Replay & Readonly<{ notes: readonly string[] }>

/** Recorded requests against proposed manifests. 1 where that was asked for and some would be decided differently, or there was none. */
export async function replay(options: Options<'replay'>, { stdout, stderr }: Output): Promise<number> {
  const { operands: [file = '-'], against, from } = options
  const proposed = await open(against, options)
  const present = from.length === 0 ? undefined : await open(from, options)
  const problems = new Set([...proposed.problems, ...present?.problems ?? []])
  stderr([...problems].map((line) => `${line}\n`).join(''))
  try {
    const record: Readable = file === '-' ? process.stdin : createReadStream(file)
    const told = await replayRecord(record, { against: proposed.decide, from: present?.decide })
    const replayed = { ...told, notes: [...proposed.notes, ...[...present?.notes ?? []].filter((note) => !proposed.notes.has(note))] }
    stdout(options.output === 'json' ? `${JSON.stringify(replayed, null, 2)}\n` : textOf(replayed, present !== undefined))
    if (told.requests === 0) stderr(`modelroute replay: ${file} has no request to compare\n`)
    return options.failOnChange && (told.different > 0 || told.requests === 0) ? 1 : 0
  } finally {
    await proposed.close()
    await present?.close()
  }
}

async function open(paths: readonly string[], options: Pick<ImaginedOptions, 'gateway' | 'allowUrl'>) {
  const side = createSide()
  const { table, runtime, problems } = await imagineTable(paths, { gateway: options.gateway, allowUrl: options.allowUrl, filterDeps: side.filterDeps, prepare: side.prepare })
  return { decide: side.begin(table), notes: side.notes, problems, close: () => runtime.close() }
}

function textOf({ lines, requests, from, until, others, malformed, undecided, different, uncertain, shares, differences, unknown, notes }: Replayed, compared: boolean): string {
  const text = [
    `${count(requests, 'request')} in ${count(lines, 'line')}${from === undefined ? '' : `, ${from} to ${until}`}`,
    ...(others === 0 ? [] : [`${count(others, 'line')} of something else, or of a request that another line tells more of`]),
    ...(undecided === 0 ? [] : [`${count(undecided, 'request')} that no route decides`]),
    ...(malformed.lines === 0 ? [] : [`${count(malformed.lines, 'line')} that cannot be read: ${malformed.first.map(({ line, why }) => `${line} ${why}`).join('; ')}`]),
    '',
    ...sharesText(shares, compared),
    '',
    `${different} of ${count(requests, 'request')} decided differently${uncertain === 0 ? '' : `, ${uncertain} of them not for certain`}`,
    ...differences.flatMap(differenceText),
    ...(unknown.length === 0 ? [] : ['', 'asked for, and not recorded', ...unknown.map(({ what, requests: of }) => `  ${what}: ${count(of, 'request')}`)]),
    ...(notes.length === 0 ? [] : ['', 'to be known', ...notes.map((note) => `  ${note}`)]),
  ]
  return plain(`${text.join('\n')}\n`)
}

function sharesText(shares: readonly Share[], compared: boolean): readonly string[] {
  const rows = shares.map(({ route, rule, variant, from, to }) => [[route, rule, variant].filter((text) => text !== '').join(' '), String(from), String(to)] as const)
  const heads = ['', compared ? 'present' : 'recorded', 'proposed'] as const
  const widths = heads.map((head, at) => Math.max(head.length, ...rows.map((row) => row[at]?.length ?? 0)))
  return [heads, ...rows].map((row) => row.map((cell, at) => at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)).join('  '))
}

function differenceText({ kind, from, to, requests, uncertain, why, examples }: Difference): readonly string[] {
  return [
    `  ${requests} ${kind}: ${from} -> ${to}${uncertain === 0 ? '' : `, ${uncertain} not for certain`}${why === '' || to === 'served' ? '' : ` (${why})`}`,
    ...examples.map(({ line, time, method, path, consumer, requestId }) => `    line ${line}: ${time} ${method} ${path}${consumer === undefined ? '' : ` of ${consumer}`}, ${requestId}`),
  ]
}
