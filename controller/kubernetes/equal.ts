/** Whether two JSON values say the same; the order of an object's fields says nothing. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]))
  }
  const left = entriesOf(a)
  const right = entriesOf(b)
  return left.size === right.size && [...left].every(([field, value]) => right.has(field) && equal(value, right.get(field)))
}

/** An absent field and one that is undefined are the same in JSON. */
function entriesOf(value: object): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(value).filter(([, field]) => field !== undefined))
}
