import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { amountOf, type Amount } from '../dataplane/prices/amount.ts'
import type { Usage } from '../dataplane/prices/charge.ts'
import { createSeen } from './usage-seen.ts'

/** One record of a ledger. `cost`: as it was told; undefined where nothing had a price. */
export type UsageRecord = Usage & Readonly<{ rule: string | undefined; version: string | undefined; code: string | undefined; cost: Amount | undefined }>

/** What was found beside the records. */
export type Found = { records: number; duplicates: number; unreadable: number }

/** What rotation makes of a name, ours and that of logrotate, packed or not. */
const rotated = /^\.(?:\d{4}-\d\d-\d\dT[\d.-]+Z\.\d+|\d{1,4})(?:\.gz)?$|^-\d{8}(?:-\d+)?(?:\.gz)?$/

/** The file and what it was before it was rotated; those that were not written to since then are left out. */
export async function ledgerFiles(path: string, since: number): Promise<string[]> {
  const name = basename(path)
  const before = (await readdir(dirname(path))).filter((one) => one.startsWith(name) && rotated.test(one.slice(name.length))).sort()
  const all = [...before.map((one) => join(dirname(path), one)), path]
  const found: string[] = []
  for (const file of all) {
    const about = await stat(file).catch((error: unknown) => {
      // Rotated away meanwhile; what was named must be there.
      if (file === path) throw error
      return undefined
    })
    if (about?.isDirectory() === true) throw new Error(`${file} is a folder, and no ledger`)
    if (about !== undefined && about.mtimeMs >= since) found.push(file)
  }
  return found
}

/** Each record once, whatever else stands between them: a log with usage in its lines is a ledger too. */
export async function * readLedger(files: readonly string[], stdin: Readable, found: Found): AsyncGenerator<UsageRecord> {
  const seen = createSeen()
  for (const file of files) {
    for await (const line of createInterface({ input: openFile(file, stdin), crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line === '') continue
      const record = recordIn(line)
      if (record === undefined) found.unreadable++
      else if (record !== 'other' && seen(record.id)) found.duplicates++
      else if (record !== 'other') {
        found.records++
        yield record.usage
      }
    }
  }
}

function openFile(file: string, stdin: Readable): Readable {
  if (file === '-') return stdin
  const bytes = createReadStream(file)
  if (!file.endsWith('.gz')) return bytes
  const plain = createGunzip()
  // Its reader hears of it.
  bytes.on('error', (error) => plain.destroy(error))
  return bytes.pipe(plain)
}

/** Undefined: the line was cut short. */
function recordIn(line: string): Readonly<{ id: string; usage: UsageRecord }> | 'other' | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return 'other'
  const of = (name: string): unknown => (Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined)
  const text = (name: string) => {
    const found = of(name)
    return typeof found === 'string' ? found : undefined
  }
  const number = (name: string) => {
    const found = of(name)
    return typeof found === 'number' && Number.isFinite(found) ? found : undefined
  }
  const [id, time, status] = [text('id') ?? text('request_id'), text('time'), number('status')]
  if (id === undefined || time === undefined || status === undefined || of('tokens') === undefined) return 'other'
  const [inputTokens, outputTokens] = [number('input_tokens'), number('output_tokens')]
  return {
    id,
    usage: {
      time: Date.parse(time), status, code: text('code'), grpcStatus: number('grpc_status'),
      route: text('route'), rule: text('rule'), variant: text('variant'), model: text('model'), version: text('version'), consumer: text('consumer'), tier: text('tier'),
      tokens: inputTokens === undefined || outputTokens === undefined ? undefined : { inputTokens, outputTokens, cachedTokens: number('cached_tokens') },
      rows: number('rows'),
      percent: Math.round((number('billed') ?? 1) * 100),
      cost: costIn(line),
    },
  }
}

/** As it is written: a double would lose the end of it. In a string no quote stands without its backslash, so that no name looks like it. */
const costMember = /"cost":(\d{1,15}(?:\.\d{1,15})?)(?:[,}]|e)/

function costIn(line: string): Amount | undefined {
  const [whole, text = ''] = costMember.exec(line) ?? []
  if (whole === undefined) return undefined
  // Units of a limit are doubles, which may be written with an exponent.
  const exact = whole.endsWith('e') ? Number(/"cost":([\d.e+-]+)/.exec(line)?.[1]).toFixed(12) : text
  return amountOf(exact)
}
