/**
 * Weighted choice without chance: after any number of requests each share has had its part to within one. It is
 * Tijdeman's chairman assignment: of those that have fallen far enough behind their quota, the one that would miss it
 * soonest goes next. (Smooth weighted round robin drifts by more than one with three shares.)
 */
export type Share = Readonly<{ name: string; weight: number }>

/** How far each share is behind its quota, in units of weight; undefined: nobody is owed anything yet. Outlives the table; it sums to zero. */
export type SplitState = { owed: Map<string, number> | undefined }

/** Chooses the position in `shares` of the next request; undefined when no share has a weight. `dry`: without taking it. */
export type Splitter = (dry?: boolean) => number | undefined

export function createSplitter(shares: readonly Share[], state: SplitState): Splitter {
  const total = shares.reduce((sum, { weight }) => sum + weight, 0)
  const weighted = [...shares.entries()].filter(([, share]) => share.weight > 0)
  if (total === 0) return () => undefined
  const [first] = weighted
  if (weighted.length === 1) return () => first?.[0]
  const positions = weighted.map(([position]) => position)
  const names = weighted.map(([, { name }]) => name)
  const weights = weighted.map(([, { weight }]) => weight)
  const slack = total / (2 * weights.length - 2)
  const behind = carryOver(names, total, state)

  return (dry = false) => {
    let chosen = -1
    let soonest = Number.POSITIVE_INFINITY
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i] ?? 0
      const debt = (behind[i] ?? 0) + weight
      if (!dry) behind[i] = debt
      // A rounding error must not leave nobody eligible.
      if (debt < slack - 1e-6) continue
      const deadline = (total - slack - debt) / weight
      if (deadline < soonest) {
        soonest = deadline
        chosen = i
      }
    }
    if (dry) return positions[chosen]
    behind[chosen] = (behind[chosen] ?? 0) - total
    const owed = (state.owed ??= new Map())
    for (let i = 0; i < names.length; i++) owed.set(names[i] ?? '', behind[i] ?? 0)
    return positions[chosen]
  }
}

/** An edit of the weights starts from what each share is owed, bounded to one request, and summing to zero again. */
function carryOver(names: readonly string[], total: number, state: SplitState): number[] {
  const bounded = names.map((name) => Math.max(-total, Math.min(total, state.owed?.get(name) ?? 0)))
  const mean = bounded.reduce((sum, debt) => sum + debt, 0) / names.length
  state.owed = undefined
  return bounded.map((debt) => debt - mean)
}
