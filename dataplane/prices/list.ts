import * as v from 'valibot'
import { amountOf, type Amount } from './amount.ts'

/** What is counted of a request and can have a price. */
export const units = ['requests', 'rows', 'inputTokens', 'cachedInputTokens', 'outputTokens'] as const
export type Unit = (typeof units)[number]

/** `each`: of one unit; `text` and `per` as they were written. */
export type UnitPrice = Readonly<{ each: Amount; text: string; per: number }>

/** One entry: for whom, from when until when, and what each unit costs. Undefined selects all. */
export type Price = Readonly<{
  name: string
  routes: readonly string[] | undefined
  variants: readonly string[] | undefined
  models: readonly string[] | undefined
  consumers: readonly string[] | undefined
  tiers: readonly string[] | undefined
  /** Milliseconds since the epoch; the end is not part of it. */
  from: number
  until: number
  units: Readonly<Partial<Record<Unit, UnitPrice>>>
}>

/** Of the entries that are for a request, the first is its price. `decimals`: of the lines of an invoice. */
export type PriceList = Readonly<{ currency: string; decimals: number; prices: readonly Price[] }>

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(253))
const names = v.optional(v.pipe(v.array(text), v.minLength(1), v.maxLength(1000)))
const decimal = v.pipe(v.string('must be a decimal in quotes, such as "0.25"'), v.regex(/^\d{1,9}(\.\d{1,6})?$/, 'must be a decimal in quotes, such as "0.25", with up to six decimals'))
const unit = v.optional(v.union([decimal, v.strictObject({ price: decimal, per: v.picklist([1, 1000, 1_000_000], 'must be 1, 1000 or 1000000') })],
  'must be a decimal in quotes, such as "0.25", or {price: "0.25", per: 1000000}'))
/** A day of UTC, or a time with its zone (RFC 3339). */
const time = v.optional(v.pipe(v.string(), v.regex(/^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?$/, 'must be a date, such as 2026-01-31, or a time of RFC 3339'),
  v.check((given) => !Number.isNaN(Date.parse(given)), 'is no time')))

const Entry = v.strictObject({
  name: text, routes: names, variants: names, models: names, consumers: names, tiers: names, from: time, until: time,
  requests: unit, rows: unit, inputTokens: unit, cachedInputTokens: unit, outputTokens: unit,
})
const List = v.strictObject({
  currency: v.pipe(v.string(), v.regex(/^[A-Z]{3,8}$/, 'must be a code, such as EUR')),
  decimals: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(9)), 2),
  prices: v.pipe(v.array(Entry), v.minLength(1), v.maxLength(10_000)),
})

/** @returns what is wrong with it, a line each */
export function readPriceList(value: unknown): PriceList | readonly string[] {
  const read = v.safeParse(List, value)
  if (!read.success) return read.issues.map((issue) => `${v.getDotPath(issue) ?? 'the list'}: ${issue.message}`)
  const { currency, decimals, prices } = read.output
  const idle = prices.findIndex((entry) => units.every((name) => entry[name] === undefined))
  if (idle >= 0) return [`prices.${idle}: has no price`]
  return {
    currency, decimals,
    prices: prices.map(({ name, routes, variants, models, consumers, tiers, from, until, ...entry }) => ({
      name, routes, variants, models, consumers, tiers,
      from: from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(from),
      until: until === undefined ? Number.POSITIVE_INFINITY : Date.parse(until),
      units: Object.fromEntries(units.flatMap((each) => entry[each] === undefined ? [] : [[each, unitPrice(entry[each])]])),
    })),
  }
}

function unitPrice(given: string | Readonly<{ price: string; per: number }>): UnitPrice {
  const { price, per } = typeof given === 'string' ? { price: given, per: 1 } : given
  // Six decimals of a price for a million are twelve of one for a piece: nothing is lost.
  return { each: (amountOf(price) ?? 0n) / BigInt(per), text: price, per }
}
