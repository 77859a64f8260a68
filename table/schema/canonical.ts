import { spend } from './budget.ts'

/** One text for all values that JSON Schema calls equal: members in any order, numbers by what they come to. */
export function canonical(value: unknown): string {
  spend(1)
  if (typeof value === 'string') {
    spend(value.length >> 4)
    return JSON.stringify(value)
  }
  if (typeof value !== 'object' || value === null) return value === 0 ? '0' : String(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  const members: readonly [string, unknown][] = Object.entries(value)
  return `{${members.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).sort().join(',')}}`
}
