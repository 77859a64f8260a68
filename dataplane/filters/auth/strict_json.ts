/** A token that nests deeper than this means to hurt. */
const depthMax = 16

const strings = /"(?:[^"\\]|\\.)*"/y
const between = /[^"{}[\],:]+/y

/**
 * The members of a JSON object, or undefined where the text is no object, nests too deep, or names a member twice: of
 * two, JSON.parse takes the last and others the first, and a token must not mean two things (RFC 7515 section 4,
 * RFC 7519 section 4).
 */
export function parseObject(text: string): ReadonlyMap<string, unknown> | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || ambiguous(text)) return undefined
  return new Map(Object.entries(value))
}

/** Of a text that is JSON: whether it nests too deep or some object in it has two members of one name. */
function ambiguous(text: string): boolean {
  /** The names of each object that is open; undefined for an array. */
  const open: (Set<unknown> | undefined)[] = []
  let name: string | undefined
  for (let i = 0; i < text.length;) {
    const char = text[i]
    if (char === '"') {
      strings.lastIndex = i
      name = strings.exec(text)?.[0]
      if (name === undefined) return true
      i += name.length
      continue
    }
    if (char === '{' || char === '[') {
      if (open.push(char === '{' ? new Set() : undefined) > depthMax) return true
    } else if (char === '}' || char === ']') open.pop()
    else if (char === ':') {
      const names = open.at(-1)
      // Two spellings, one name: "a" and "\u0061".
      const key: unknown = JSON.parse(name ?? '""')
      if (names === undefined || names.has(key)) return true
      names.add(key)
    } else if (char !== ',') {
      between.lastIndex = i
      i += between.exec(text)?.[0].length ?? 1
      continue
    }
    i++
  }
  return false
}
