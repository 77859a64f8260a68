/** What evaluations may cost, while they go on. */

/** What is left of what evaluations may cost: the values that they look at, about a tenth of a microsecond each. */
export type Effort = { left: number }

/** One evaluation may cost so much: ten milliseconds or so. */
const effortMax = 100_000
/** Characters that are searched or compared in the time of one value. */
export const textUnit = 64
/** Characters of the texts that it may give. */
const textMax = 2_097_152

/** Of the evaluation under way: evaluating waits for nothing, so that there is one at a time. */
let left = 0
let textLeft = 0

/** One evaluation; throws where it would cost more than there is left. */
export function within<T>(effort: Effort, evaluate: () => T): T {
  const given = Math.min(effort.left, effortMax)
  left = given
  textLeft = textMax
  try {
    return evaluate()
  } finally {
    effort.left -= given - Math.max(0, left)
  }
}

export function spend(cost: number): void {
  left -= cost
  if (left < 0) throw new Error('it would look at more than an expression may')
}

export function spendText(characters: number): void {
  textLeft -= characters
  if (textLeft < 0) throw new Error('it gives more text than an expression may')
}

/** What is about to be looked at, so many times. */
export function charged(value: unknown, times: bigint): unknown {
  spend(Math.max(1, Number(times) * lengthOf(value)))
  return value
}

/** The same for what is compared as a whole. */
export function chargedWhole(value: unknown): unknown {
  const pending = [value]
  while (pending.length > 0) {
    const next = pending.pop()
    spend(1 + lengthOf(next))
    if (Array.isArray(next) || next instanceof Map) for (const one of next.values()) pending.push(one)
    else if (isRecord(next)) pending.push(...Object.values(next))
  }
  return value
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return value.length / textUnit
  if (Array.isArray(value)) return value.length
  if (value instanceof Map) return value.size
  return isRecord(value) ? Object.keys(value).length : 1
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !(value instanceof Map)
