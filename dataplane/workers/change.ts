import type { Active } from '../store.ts'

/** What turns one table into the next: of each map in it what is new or gone, and everything else as it is. */
export type Change = Readonly<{
  maps: Readonly<Record<string, Readonly<{ set: ReadonlyMap<string, unknown>; removed: readonly string[] }>>>
  rest: Readonly<Record<string, unknown>>
}>

/** Items that did not change are the same objects in both, so nothing is compared but their identity. */
export function changeBetween(before: Active | undefined, next: Active): Change {
  const maps: Record<string, { set: Map<string, unknown>; removed: string[] }> = {}
  const rest: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(next)) {
    if (!(value instanceof Map)) {
      rest[name] = value
      continue
    }
    const held: unknown = before && Reflect.get(before, name)
    const old: ReadonlyMap<unknown, unknown> = held instanceof Map ? held : new Map()
    const set = new Map<string, unknown>()
    for (const [id, item] of value) if (old.get(id) !== item) set.set(String(id), item)
    maps[name] = { set, removed: [...old.keys()].filter((id) => !value.has(id)).map(String) }
  }
  return { maps, rest }
}

/** The table after the change. What did not change is the same object as before. */
export function changed(before: Active | undefined, { maps, rest }: Change): Active {
  const next: Record<string, unknown> = { ...rest }
  for (const [name, { set, removed }] of Object.entries(maps)) {
    const held: unknown = before && Reflect.get(before, name)
    const map = new Map<unknown, unknown>(held instanceof Map ? held : [])
    for (const id of removed) map.delete(id)
    for (const [id, item] of set) map.set(id, item)
    next[name] = map
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- put together from the fields of one
  return next as Active
}
