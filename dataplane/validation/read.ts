import { isUtf8 } from 'node:buffer'
import { stringEnd } from '../protocols/json.ts'

/** Deeper than any model's input; a check follows it by calling itself. */
const depthMax = 128

const QUOTE = 0x22
const COLON = 0x3a

/**
 * The value of a body that everybody reads alike: UTF-8, JSON (RFC 8259) without NaN, and no member named twice, of which
 * one reader takes the first and another the last. Undefined: it is none.
 */
export function readPlainly(json: Buffer): { value: unknown } | undefined {
  if (!isUtf8(json)) return undefined
  let value: unknown
  try {
    value = JSON.parse(json.toString())
  } catch {
    return undefined
  }
  const members = membersOf(value, 0)
  // Of those that are named twice, one is left.
  return members !== undefined && members === written(json) ? { value } : undefined
}

/** Members of all objects; undefined: it is nested too deep. */
function membersOf(value: unknown, depth: number): number | undefined {
  if (typeof value !== 'object' || value === null) return 0
  if (depth > depthMax) return undefined
  const inner: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
  let members = inner === value ? 0 : inner.length
  for (const one of inner) {
    if (typeof one !== 'object') continue
    const below = membersOf(one, depth + 1)
    if (below === undefined) return undefined
    members += below
  }
  return members
}

/** How many members the text names: as many as it has colons outside of its strings. */
function written(json: Buffer): number {
  let count = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (byte === COLON) count++
    else if (byte === QUOTE) at = stringEnd(json, at) - 1
  }
  return count
}
