/** The members of a JSON object, by name; each value is still text, and parsed when somebody asks for it. */
export type Members = Readonly<{
  value(name: string): unknown
  /** Where in the body its value stands. */
  place(name: string): readonly [from: number, to: number] | undefined
  names(): Iterable<string>
}>

/** More than any API has, and a bound on what one body can make us keep. */
const membersMax = 1000

const code = (character: string) => character.charCodeAt(0)
const QUOTE = code('"')
const BACKSLASH = code('\\')
const OPEN = code('{')
const CLOSE = code('}')
const COLON = code(':')
const COMMA = code(',')

/** What may stand outside of a string: 1 for brackets that open, 2 for those that close, 3 for the rest. */
const outside = new Uint8Array(256)
for (const character of ' \t\r\n,:+-.0123456789eEtrufalsn') outside[code(character)] = 3
for (const character of '{[') outside[code(character)] = 1
for (const character of '}]') outside[code(character)] = 2

/**
 * Finds the members of a JSON object without building what they hold. Undefined where some reader could find others:
 * comments, other quotes, another encoding, and a member that is named twice (`Model` beside `model` too, since Go's
 * encoding/json takes one for the other).
 */
export function membersOf(body: Buffer): Members | undefined {
  const found = new Map<string, readonly [from: number, to: number]>()
  const names = new Set<string>()
  let at = space(body, 0)
  if (body[at] !== OPEN) return undefined
  at = space(body, at + 1)
  if (body[at] === CLOSE) return space(body, at + 1) === body.length ? read(body, found) : undefined
  for (;;) {
    const keyEnd = stringEnd(body, at)
    const key = keyEnd === -1 ? undefined : parse(body, at, keyEnd)
    if (typeof key !== 'string') return undefined
    at = space(body, keyEnd)
    if (body[at] !== COLON) return undefined
    const from = space(body, at + 1)
    const to = valueEnd(body, from)
    const folded = key.toUpperCase().toLowerCase()
    if (to <= from || names.has(folded) || names.size >= membersMax) return undefined
    names.add(folded)
    found.set(key, [from, to])
    at = space(body, to)
    if (body[at] === CLOSE) return space(body, at + 1) === body.length ? read(body, found) : undefined
    if (body[at] !== COMMA) return undefined
    at = space(body, at + 1)
  }
}

function read(body: Buffer, found: ReadonlyMap<string, readonly [from: number, to: number]>): Members {
  return {
    value(name) {
      const place = found.get(name)
      return place && parse(body, place[0], place[1])
    },
    place: (name) => found.get(name),
    names: () => found.keys(),
  }
}

function parse(body: Buffer, from: number, to: number): unknown {
  try {
    return JSON.parse(body.toString('utf8', from, to))
  } catch {
    return undefined
  }
}

export function space(body: Buffer, from: number): number {
  let at = from
  for (let byte = body[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = body[at]) at++
  return at
}

/** Where the string ends that begins at `from`; -1: there is none. */
export function stringEnd(body: Buffer, from: number): number {
  if (body[from] !== QUOTE) return -1
  for (let quote = body.indexOf(QUOTE, from + 1); quote !== -1; quote = body.indexOf(QUOTE, quote + 1)) {
    let slashes = 0
    while (body[quote - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return quote + 1
  }
  return -1
}

/** Where the value ends that begins at `from`: at the comma or the brace after it. -1: it holds what JSON has not. */
function valueEnd(body: Buffer, from: number): number {
  let depth = 0
  for (let at = from; at < body.length; at++) {
    const byte = body[at] ?? 0
    if (byte === QUOTE) {
      const end = stringEnd(body, at)
      if (end === -1) return -1
      at = end - 1
      continue
    }
    if (depth === 0 && (byte === COMMA || byte === CLOSE)) return at
    const kind = outside[byte]
    if (kind === 0) return -1
    if (kind === 1) depth++
    else if (kind === 2 && --depth < 0) return -1
  }
  return -1
}
