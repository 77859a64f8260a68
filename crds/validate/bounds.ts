import { isObject } from './fault.ts'
import type { Fault } from './fault.ts'

/**
 * What an object may be before anything else looks at it. The API server stops at 1.5 MiB (etcd's limit); YAML aliases
 * can make more of a small file, or a circle, so shared parts count each time they are met.
 */
const MAX_VALUES = 100_000
const MAX_CHARACTERS = 1_500_000
const MAX_DEPTH = 100

/** Without recursion: the depth is the stranger's choice. */
export function oversize(root: unknown): Fault | undefined {
  let level: unknown[] = [root]
  let values = 0
  let characters = 0
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return { field: '', message: `is nested deeper than ${MAX_DEPTH} levels` }
    const next: unknown[] = []
    for (const value of level) {
      if (typeof value === 'string') characters += value.length
      else if (Array.isArray(value)) {
        values += value.length
        if (values > MAX_VALUES) break
        for (const inside of value) next.push(inside)
      } else if (isObject(value)) {
        for (const [key, inside] of Object.entries(value)) {
          values += 1
          characters += key.length
          next.push(inside)
        }
      }
      if (values > MAX_VALUES) break
    }
    if (values > MAX_VALUES) return { field: '', message: `has more than ${MAX_VALUES} values` }
    if (characters > MAX_CHARACTERS) return { field: '', message: `has more than ${MAX_CHARACTERS} characters` }
    level = next
  }
  return undefined
}
