import { rounded, textOf, type Amount } from '../dataplane/prices/amount.ts'
import { amountFor, priceOf, quantitiesOf } from '../dataplane/prices/charge.ts'
import { units, type Price, type PriceList, type Unit } from '../dataplane/prices/list.ts'
import type { UsageRecord } from './usage-read.ts'
import type { Dimension } from './usage-dimensions.ts'

/** One line of a report: columns and their texts, in the same order. */
export type Line = readonly string[]
export type Report = Readonly<{ columns: readonly string[]; numeric: ReadonlySet<string>; lines: readonly Line[]; notes: readonly string[]; total?: Readonly<{ amount: string; currency: string }> }>

/** Takes records, one after the other. */
export type Sums = Readonly<{ add(record: UsageRecord): void; report(): Report }>

/** More lines than anybody reads are a mistake in what was asked, and memory. */
const linesMax = 500_000

function valueOf(record: UsageRecord, dimension: Dimension): string {
  switch (dimension) {
    case 'status':
      return String(record.status)
    case 'day':
      return new Date(record.time).toISOString().slice(0, 10)
    case 'month':
      return new Date(record.time).toISOString().slice(0, 7)
    default:
      return record[dimension] ?? ''
  }
}

/** By the values of the dimensions, in their order. */
function createGroups<Sum>(by: readonly Dimension[], make: () => Sum) {
  const groups = new Map<string, { values: readonly string[]; sum: Sum }>()
  return {
    of(record: UsageRecord, more: readonly string[] = []): Sum {
      const values = [...by.map((dimension) => valueOf(record, dimension)), ...more]
      const key = JSON.stringify(values)
      let group = groups.get(key)
      if (group === undefined) {
        if (groups.size >= linesMax) throw new Error(`more than ${linesMax} lines; ask for less with --by, --since or --until`)
        group = { values, sum: make() }
        groups.set(key, group)
      }
      return group.sum
    },
    sorted: () => [...groups.values()].sort((a, b) => compare(a.values, b.values)),
  }
}

function compare(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((value, i) => value !== b[i])
  return at < 0 ? 0 : (a[at] ?? '') < (b[at] ?? '') ? -1 : 1
}

const counted = ['requests', 'errors', 'input_tokens', 'cached_tokens', 'output_tokens', 'rows', 'cost'] as const

/** What was used. */
export function createUsage(by: readonly Dimension[]): Sums {
  const groups = createGroups(by, () => ({ requests: 0, errors: 0, input: 0, cached: 0, output: 0, rows: 0, cost: 0n as Amount }))
  return {
    add(record) {
      const sum = groups.of(record)
      sum.requests++
      if (record.status >= 400) sum.errors++
      sum.input += record.tokens?.inputTokens ?? 0
      sum.cached += record.tokens?.cachedTokens ?? 0
      sum.output += record.tokens?.outputTokens ?? 0
      sum.rows += record.rows ?? 0
      sum.cost += record.cost ?? 0n
    },
    report: () => ({
      columns: [...by, ...counted],
      numeric: new Set(counted),
      lines: groups.sorted().map(({ values, sum: { requests, errors, input, cached, output, rows, cost } }) =>
        [...values, ...[requests, errors, input, cached, output, rows].map(String), textOf(cost)]),
      notes: [],
    }),
  }
}

const names: Readonly<Record<Unit, string>> = {
  requests: 'requests', rows: 'rows', inputTokens: 'input_tokens', cachedInputTokens: 'cached_input_tokens', outputTokens: 'output_tokens',
}

/** What is to be paid: a line for each unit of each price that applied. `hundredths`: of a request that was given again a part counts. */
export function createInvoice(by: readonly Dimension[], list: PriceList): Sums {
  const groups = createGroups(by, () => ({ price: undefined as Price | undefined, unit: 'requests' as Unit, hundredths: 0n, amount: 0n as Amount }))
  let free = 0
  return {
    add(record) {
      const price = priceOf(list, record)
      if (price === undefined) {
        free++
        return
      }
      const quantities = quantitiesOf(record)
      for (const unit of units) {
        const quantity = quantities[unit]
        const { each, text } = priceFor(price, unit)
        if (quantity === 0 || each === undefined) continue
        const sum = groups.of(record, [price.name, names[unit], text])
        sum.price = price
        sum.unit = unit
        sum.hundredths += BigInt(quantity) * BigInt(unit === 'requests' || unit === 'rows' ? record.percent : 100)
        sum.amount += amountFor(price, unit, quantity, record.percent)
      }
    },
    report() {
      let total = 0n
      const step = 10n ** BigInt(15 - list.decimals)
      const lines = groups.sorted().map(({ values, sum: { price, unit, hundredths, amount } }) => {
        const { each } = price === undefined ? { each: undefined } : priceFor(price, unit)
        // What is to be paid is the sum of what the lines say.
        total += (amount + step / 2n) / step * step
        return [...values.slice(0, -1), quantityText(hundredths), each?.text ?? '', String(each?.per ?? 1), rounded(amount, list.decimals), textOf(amount), list.currency]
      })
      return {
        columns: [...by, 'price', 'unit', 'quantity', 'unit_price', 'per', 'amount', 'exact', 'currency'],
        numeric: new Set(['quantity', 'unit_price', 'per', 'amount', 'exact']),
        lines,
        notes: free === 0 ? [] : [`${free} requests have no price in the list`],
        total: { amount: rounded(total, list.decimals), currency: list.currency },
      }
    },
  }
}

/** Prices of one name may differ by their dates: they stand on lines of their own. */
function priceFor(price: Price, unit: Unit) {
  const each = price.units[unit] ?? (unit === 'cachedInputTokens' ? price.units.inputTokens : undefined)
  return { each, text: each === undefined ? '' : `${each.text}/${each.per}` }
}

function quantityText(hundredths: bigint): string {
  const part = hundredths % 100n
  return part === 0n ? String(hundredths / 100n) : `${hundredths / 100n}.${String(part).padStart(2, '0').replace(/0$/, '')}`
}
