import type { Snapshot } from '../sources/snapshot.ts'
import { type CompiledSet, compileSet, partsOf, sameSet } from './endpoints.ts'
import type { CompileOptions } from './spec.ts'
import type { SetSource } from './targets.ts'

export type Sets = Readonly<{
  byId: ReadonlyMap<string, CompiledSet>
  /** Routes that have a variant with one of the sets that are other than before, or new. */
  users: ReadonlySet<string>
  /** Other than before, or new. */
  changed: ReadonlySet<string>
}>

type Entry = { source: SetSource; users: Set<string>; parts?: readonly unknown[] }

export type EndpointSets = Readonly<{
  /** Says which sets a route uses from now on. */
  use: (route: string, sources: readonly SetSource[]) => void
  compile: (snapshot: Snapshot) => Sets
}>

/** Compiles the endpoint sets that routes use; one is compiled again only when its Service or slices changed. */
export function createSets(options: CompileOptions): EndpointSets {
  const entries = new Map<string, Entry>()
  const used = new Map<string, readonly string[]>()
  const byId = new Map<string, CompiledSet>()
  const fresh = new Set<string>()
  let before: Snapshot | undefined

  const use = (route: string, sources: readonly SetSource[]): void => {
    const now = new Set(sources.map(({ id }) => id))
    for (const id of used.get(route) ?? []) {
      const users = entries.get(id)?.users
      if (now.has(id) || !users) continue
      users.delete(route)
      if (users.size > 0) continue
      entries.delete(id)
      byId.delete(id)
      fresh.delete(id)
    }
    for (const source of sources) {
      const entry = entries.get(source.id)
      if (entry) entry.users.add(route)
      else {
        entries.set(source.id, { source, users: new Set([route]) })
        fresh.add(source.id)
      }
    }
    if (now.size > 0) used.set(route, [...now])
    else used.delete(route)
  }

  const compile = (snapshot: Snapshot): Sets => {
    const changed = new Set<string>()
    const users = new Set<string>()
    const look = (id: string, entry: Entry): void => {
      const now = partsOf(entry.source, snapshot)
      if (entry.parts?.every((part, at) => part === now[at])) return
      entry.parts = now
      const old = byId.get(id)
      const after = compileSet(entry.source, snapshot, options)
      const same = old !== undefined && sameSet(old.set, after.set)
      if (same && old.note === after.note) return
      byId.set(id, same ? { ...after, set: old.set } : after)
      changed.add(id)
      for (const user of entry.users) users.add(user)
    }
    if (before && sameEndpoints(before, snapshot)) {
      for (const id of fresh) {
        const entry = entries.get(id)
        if (entry) look(id, entry)
      }
    } else for (const [id, entry] of entries) look(id, entry)
    fresh.clear()
    before = snapshot
    return { byId, users, changed }
  }

  return { use, compile }
}

function sameEndpoints(a: Snapshot, b: Snapshot): boolean {
  return (
    a.endpointSlices === b.endpointSlices && a.services === b.services && a.inferenceServices === b.inferenceServices
  )
}
