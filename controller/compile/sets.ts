import type { Snapshot } from '../sources/snapshot.ts'
import { type CompiledSet, compileSet, partsOf, sameSet } from './endpoints.ts'
import type { CompileOptions } from './spec.ts'
import type { SetSource } from './targets.ts'

export type Sets = Readonly<{
  byId: ReadonlyMap<string, CompiledSet>
  /** Other than before, or new. */
  changed: ReadonlySet<string>
}>

/** Compiles the wanted endpoint sets; one is compiled again only when its Service or slices changed. */
export function createSets(options: CompileOptions): (wanted: ReadonlyMap<string, SetSource>, snapshot: Snapshot) => Sets {
  const byId = new Map<string, CompiledSet>()
  const parts = new Map<string, readonly unknown[]>()

  return (wanted, snapshot) => {
    const changed = new Set<string>()
    for (const [id, source] of wanted) {
      const now = partsOf(source, snapshot)
      if (parts.get(id)?.every((part, at) => part === now[at])) continue
      parts.set(id, now)
      const before = byId.get(id)
      const after = compileSet(source, snapshot, options)
      if (before && before.note === after.note && sameSet(before.set, after.set)) continue
      const set = before && sameSet(before.set, after.set) ? before.set : after.set
      byId.set(id, { ...after, set })
      changed.add(id)
    }
    for (const id of byId.keys()) {
      if (wanted.has(id)) continue
      byId.delete(id)
      parts.delete(id)
    }
    return { byId, changed }
  }
}
