/**
 * Money and other decimals, exact: a whole number of units of 10⁻¹⁵. A price has up to twelve decimals, and what is left
 * is room for a percentage of it, so that nothing here is ever rounded but by `rounded`.
 */
export type Amount = bigint

const digits = 15
const one = 10n ** BigInt(digits)
const form = /^(-?)(\d{1,15})(?:\.(\d{1,12}))?$/

/** Undefined: it is no decimal of up to fifteen digits and twelve decimals. */
export function amountOf(text: string): Amount | undefined {
  const [, sign, whole, fraction = ''] = form.exec(text) ?? []
  if (whole === undefined) return undefined
  const amount = BigInt(whole) * one + BigInt(fraction.padEnd(digits, '0'))
  return sign === '-' ? -amount : amount
}

/** As few decimals as it has. */
export function textOf(amount: Amount): string {
  const positive = amount < 0n ? -amount : amount
  const fraction = String(positive % one).padStart(digits, '0').replace(/0+$/, '')
  return `${amount < 0n ? '-' : ''}${positive / one}${fraction === '' ? '' : `.${fraction}`}`
}

/** To so many decimals, half away from zero, as invoices are. */
export function rounded(amount: Amount, decimals: number): string {
  const step = 10n ** BigInt(digits - decimals)
  const half = amount < 0n ? -step / 2n : step / 2n
  const [whole = '0', fraction = ''] = textOf((amount + half) / step * step).split('.')
  return decimals === 0 ? whole : `${whole}.${fraction.padEnd(decimals, '0')}`
}

/** For what counts in doubles. */
export const numberOf = (amount: Amount): number => Number(textOf(amount))
