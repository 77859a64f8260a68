/** What was measured of the units of one variant. */
export type Group = Readonly<{ count: number; mean: number; variance: number }>

export function groupOf(values: readonly number[]): Group {
  const count = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1)
  return { count, mean, variance }
}

/** How much more the second has on average, its 95 % confidence interval, and how likely chance alone makes as much. */
export type Difference = Readonly<{ difference: number; low: number; high: number; p: number }>

/** Welch's test, with the normal distribution: groups of some dozens and more. */
export function compare(one: Group, other: Group): Difference {
  const difference = other.mean - one.mean
  const error = Math.sqrt(one.variance / one.count + other.variance / other.count)
  const p = error === 0 ? Number(difference === 0) : 2 * tail(Math.abs(difference) / error)
  return { difference, low: difference - 1.959964 * error, high: difference + 1.959964 * error, p }
}

/** How likely it is that a fair split by these weights comes out as unevenly as this (chi-square with one degree of freedom). */
export function fairness([one, other]: readonly [number, number], [weight, otherWeight]: readonly [number, number]): number {
  const total = one + other
  const expected = (total * weight) / (weight + otherWeight)
  const otherExpected = total - expected
  return 2 * tail(Math.sqrt((one - expected) ** 2 / expected + (other - otherExpected) ** 2 / otherExpected))
}

/** The normal distribution above `z` (Abramowitz and Stegun 26.2.17, exact to 7.5e-8). */
function tail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z)
  const series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * series
}
