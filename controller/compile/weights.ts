/** What the effective weights of a rule add up to. */
export const WHOLE = 1_000_000

/**
 * Shares in millionths that add up to exactly one, by largest remainder; of equal remainders the earlier one wins.
 * Null when all weights are zero: nobody would take the requests.
 */
export function shares(weights: readonly number[]): readonly number[] | null {
  return apportion(weights, WHOLE)
}

/** The same of another whole. */
export function apportion(weights: readonly number[], whole: number): readonly number[] | null {
  const sum = weights.reduce((total, weight) => total + weight, 0)
  if (sum <= 0) return null
  if (weights.length === 1) return [whole]
  // Weights are at most a million each, so the products stay far below 2^53 and are exact.
  const floors = weights.map((weight) => Math.floor((weight * whole) / sum))
  const missing = whole - floors.reduce((total, share) => total + share, 0)
  if (missing === 0) return floors
  const remainders = weights.map((weight, at) => ({ at, left: (weight * whole) % sum }))
  remainders.sort((a, b) => b.left - a.left || a.at - b.at)
  for (const { at } of remainders.slice(0, missing)) floors[at] = (floors[at] ?? 0) + 1
  return floors
}

/** `95`, `33.3333`. */
export function percent(share: number): string {
  return String(share / 10_000)
}
