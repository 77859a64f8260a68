import * as fc from 'fast-check'
import type { Take } from '../../dataplane/limits/limiter.ts'

/** 27 February 2026, 23:59:50 UTC: the end of a day soon, and of a short month a little later. */
export const epoch = Date.UTC(2026, 1, 27, 23, 59, 50)

function algorithms(milliseconds: readonly number[]): fc.Arbitrary<Take['algorithm']> {
  const window = fc.oneof(fc.constantFrom(...milliseconds), fc.constant('month' as const))
  return fc.oneof(
    fc.record({ type: fc.constantFrom('FixedWindow' as const, 'SlidingWindow' as const, 'SlidingLog' as const), window }),
    fc.record({ type: fc.constant('TokenBucket' as const), window, burst: fc.nat(5) }),
    fc.record({ type: fc.constant('Concurrency' as const) }),
  )
}

/** One to four limits of one rule, with windows of these lengths or a month. */
export const limits = (...milliseconds: readonly number[]) =>
  fc.array(fc.record({ algorithm: algorithms(milliseconds), amount: fc.nat(12), shadow: fc.boolean() }), { minLength: 1, maxLength: 4 })

export const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('take' as const), units: fc.array(fc.nat(4), { minLength: 4, maxLength: 4 }), key: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('settle' as const), which: fc.nat(), units: fc.array(fc.nat(4), { minLength: 4, maxLength: 4 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.oneof(fc.nat(120), fc.nat(5000), fc.nat(40 * 86_400_000)) }) },
  ),
  { maxLength: 60 },
)

type Limit = Readonly<{ algorithm: Take['algorithm']; amount: number; shadow: boolean }>

export function takesOf(of: readonly Limit[], key: number, units: readonly number[]): Take[] {
  return of.map(({ algorithm, amount, shadow }, i) => ({
    key: `ml/tiers/limit-${i} ${algorithm.type} ${key}`,
    algorithm, amount, shadow,
    units: units[i] ?? 0,
    hold: true,
    scope: 'Global',
    onStoreFailure: 'Local',
  }))
}
