import type { Amount } from './amount.ts'
import { units, type Price, type PriceList, type Unit } from './list.ts'

/** What a price is looked up by, and what it is taken times. Tokens are those that are billed. */
export type Usage = Readonly<{
  /** Milliseconds since the epoch. */
  time: number
  route: string | undefined
  variant: string | undefined
  model: string | undefined
  consumer: string | undefined
  tier: string | undefined
  status: number
  /** Undefined: nothing counted them. */
  tokens: Readonly<{ inputTokens: number; outputTokens: number; cachedTokens?: number | undefined }> | undefined
  rows: number | undefined
  /** Of an answer that was given again, the part that is billed, in percent. */
  percent: number
  grpcStatus: number | undefined
}>

/** The first entry that is for it; undefined: it costs nothing. */
export function priceOf({ prices }: PriceList, usage: Usage): Price | undefined {
  return prices.find(({ from, until, routes, variants, models, consumers, tiers }) =>
    usage.time >= from && usage.time < until && has(routes, usage.route) && has(variants, usage.variant) && has(models, usage.model)
    && has(consumers, usage.consumer) && has(tiers, usage.tier))
}

const has = (list: readonly string[] | undefined, value: string | undefined) => list === undefined || (value !== undefined && list.includes(value))

/** How many of each unit are charged: whoever got no answer is charged for what was counted nevertheless, and not for the asking. */
export function quantitiesOf({ status, tokens, rows, grpcStatus }: Usage): Readonly<Record<Unit, number>> {
  const served = status < 400 && (grpcStatus ?? 0) === 0
  const cached = tokens?.cachedTokens ?? 0
  return {
    requests: served ? 1 : 0,
    rows: served ? rows ?? 0 : 0,
    inputTokens: (tokens?.inputTokens ?? 0) - cached,
    cachedInputTokens: cached,
    outputTokens: tokens?.outputTokens ?? 0,
  }
}

/** What a unit of an entry comes to. Input that has no price of its own for being kept costs as much as other input. */
export function amountFor({ units: each }: Price, unit: Unit, quantity: number, percent: number): Amount {
  const { each: price } = each[unit] ?? (unit === 'cachedInputTokens' ? each.inputTokens : undefined) ?? { each: 0n }
  const whole = price * BigInt(quantity)
  // Of tokens the billed part has been counted already.
  return unit === 'requests' || unit === 'rows' ? whole * BigInt(percent) / 100n : whole
}

/** What a request costs by the list; undefined: no entry is for it. */
export function chargeOf(list: PriceList, usage: Usage): Amount | undefined {
  const price = priceOf(list, usage)
  if (price === undefined) return undefined
  const quantities = quantitiesOf(usage)
  return units.reduce((sum, unit) => sum + amountFor(price, unit, quantities[unit], usage.percent), 0n)
}
