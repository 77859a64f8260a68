import type { Sequence } from './sequence.ts'

/**
 * Bounds for the probability of something that happens or does not, such as an error.
 *
 * Against the claim that the probability is at most p stands, for an odds ratio θ > 1, the likelihood ratio
 * θ^k / (1 - p + pθ)^n after k of n. Where the claim holds it is a supermartingale that begins at 1, and so is a
 * mixture of them; so it ever reaches 1/alpha with a probability of at most alpha (Ville's inequality; the mixture
 * sequential probability ratio test of Robbins). What it does not reach is the confidence sequence. With θ < 1 it
 * stands against at least p.
 */

/** The odds ratios in the mixture, as logarithms: from a difference that takes 10,000 events to see to a glaring one. */
const shifts = Float64Array.from({ length: 10 }, (_, i) => 0.02 * 2 ** i)
const up = shifts.map((shift) => Math.expm1(shift))
const down = shifts.map((shift) => Math.expm1(-shift))
const terms = new Float64Array(shifts.length)
const weight = -Math.log(shifts.length)

/** The logarithm of the mixture after `events` of `n`, against the probability `p`. @param sign 1: against at most p; -1: at least p */
function evidence(events: number, n: number, p: number, sign: 1 | -1): number {
  const odds = sign === 1 ? up : down
  let most = Number.NEGATIVE_INFINITY
  for (let i = 0; i < shifts.length; i++) {
    const term = sign * events * (shifts[i] ?? 0) - n * Math.log1p(p * (odds[i] ?? 0))
    terms[i] = term
    if (term > most) most = term
  }
  let sum = 0
  for (const term of terms) if (term > most - 40) sum += Math.exp(term - most)
  return most + Math.log(sum) + weight
}

/** The largest probability that is refuted as too small. */
export function lowerProportion(events: number, n: number, alpha: number): number {
  const wanted = -Math.log(alpha)
  if (n === 0 || evidence(events, n, 0, 1) < wanted) return 0
  return edge(0, events / n, (p) => evidence(events, n, p, 1) - wanted)
}

/** The smallest probability that is refuted as too large. */
export function upperProportion(events: number, n: number, alpha: number): number {
  const wanted = -Math.log(alpha)
  if (n === 0 || evidence(events, n, 1, -1) < wanted) return 1
  return edge(1, events / n, (p) => evidence(events, n, p, -1) - wanted)
}

/** So many of n that a probability of at most (sign 1) or at least (-1) p is refuted; undefined where no number does. */
export function refuting(p: number, n: number, alpha: number, sign: 1 | -1): number | undefined {
  const wanted = -Math.log(alpha)
  const extreme = sign === 1 ? n : 0
  if (n === 0 || evidence(extreme, n, p, sign) < wanted) return undefined
  return edge(extreme, n * p, (events) => evidence(events, n, p, sign) - wanted)
}

/**
 * Where `beyond` stops to be positive, to a hundred-thousandth of itself, on the side where it is (the method of
 * Illinois: by the chord, with the weight of an end that stays put halved).
 */
function edge(positive: number, negative: number, beyond: (at: number) => number): number {
  let [inside, outside] = [positive, negative]
  let [above, below] = [beyond(inside), beyond(outside)]
  let stayed = 0
  for (let i = 0; i < 80 && Math.abs(inside - outside) > 1e-5 * Math.max(inside, outside); i++) {
    // Every fourth time by halves, so that it ends whatever the curve.
    const at = i % 4 === 3 ? middle(inside, outside) : inside + (outside - inside) * above / (above - below)
    const value = beyond(at)
    if (value >= 0) {
      if (stayed === 1) below /= 2
      ;[inside, above, stayed] = [at, value, 1]
    } else {
      if (stayed === -1) above /= 2
      ;[outside, below, stayed] = [at, value, -1]
    }
  }
  return inside
}

/** Of the exponents where the two are far apart: from 1 to one in a hundred millions it is a long way by halves. */
function middle(a: number, b: number): number {
  const [small, large] = a < b ? [a, b] : [b, a]
  return large > 4 * small ? Math.sqrt(large * Math.max(small, 1e-15)) : (small + large) / 2
}

export function proportion(events: number, n: number): Sequence {
  const happened = Math.min(events, n)
  return {
    n,
    value: n === 0 ? 0 : happened / n,
    low: (alpha) => lowerProportion(happened, n, alpha),
    high: (alpha) => upperProportion(happened, n, alpha),
  }
}
