import type { Snapshot } from '../sources/snapshot.ts'

export type SharedItems<Source, Item> = Readonly<{
  /** Says what a route uses from now on. */
  use: (route: string, sources: readonly Source[]) => void
  /** What of it is other than before, or new. */
  compile: (snapshot: Snapshot) => Readonly<{ get: (id: string) => Item | undefined; changed: ReadonlySet<string> }>
}>

type Making<Source, Item> = Readonly<{
  make: (id: string, sources: readonly Source[], snapshot: Snapshot) => Item
  /** Nothing that any of them is made of differs. */
  same: (a: Snapshot, b: Snapshot) => boolean
}>

/** Keeps the items that routes name, as long as any does; one that comes out equal keeps its identity. */
export function createShared<Source extends Readonly<{ id: string }>, Item>(
  { make, same }: Making<Source, Item>,
): SharedItems<Source, Item> {
  const users = new Map<string, Map<string, readonly Source[]>>()
  const used = new Map<string, readonly string[]>()
  const byId = new Map<string, Item>()
  const stale = new Set<string>()
  let before: Snapshot | undefined

  const use = (route: string, sources: readonly Source[]): void => {
    const ids = [...new Set(sources.map(({ id }) => id))]
    for (const id of used.get(route) ?? []) {
      const of = users.get(id)
      of?.delete(route)
      stale.add(id)
    }
    for (const id of ids) {
      const of = users.get(id) ?? new Map<string, readonly Source[]>()
      users.set(id, of)
      of.set(route, sources.filter((source) => source.id === id))
      stale.add(id)
    }
    if (ids.length > 0) used.set(route, ids)
    else used.delete(route)
  }

  const compile = (snapshot: Snapshot) => {
    const changed = new Set<string>()
    const look = before && same(before, snapshot) ? [...stale] : new Set([...stale, ...users.keys()])
    before = snapshot
    stale.clear()
    for (const id of look) {
      const sources = [...(users.get(id)?.values() ?? [])].flat()
      if (sources.length === 0) {
        users.delete(id)
        byId.delete(id)
        continue
      }
      const item = make(id, sources, snapshot)
      const known = byId.get(id)
      if (known !== undefined && JSON.stringify(known) === JSON.stringify(item)) continue
      byId.set(id, item)
      changed.add(id)
    }
    return { get: (id: string) => byId.get(id), changed }
  }

  return { use, compile }
}
