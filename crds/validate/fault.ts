/** What is wrong with an object, and where: `spec.rules[0].backendRefs[1].port`. Empty field: the whole object. */
export type Fault = Readonly<{ field: string; message: string }>

/** More than anyone reads; the rest shows once these are mended. */
export const MAX_FAULTS = 100

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/

/** The field below `parent`; `labels["a/b"]` where the name would not read as one. */
export function below(parent: string, name: string): string {
  if (!IDENTIFIER.test(name)) return `${parent}[${quote(name)}]`
  return parent === '' ? name : `${parent}.${name}`
}

const SHOWN = 64

/** A value from a stranger, fit for one line of a log: escaped, and short. */
export function quote(value: unknown): string {
  if (typeof value === 'string') {
    // A password in a URL must not reach statuses, events and logs.
    const safe = value.replaceAll(/\/\/[^/?#]*@/g, '//…@')
    return JSON.stringify(safe.length > SHOWN ? `${safe.slice(0, SHOWN)}…` : safe)
  }
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return kindOf(value)
}

/** What a value is, in words: `a number`. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'boolean') return 'a boolean'
  return Number.isInteger(value) ? 'an integer' : `a ${typeof value}`
}

/**
 * The known word that the given one was probably meant to be: equal but for case, or at most a third of its letters
 * away, or else the one that begins as it does. Long words are nobody's typing error, and comparing them costs the
 * product of their lengths.
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > 64) return undefined
  let best: string | undefined
  let least = Math.floor(Math.max(word.length, 3) / 3) + 1
  let alike: string | undefined
  let most = 0
  for (const candidate of known) {
    const away = word.toLowerCase() === candidate.toLowerCase() ? 0 : distance(word, candidate)
    if (away < least) {
      best = candidate
      least = away
    }
    const shared = beginning(word, candidate)
    if (shared > most) {
      alike = candidate
      most = shared
    }
  }
  return best ?? (most >= Math.max(4, word.length - 3) ? alike : undefined)
}

/** How many letters both begin with. */
function beginning(a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  return at
}

/** Levenshtein's edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
