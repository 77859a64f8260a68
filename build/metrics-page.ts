import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createControllerMetrics } from '../controller/telemetry/metrics.ts'
import type { Family } from '../exposition/family.ts'
import { metricsOf } from '../test/dataplane/metrics.ts'

/** `npm run generate`: the tables of docs/metrics.md, of what a proxy and a controller tell. What stands around them is written by hand. */

export const path = join(import.meta.dirname, '../docs/metrics.md')

const rowOf = ({ name, type, labels, help }: Family) => `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ') || '-'} | ${help} |`
const nameOf = (row: string) => /^\| `(\w+)`/.exec(row)?.[1] ?? ''

/** The rows that a page has keep their places, and what is new comes behind them. */
function withRows(text: string, heading: string, families: readonly Family[]): string {
  const [before = '', rows = ''] = new RegExp(`^([^]*^## ${heading}\\n\\n\\|.*\\n\\|.*\\n)((?:\\| \`.*\\n)*)`, 'm').exec(text)?.slice(1) ?? []
  if (before === '') throw new Error(`there is no table below ${heading}`)
  const told = new Map(families.map((family) => [family.name, rowOf(family)]))
  const kept = rows.split('\n').map(nameOf).filter((name) => told.has(name))
  const all = new Set([...kept, ...told.keys()])
  return before + [...all].map((name) => `${told.get(name)}\n`).join('') + text.slice(before.length + rows.length)
}

export async function metricsPage(): Promise<string> {
  const proxy = metricsOf()
  const controller = createControllerMetrics({
    proxies: () => ({ connected: 0, current: 0, behind: 0, refusing: 0 }), rollouts: () => [], judgements: () => [],
    leading: () => true, observed: () => ({ watches: [], queues: {} }), latest: () => undefined,
  })
  try {
    const text = withRows(readFileSync(path, 'utf8'), 'Of a proxy', await proxy.families())
    return withRows(text, 'Of the controller', await controller.families())
  } finally {
    proxy.close()
  }
}

if (import.meta.main) writeFileSync(path, await metricsPage())
