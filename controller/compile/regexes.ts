import { re2 } from '../../table/re2.ts'

/** Why a pattern is no regular expression that a proxy would run; undefined when it is. */
export type CheckRegex = (pattern: string) => string | undefined

/** Longer than any field of the schema allows; also holds for specs that were stored before. */
const MAX_LENGTH = 4096
/** Instructions of one compiled program, as many as proxies run: a match takes at most its text's length times this. */
const MAX_PROGRAM = 500
/** Characters and instructions of a whole route: bound the time to compile them (measured: under a second). */
const MAX_CHARACTERS = 16_384
const MAX_INSTRUCTIONS = 50_000

/** Checks the patterns of one route, each once. */
export function createRegexCheck(): CheckRegex {
  const known = new Map<string, string | undefined>()
  let characters = 0
  let instructions = 0

  const check: CheckRegex = (pattern) => {
    if (pattern.length > MAX_LENGTH) {
      return `a regular expression of ${pattern.length} characters; ${MAX_LENGTH} are allowed`
    }
    characters += pattern.length
    if (characters > MAX_CHARACTERS || instructions > MAX_INSTRUCTIONS) {
      const allowance = `${MAX_CHARACTERS} characters, ${MAX_INSTRUCTIONS} instructions`
      return `is one regular expression too many: a route may have ${allowance} of them; split the route`
    }
    try {
      const size = re2().compile(pattern).programSize()
      instructions += size
      if (size <= MAX_PROGRAM) return undefined
      return `compiles to ${size} instructions; ${MAX_PROGRAM} are allowed: lower its repeats`
    } catch (cause) {
      const why = (cause instanceof Error ? cause.message : String(cause)).slice(0, 200)
      return `is no regular expression in RE2 syntax (which has no look-around and no back-references): ${why}`
    }
  }

  return (pattern) => {
    if (!known.has(pattern)) known.set(pattern, check(pattern))
    return known.get(pattern)
  }
}
