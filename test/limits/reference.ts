import type { Take } from '../../dataplane/limits/limiter.ts'

/**
 * What the algorithms mean, said as plainly as can be: everything that was ever taken is remembered, and counted anew
 * for each question. Slow, and used to hold the real ones to it.
 */
type Taken = { key: string; algorithm: Take['algorithm']; at: number; units: number; open: boolean }

const monthStart = (at: number, months = 0) => {
  const date = new Date(at)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1)
}

function windowOf(window: number | 'month', at: number, before = 0): readonly [start: number, end: number] {
  if (window === 'month') return [monthStart(at, -before), monthStart(at, 1 - before)]
  const start = Math.floor(at / window) * window - before * window
  return [start, start + window]
}

export function createReference() {
  const taken: Taken[] = []
  const within = (key: string, from: number, to: number) =>
    taken.filter((one) => one.key === key && one.at >= from && one.at < to).reduce((sum, { units }) => sum + units, 0)

  function used({ key, algorithm, amount }: Take, now: number): number {
    if (algorithm.type === 'Concurrency') {
      return taken.filter((one) => one.key === key && one.open).reduce((sum, { units }) => sum + units, 0)
    }
    const [start, end] = windowOf(algorithm.window, now)
    const length = end - start
    const span = algorithm.window === 'month' ? 365.2425 / 12 * 86_400_000 : length
    if (algorithm.type === 'FixedWindow') return within(key, start, end)
    if (algorithm.type === 'SlidingWindow') {
      return within(key, start, end) + within(key, ...windowOf(algorithm.window, now, 1)) * (1 - (now - start) / length)
    }
    if (algorithm.type === 'SlidingLog') return within(key, now - span + 1, now + 1)
    // The bucket, drop by drop.
    let level = 0
    let last = 0
    for (const one of [...taken.filter((each) => each.key === key), { at: now, units: 0 }]) {
      level = Math.max(0, level - ((one.at - last) * amount) / span) + one.units
      last = one.at
    }
    return level
  }

  return {
    used,
    /** @returns what can be settled; undefined: refused */
    take(takes: readonly Take[], now: number): readonly Taken[] | undefined {
      const fits = takes.map((take) => {
        const capacity = take.amount + (take.algorithm.type === 'TokenBucket' ? take.algorithm.burst : 0)
        return used(take, now) + (take.units === 0 && take.hold ? 1e-6 : take.units) <= capacity + 1e-9
      })
      if (takes.some(({ shadow }, i) => !shadow && !fits[i])) return undefined
      const ours = takes.map(({ key, algorithm, units }, i) => ({ key, algorithm, at: now, units: fits[i] === true ? units : 0, open: fits[i] === true }))
      taken.push(...ours)
      return ours
    },
    /** TokenBucket is left out: what was given back late is not what had never been taken. */
    settle(ours: readonly Taken[], units: readonly number[]): void {
      for (const [i, one] of ours.entries()) {
        if (one.open && one.algorithm.type !== 'TokenBucket') one.units = units[i] ?? 0
        one.open = false
      }
    },
  }
}
