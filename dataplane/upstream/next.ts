import type { Variant } from '../../table/route.ts'
import { createSplitter, type SplitState, type Splitter } from './split.ts'

/** How far each share of each priority is behind; outlives the table. */
export type Tiers = Map<number, SplitState>

/** Who takes a request after these could not; undefined: nobody is left. `dry`: without taking a turn. */
export type Next<V> = (passed: readonly V[], dry?: boolean) => V | undefined

/**
 * A higher priority is used when no lower one can take the request: so the others of the lowest priority come first, the
 * largest share before the smaller, and then those of the next priority, the first of them by their weights.
 * Undefined where all variants have one priority: then each answers for its own share, so that what is broken shows.
 */
export function createNext<V>(variants: readonly Variant[], built: readonly V[], state: { tiers?: Tiers | undefined }): Next<V> | undefined {
  if (variants.every(({ priority }) => priority === variants[0]?.priority)) return undefined
  const tiers: Tiers = (state.tiers ??= new Map())
  const levels = [...new Set(variants.map(({ priority }) => priority))].toSorted((a, b) => a - b)
    .map((level) => levelOf(level, variants, built, tiers))
  for (const known of tiers.keys()) if (!variants.some(({ priority }) => priority === known)) tiers.delete(known)
  return (passed, dry) => {
    for (const { members, split } of levels) {
      const left = members.filter(({ variant }) => !passed.includes(variant))
      if (left.length === 0) continue
      const chosen = left.length === members.length ? split(dry) : undefined
      return (members.find(({ at }) => at === chosen) ?? left[0])?.variant
    }
    return undefined
  }
}

function levelOf<V>(level: number, variants: readonly Variant[], built: readonly V[], tiers: Tiers) {
  const state: SplitState = tiers.get(level) ?? { owed: undefined }
  tiers.set(level, state)
  const split: Splitter = createSplitter(variants.map((one) => one.priority === level ? one : { ...one, weight: 0 }), state)
  const members = [...variants.entries()].filter(([, { priority, weight }]) => priority === level && weight > 0)
    .toSorted(([, a], [, b]) => b.weight - a.weight)
    .flatMap(([at]) => {
      const variant = built[at]
      return variant === undefined ? [] : [{ at, variant }]
    })
  return { members, split }
}
