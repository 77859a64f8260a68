import { isUtf8 } from 'node:buffer'
import { segmentsOf } from '../json/pointer.ts'

/** Larger ones are what their bytes are: the canonical form is made at some 15 MB a second. */
const canonicalMax = 65_536
const depthMax = 64

/** A value: what has no parts is its canonical text already. */
export type Canonical = string | readonly Canonical[] | ReadonlyMap<string, Canonical>

/**
 * The one form of all JSON texts that say the same: members in one order, no white space, each character and each
 * number written in one way. Numbers keep every digit, whatever a double would make of them (RFC 8259 section 6):
 * 1 = 1.0 = 10e-1, and 0.1 is not 0.10000000000000001. -0 is not 0. Undefined for what some reader could take for
 * something else, and for what is large: members named twice, other encodings than UTF-8, deep nesting.
 */
export function canonicalOf(body: Buffer): Canonical | undefined {
  if (body.length === 0 || body.length > canonicalMax || !isUtf8(body)) return undefined
  return new Reader(body.toString()).whole()
}

export function textOf(value: Canonical): string {
  if (typeof value === 'string') return value
  if (!(value instanceof Map)) return `[${arrayOf(value).map(textOf).join()}]`
  const members = [...value as ReadonlyMap<string, Canonical>].sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${textOf(member)}`).join()}}`
}

const arrayOf = (value: readonly Canonical[] | ReadonlyMap<string, Canonical>): readonly Canonical[] => (Array.isArray(value) ? value as readonly Canonical[] : [])

/** What a JSON Pointer (RFC 6901) leads to; undefined where there is nothing. */
export function valueAt(value: Canonical, pointer: string): Canonical | undefined {
  let at: Canonical | undefined = value
  for (const name of segmentsOf(pointer)) {
    if (typeof at !== 'object') return undefined
    at = at instanceof Map ? (at as ReadonlyMap<string, Canonical>).get(name) : /^(?:0|[1-9]\d{0,8})$/.test(name) ? arrayOf(at)[Number(name)] : undefined
  }
  return at
}

const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const space = /[ \t\n\r]*/y
// oxlint-disable-next-line no-control-regex -- what JSON does not let stand in a string
const control = /[\u0000-\u001f]/

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  whole(): Canonical | undefined {
    const value = this.#value(0)
    this.#skip()
    return this.#at === this.#text.length ? value : undefined
  }

  #skip(): void {
    const next = this.#text.charCodeAt(this.#at)
    if (next > 0x20) return
    space.lastIndex = this.#at
    space.test(this.#text)
    this.#at = space.lastIndex
  }

  #takes(character: string): boolean {
    this.#skip()
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #value(depth: number): Canonical | undefined {
    this.#skip()
    switch (this.#text[this.#at]) {
      case '{': return depth < depthMax ? this.#object(depth) : undefined
      case '[': return depth < depthMax ? this.#array(depth) : undefined
      case '"': return this.#string()
      case 't': return this.#word('true')
      case 'f': return this.#word('false')
      case 'n': return this.#word('null')
      default: return this.#number()
    }
  }

  #object(depth: number): Canonical | undefined {
    this.#at++
    const members = new Map<string, Canonical>()
    if (this.#takes('}')) return members
    do {
      this.#skip()
      const quoted = this.#text[this.#at] === '"' ? this.#string() : undefined
      if (quoted === undefined || !this.#takes(':')) return undefined
      const name = quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1)
      const value = this.#value(depth + 1)
      if (value === undefined || members.has(name)) return undefined
      members.set(name, value)
    } while (this.#takes(','))
    return this.#takes('}') ? members : undefined
  }

  #array(depth: number): Canonical | undefined {
    this.#at++
    const items: Canonical[] = []
    if (this.#takes(']')) return items
    do {
      const value = this.#value(depth + 1)
      if (value === undefined) return undefined
      items.push(value)
    } while (this.#takes(','))
    return this.#takes(']') ? items : undefined
  }

  #string(): string | undefined {
    const text = this.#text
    const from = this.#at
    let end = text.indexOf('"', from + 1)
    while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
    if (end === -1) return undefined
    this.#at = end + 1
    const quoted = text.slice(from, end + 1)
    if (control.test(quoted)) return undefined
    if (!quoted.includes('\\')) return quoted
    try {
      return JSON.stringify(JSON.parse(quoted))
    } catch {
      return undefined
    }
  }

  #word(word: string): string | undefined {
    if (!this.#text.startsWith(word, this.#at)) return undefined
    this.#at += word.length
    return word
  }

  #number(): string | undefined {
    number.lastIndex = this.#at
    const found = number.exec(this.#text)?.[0]
    if (found === undefined) return undefined
    this.#at += found.length
    return numberOf(found)
  }
}

function isEscaped(text: string, quote: number): boolean {
  let slashes = 0
  while (text[quote - 1 - slashes] === '\\') slashes++
  return slashes % 2 === 1
}

/** Sign, the digits that count, and what power of ten they are multiplied by. Undefined: the power is none that anybody reads. */
function numberOf(written: string): string | undefined {
  const [, sign = '', whole = '', fraction = '', power = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]\+?(-?\d+))?$/.exec(written) ?? []
  const digits = (whole + fraction).replace(/^0+/, '')
  if (digits === '') return `${sign}0`
  if (power.length > 15) return undefined
  const kept = trimmed(digits)
  return `${sign}${kept}e${Number(power) - fraction.length + digits.length - kept.length}`
}

/** Without its last zeros; a regular expression takes the square of their number for it. */
function trimmed(digits: string): string {
  let end = digits.length
  while (digits[end - 1] === '0') end--
  return digits.slice(0, end)
}
