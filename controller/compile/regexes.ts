import { RE2JS } from 're2js'

/** Longer than any field of the schema allows; also holds for specs that were stored before. */
const MAX_LENGTH = 4096
/** Instructions of the compiled program: bounds its memory and the time of a match, which is linear in it. */
const MAX_PROGRAM = 20_000

/** Why this is no regular expression that a proxy would run; undefined when it is. */
export function regexFault(pattern: string): string | undefined {
  if (pattern.length > MAX_LENGTH) {
    return `a regular expression of ${pattern.length} characters; ${MAX_LENGTH} are allowed`
  }
  try {
    const size = RE2JS.compile(pattern).programSize()
    if (size > MAX_PROGRAM) return `compiles to ${size} instructions; ${MAX_PROGRAM} are allowed: lower its repeats`
    return undefined
  } catch (cause) {
    const why = (cause instanceof Error ? cause.message : String(cause)).slice(0, 200)
    return `is no regular expression in RE2 syntax (which has no look-around and no back-references): ${why}`
  }
}
