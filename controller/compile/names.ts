/** The order in which somebody wrote them means nothing, nor does a repeat. */
export function sorted<T extends string>(names: readonly T[] | undefined): readonly T[] {
  return [...new Set(names)].sort()
}
