import { isRecord } from './api.ts'

/** Whether two JSON values say the same; the order of an object's fields says nothing, and one that is undefined is as if it were absent. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]))
  if (!isRecord(a) || !isRecord(b)) return false
  // Every event of a watch is compared with what is held: nothing is made for that but the lists of fields.
  let fields = 0
  for (const field of Object.keys(a)) {
    if (a[field] === undefined) continue
    if (!Object.hasOwn(b, field) || !equal(a[field], b[field])) return false
    fields++
  }
  for (const field of Object.keys(b)) if (b[field] !== undefined) fields--
  return fields === 0
}
