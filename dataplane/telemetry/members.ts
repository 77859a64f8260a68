import type { Exchange } from '../pipeline/exchange.ts'
import { detached, recalled } from '../pipeline/recalled.ts'
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
  return plain.test(text) ? text : printable(JSON.stringify(text)).slice(1, -1)
}

/**
 * JSON leaves them as they are, but some readers of lines end one at U+0085, U+2028 and U+2029, and some terminals do what
 * the controls of C1 say.
 */
const unprintable = /[\x7f-\x9f\u2028\u2029]/g
const printable = (json: string) => json.replace(unprintable, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** One text; nothing where there is none. The name is the program's own and needs no escape. */
export function textMember(name: string, value: string | undefined): Members {
  return value === undefined ? '' : `,"${name}":"${quotable(value)}"`
}

/** The same for a number. */
export const numberMember = (name: string, value: number | undefined): Members => value === undefined ? '' : `,"${name}":${value}`

export function membersOf(fields: Readonly<Record<string, unknown>>): Members {
  const text = printable(JSON.stringify(fields))
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
      members = detached(make(key))
      known.set(key, members)
    }
    return members
  }
}

export const ruleMembers = remembered(({ route, name }: BuiltRule) => textMember('route', route) + textMember('rule', name))
export const variantMembers = remembered(({ name }: BuiltVariant) => textMember('variant', name))

/** The trace that a request is a part of: what an operator looks for next. */
export const traceMember = ({ trace }: Pick<Exchange, 'trace'>): Members => trace === undefined ? '' : `,"trace_id":"${trace.id}"`

/** The same of a text that comes again and again: a version, an address. */
export function rememberedText(name: string): (value: string) => Members {
  return recalled((value) => detached(textMember(name, value)))
}

/** What was told last, of which the next is likely to be told too. */
export type Told = { members: Members; again: boolean }

/** From the second time on it is one text, and no longer the parts of one, which would be gone through each time. */
export function toldAgain(told: Told): Members {
  if (!told.again) {
    told.members = detached(told.members)
    told.again = true
  }
  return told.members
}

let last = { at: Number.NaN, text: '' }

/** `2026-11-21T06:30:12.123Z`. Many lines are of one millisecond. */
export function timestamp(at: number): string {
  if (at !== last.at) last = { at, text: new Date(at).toISOString() }
  return last.text
}
