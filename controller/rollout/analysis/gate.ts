import type { Bounds, Gate } from '../../compile/analysis.ts'
import type { Estimate, GateJudgement, GateVerdict } from '../judge.ts'
import type { Sequence } from './sequence.ts'

/**
 * How sure one must be. `wrongFail`: the probability that a gate whose bound is kept ever fails in this step.
 * `wrongPass`: that one whose bound is broken passes it.
 */
export type Levels = Readonly<{ wrongFail: number; wrongPass: number }>

/** A bound is kept where it is certain that it is passed by no more than a tenth, so that one that is just met is decided too. */
const tolerance = 0.1
/** A rate that is certainly below one in a thousand is no worse than any other, also than none at all. */
const rateFloor = 0.001
/** A breach is glaring where the bound is certainly passed twice over, at a level that chance alone never comes to. */
const glaringFactor = 2
const glaringLevel = 1e-3

type Side = Readonly<{ verdict: GateVerdict; glaring: boolean }>

/** What is known of a gate. `recent`: only of the last requests, which tell sooner of what begins to fail. */
export type Measured = Readonly<{
  candidate: Sequence
  stable: Sequence | undefined
  recent?: Readonly<{ candidate: Sequence; stable: Sequence | undefined; wrongFail: number }> | undefined
}>

export type JudgedGate = Readonly<{ judgement: GateJudgement; glaring: boolean }>

export function judgeGate(gate: Gate, minRequests: number, { candidate, stable, recent }: Measured, levels: Levels): JudgedGate {
  const { name, bounds, measure } = gate
  const rate = measure.type === 'ErrorRate' || measure.type === 'MirrorMismatch'
  const relative = bounds.maxRatio !== undefined || bounds.minRatio !== undefined
  const base = { name, bound: boundText(bounds) }
  const missing = missingOf(candidate, relative ? stable : undefined, relative, minRequests)
  const figures = {
    ...(candidate.n > 0 && { candidate: estimate(candidate, levels.wrongPass) }),
    ...(relative && stable !== undefined && stable.n > 0 && { stable: estimate(stable, levels.wrongPass) }),
  }
  if (missing !== undefined) return { judgement: { ...base, ...figures, verdict: 'no-data', why: missing }, glaring: false }
  const sides = sidesOf(bounds, candidate, stable, levels, rate)
  if (recent !== undefined) {
    // Only what fails is looked for there: what passed must hold for all of the step.
    const failing = sidesOf(bounds, recent.candidate, recent.stable, { ...levels, wrongFail: recent.wrongFail }, rate).filter(({ verdict }) => verdict === 'fail')
    sides.push(...failing)
  }
  const verdict = worst(sides.map((side) => side.verdict))
  return { judgement: { ...base, ...figures, verdict }, glaring: sides.some(({ glaring }) => glaring) }
}

function missingOf(candidate: Sequence, stable: Sequence | undefined, relative: boolean, minRequests: number): string | undefined {
  const least = Math.max(1, minRequests)
  if (candidate.n < least) return `${candidate.n} of ${least} measured`
  return relative && (stable === undefined || stable.n === 0) ? 'nothing measured of the other variants' : undefined
}

const estimate = ({ value, low, high }: Sequence, alpha: number): Estimate => ({ value, low: low(alpha), high: high(alpha) })

function sidesOf({ max, min, maxRatio, minRatio }: Bounds, candidate: Sequence, stable: Sequence | undefined, levels: Levels, rate: boolean): Side[] {
  const { wrongFail, wrongPass } = levels
  const sides: Side[] = []
  if (max !== undefined) {
    const soft = rate && max === 0 ? rateFloor : max * (1 + tolerance)
    sides.push({
      verdict: candidate.low(wrongFail) > max ? 'fail' : candidate.high(wrongPass) <= soft ? 'pass' : 'wait',
      glaring: candidate.low(wrongFail * glaringLevel) > max * glaringFactor,
    })
  }
  if (min !== undefined) {
    sides.push({
      verdict: candidate.high(wrongFail) < min ? 'fail' : candidate.low(wrongPass) >= min * (1 - tolerance) ? 'pass' : 'wait',
      glaring: candidate.high(wrongFail * glaringLevel) < min / glaringFactor,
    })
  }
  // Two that may be wrong, so each gets half.
  const [fail, pass] = [wrongFail / 2, wrongPass / 2]
  const floor = rate ? rateFloor : Number.NEGATIVE_INFINITY
  if (maxRatio !== undefined && stable !== undefined) {
    const breaks = (alpha: number, factor: number) => candidate.low(alpha) > Math.max(maxRatio * factor * stable.high(alpha), floor)
    const keeps = candidate.high(pass) <= Math.max(maxRatio * (1 + tolerance) * stable.low(pass), floor)
    sides.push({ verdict: breaks(fail, 1) ? 'fail' : keeps ? 'pass' : 'wait', glaring: breaks(fail * glaringLevel, glaringFactor) })
  }
  if (minRatio !== undefined && stable !== undefined) {
    const breaks = (alpha: number, factor: number) => candidate.high(alpha) < (minRatio / factor) * stable.low(alpha)
    const keeps = candidate.low(pass) >= minRatio * (1 - tolerance) * stable.high(pass)
    sides.push({ verdict: breaks(fail, 1) ? 'fail' : keeps ? 'pass' : 'wait', glaring: breaks(fail * glaringLevel, glaringFactor) })
  }
  return sides
}

/** A number that others measured is what it is: nothing is known of how sure it is. */
export function judgeValue(gate: Gate, candidate: number | undefined, stable: number | undefined, why?: string): GateJudgement {
  const { name, bounds: { max, min, maxRatio, minRatio }, bounds } = gate
  const base = {
    name, bound: boundText(bounds),
    ...(candidate !== undefined && { candidate: exactly(candidate) }), ...(stable !== undefined && { stable: exactly(stable) }),
  }
  const relative = maxRatio !== undefined || minRatio !== undefined
  if (candidate === undefined || (relative && stable === undefined)) return { ...base, verdict: 'no-data', why: why ?? 'no number' }
  const keeps = (max === undefined || candidate <= max) && (min === undefined || candidate >= min)
    && (maxRatio === undefined || candidate <= maxRatio * (stable ?? 0)) && (minRatio === undefined || candidate >= minRatio * (stable ?? 0))
  return { ...base, verdict: keeps ? 'pass' : 'fail' }
}

const exactly = (value: number): Estimate => ({ value, low: value, high: value })

const order: readonly GateVerdict[] = ['fail', 'no-data', 'wait', 'pass']

/** Nothing to judge passes. */
export function worst(verdicts: readonly GateVerdict[]): GateVerdict {
  return order.find((verdict) => verdicts.includes(verdict)) ?? 'pass'
}

function boundText({ max, min, maxRatio, minRatio }: Bounds): string {
  return [
    ...(max === undefined ? [] : [`at most ${max}`]),
    ...(min === undefined ? [] : [`at least ${min}`]),
    ...(maxRatio === undefined ? [] : [`at most ${maxRatio} × stable`]),
    ...(minRatio === undefined ? [] : [`at least ${minRatio} × stable`]),
  ].join(' and ')
}
