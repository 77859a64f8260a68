import type { Moments, VariantMeasurements } from '../../../table/delivery.ts'
import type { Sequence } from './sequence.ts'

/**
 * Bounds for a mean, of which nothing is known but that its variance is finite: an asymptotic confidence sequence, from
 * the normal mixture (Robbins 1970; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory
 * and asymptotic confidence sequences"). It is sound from some dozens of samples on, later where a few are much larger
 * than all others.
 */

/** Samples at which the bounds are tightest. */
const tightestAt = 1000

/** How far off the mean of n samples with a standard deviation of 1 may be, at any time. */
function margin(n: number, alpha: number): number {
  // Of the two-sided bound at 2 alpha, one side.
  const log = -2 * Math.log(2 * alpha)
  const rho = (log + Math.log(1 + log)) / tightestAt
  const spread = n * rho + 1
  return Math.sqrt((2 * spread / (n * n * rho)) * Math.log(1 + Math.sqrt(spread) / (2 * alpha)))
}

function sequence(n: number, value: number, variance: number): Sequence {
  const deviation = Math.sqrt(Math.max(0, variance) * (n / Math.max(1, n - 1)))
  const known = n > 1 && Number.isFinite(value) && Number.isFinite(deviation)
  return {
    n: Number.isFinite(value) ? n : 0,
    value,
    low: (alpha) => (known ? value - deviation * margin(n, alpha) : Number.NEGATIVE_INFINITY),
    high: (alpha) => (known ? value + deviation * margin(n, alpha) : Number.POSITIVE_INFINITY),
  }
}

export function mean({ count, sum, squares }: Moments): Sequence {
  const value = count === 0 ? 0 : sum / count
  return sequence(count, value, count === 0 ? 0 : squares / count - value * value)
}

/** Of tokens to seconds: the sum by the sum, so that a long answer counts for more than a short one (delta method). */
export function speed({ count, sum, squares, seconds, secondsSquares, products }: VariantMeasurements['tokens']): Sequence {
  if (count === 0 || seconds <= 0) return sequence(0, 0, 0)
  const value = sum / seconds
  const meanSeconds = seconds / count
  const variance = (squares - 2 * value * products + value * value * secondsSquares) / count / (meanSeconds * meanSeconds)
  return sequence(count, value, variance)
}
