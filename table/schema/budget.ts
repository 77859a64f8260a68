/** What a check may take: steps of some tens of nanoseconds each, and time by a clock of its caller's. */
export type Allowance = Readonly<{ steps: number; until?: number; now?: () => number }>

/** Thrown inside of a check, and caught by who started it. */
export class Exhausted extends Error {}

/** Steps between two looks at the clock. */
const stretch = 512

/** Of the check under way. One is done in one go, so that one is enough. */
let allowance: Allowance = { steps: 0 }
let left = 0
let look = 0

export function allow(given: Allowance): void {
  allowance = given
  left = given.steps
  look = Math.max(0, left - stretch)
}

export function spend(steps: number): void {
  left -= steps
  if (left >= look) return
  look = Math.max(0, left - stretch)
  const { until = Number.POSITIVE_INFINITY, now } = allowance
  if (left < 0 || (now?.() ?? 0) > until) throw new Exhausted('too much work')
}

/** What it takes to begin with a value. @param members what each member of an object costs more */
export function enter(steps: number, members: number, value: unknown): void {
  spend(steps)
  if (typeof value === 'string') spend(value.length >> 4)
  else if (members > 0 && typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const _ in value) spend(members)
  }
}
