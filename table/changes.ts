import { overlaid } from './overlay.ts'

/**
 * Maps that are replaced and never changed, and of which each knows by which keys it differs from the one before: who
 * keeps up with them looks at these, and not at thousands that are what they were. What is known is a help and not the
 * truth of it: without it, both maps are compared.
 */

type Step = Readonly<{ since: WeakRef<ReadonlyMap<string, unknown>>; keys: ReadonlySet<string> }>

const steps = new WeakMap<ReadonlyMap<string, unknown>, Step>()

/** Versions that are gone back over, before comparing is no more work. */
const stepsMax = 64

/** Says in what a map may differ from an earlier one; every other key is as it was there. */
export function differsIn<T extends ReadonlyMap<string, unknown>>(map: T, since: ReadonlyMap<string, unknown>, keys: ReadonlySet<string>): T {
  steps.set(map, { since: new WeakRef(since), keys })
  return map
}

/** The same map with these entries set, and those that are undefined gone; itself where it has them so. */
export function changedMap<V>(before: ReadonlyMap<string, V>, entries: Iterable<readonly [key: string, value: V | undefined]>): ReadonlyMap<string, V> {
  const changes = new Map<string, V | undefined>()
  for (const [key, value] of entries) {
    if ((changes.has(key) ? changes.get(key) : before.get(key)) !== value) changes.set(key, value)
  }
  return changes.size === 0 ? before : differsIn(overlaid(before, changes), before, new Set(changes.keys()))
}

/** The keys in which they may differ, as far as that is known without comparing them. */
export function knownDifference(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): ReadonlySet<string> | undefined {
  if (before === after) return new Set()
  let keys: ReadonlySet<string> | undefined
  let own: Set<string> | undefined
  let at: ReadonlyMap<string, unknown> | undefined = after
  for (let count = 0; count < stepsMax; count++) {
    const step: Step | undefined = at && steps.get(at)
    if (step === undefined) return undefined
    if (keys === undefined) ({ keys } = step)
    else {
      own ??= new Set(keys)
      for (const key of step.keys) own.add(key)
    }
    at = step.since.deref()
    if (at === before) return own ?? keys
  }
  return undefined
}

/** The keys in which they differ, and perhaps some others. */
export function differences(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): ReadonlySet<string> {
  const known = knownDifference(before, after)
  if (known !== undefined) return known
  const keys = new Set<string>()
  for (const [key, value] of after) if (before.get(key) !== value) keys.add(key)
  for (const key of before.keys()) if (!after.has(key)) keys.add(key)
  return keys
}
