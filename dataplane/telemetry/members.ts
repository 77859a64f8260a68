import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'

/**
 * The members of a line of JSON, each with a comma before it. Lines are put together as text: for a record whose fields
 * are known that takes a third of what it takes to make an object of them and to write that.
 */
export type Members = string

/** Nothing that JSON must escape (RFC 8259 section 7), nor anything beyond ASCII. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** What stands between the quotes. */
export function quotable(text: string): string {
  return plain.test(text) ? text : JSON.stringify(text).slice(1, -1)
}

/** One text; nothing where there is none. The name is the program's own and needs no escape. */
export function textMember(name: string, value: string | undefined): Members {
  return value === undefined ? '' : `,"${name}":"${quotable(value)}"`
}

/** The same for a number. */
export const numberMember = (name: string, value: number | undefined): Members => value === undefined ? '' : `,"${name}":${value}`

export function membersOf(fields: Readonly<Record<string, unknown>>): Members {
  const text = JSON.stringify(fields)
  return text === '{}' ? '' : `,${text.slice(1, -1)}`
}

const thousandths = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'))

/** A number of milliseconds with three digits: of two small whole ones, whose digits are known. */
export function milliseconds(value: number): string {
  const whole = Math.round(value * 1000)
  return `${Math.floor(whole / 1000)}.${thousandths[whole % 1000] ?? '000'}`
}

/** What is said of something in every line about it, put together once. */
export function remembered<Key extends object>(make: (key: Key) => Members): (key: Key | undefined) => Members {
  const known = new WeakMap<Key, Members>()
  return (key) => {
    if (key === undefined) return ''
    let members = known.get(key)
    if (members === undefined) {
      members = make(key)
      known.set(key, members)
    }
    return members
  }
}

export const ruleMembers = remembered(({ route, name }: BuiltRule) => textMember('route', route) + textMember('rule', name))
export const variantMembers = remembered(({ name }: BuiltVariant) => textMember('variant', name))

let last = { at: Number.NaN, text: '' }

/** `2026-11-21T06:30:12.123Z`. Many lines are of one millisecond. */
export function timestamp(at: number): string {
  if (at !== last.at) last = { at, text: new Date(at).toISOString() }
  return last.text
}
