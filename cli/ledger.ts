import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DataplaneOptions } from '../dataplane/main.ts'
import type { PriceList } from '../dataplane/prices/list.ts'
import { parseDestination } from '../dataplane/telemetry/ledger/destination.ts'

/** What `--ledger` says; it was looked at when the options were read. */
export function ledgerOf({ ledger = 'none', stateDir }: { readonly ledger?: string; readonly stateDir?: string }): DataplaneOptions['ledger'] {
  const to = parseDestination(ledger)
  if (typeof to === 'string' || to.to === 'none') return undefined
  return { to, folder: stateDir === undefined ? undefined : join(stateDir, 'ledger') }
}

/** The price list that `--prices` names, YAML or JSON: what reads that is loaded for it alone. */
export async function pricesOf({ prices: file }: { readonly prices?: string }): Promise<PriceList | undefined> {
  if (file === undefined) return undefined
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new Error(`--prices: ${error instanceof Error ? error.message : String(error)}`)
  })
  const [{ parseYaml }, { readPriceList }] = await Promise.all([import('../controller/sources/files-yaml.ts'), import('../dataplane/prices/list.ts')])
  const read = parseYaml(text)
  if ('fault' in read) throw new Error(`--prices: ${file}: ${read.fault.message}`)
  const list = readPriceList(read.value)
  if (!('prices' in list)) throw new Error(list.map((line) => `--prices: ${file}: ${line}`).join('\n'))
  return list
}
