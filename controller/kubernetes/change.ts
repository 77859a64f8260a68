/** Before without after: deleted. An object deleted and created again is two changes, never one. */
export type Change<T> = Readonly<{ key: string; before?: T; after?: T }>

/** An object as it is held, by `namespace/name`. */
export type Entry<T> = Readonly<{ uid: string; resourceVersion: string; value: T }>

export function changesOf<T>(key: string, before: Entry<T> | undefined, after: Entry<T>): readonly Change<T>[] {
  if (before === undefined) return [{ key, after: after.value }]
  if (before.uid !== after.uid) return [{ key, before: before.value }, { key, after: after.value }]
  return before.value === after.value ? [] : [{ key, before: before.value, after: after.value }]
}

/** What a whole list says, of one that was held before. */
export function changesBetween<T>(before: ReadonlyMap<string, Entry<T>>, after: ReadonlyMap<string, Entry<T>>): readonly Change<T>[] {
  const changes: Change<T>[] = []
  for (const [key, entry] of before) if (!after.has(key)) changes.push({ key, before: entry.value })
  for (const [key, entry] of after) changes.push(...changesOf(key, before.get(key), entry))
  return changes
}
