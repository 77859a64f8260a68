import { resolve } from 'node:path'
import { count } from './count.ts'
import type { Options } from './flags.ts'
import { pricesOf } from './ledger.ts'
import { ledgerFiles, readLedger, type Found } from './usage-read.ts'
import { isDimension } from './usage-dimensions.ts'
import { createInvoice, createUsage } from './usage-sums.ts'
import { instantOf } from './usage-time.ts'
import { csvOf, jsonOf, tableOf } from './usage-write.ts'

type Out = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

const formats = { csv: csvOf, json: jsonOf, table: tableOf }

/** Sums over the records of ledgers, or what they come to by a price list. */
export async function usage(options: Options<'usage'>, { stdout, stderr }: Out): Promise<number> {
  const by = (options.by.length === 0 ? ['consumer,model'] : options.by).flatMap((names) => names.split(',')).filter(isDimension)
  const now = Date.now()
  const since = options.since === undefined ? Number.NEGATIVE_INFINITY : instantOf(options.since, now) ?? Number.NEGATIVE_INFINITY
  const until = options.until === undefined ? Number.POSITIVE_INFINITY : instantOf(options.until, now) ?? Number.POSITIVE_INFINITY
  const list = await pricesOf(options)
  const sums = list === undefined ? createUsage(by) : createInvoice(by, list)
  const found: Found = { records: 0, duplicates: 0, unreadable: 0 }
  const all = await Promise.all(options.ledger.map(async (path) => path === '-' ? [path] : ledgerFiles(resolve(path), since)))
  for await (const record of readLedger([...new Set(all.flat())], process.stdin, found)) {
    if (record.time >= since && record.time < until) sums.add(record)
  }
  const report = sums.report()
  stdout(formats[options.output](report))
  for (const note of [
    ...report.notes,
    ...(found.duplicates > 0 ? [found.duplicates === 1 ? '1 record came twice and counts once' : `${found.duplicates} records came twice and count once`] : []),
    ...(found.unreadable > 0 ? [`${count(found.unreadable, 'line')} cannot be read`] : []),
    ...(found.records === 0 ? ['no usage records were found'] : []),
  ]) stderr(`modelroute usage: ${note}\n`)
  return 0
}
