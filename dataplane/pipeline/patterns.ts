import { re2 } from '../../table/re2.ts'

/** Tests a whole text in time linear in its length, whatever the pattern. */
export type Pattern = (text: string) => boolean

const patternMax = 4096
/** Instructions. The time for one text is at most its length (16 KiB) times this, some tens of milliseconds. */
const programMax = 500
const cacheMax = 10_000

export type Patterns = Readonly<{ compile(source: string): Pattern | string }>

/** Compiles each pattern once, for all tables; a pattern that must not run is answered with the reason. */
export function createPatterns(): Patterns {
  const compiled = new Map<string, Pattern | string>()
  return {
    compile(source) {
      const found = compiled.get(source)
      if (found !== undefined) return found
      if (compiled.size >= cacheMax) compiled.clear()
      const pattern = compile(source)
      compiled.set(source, pattern)
      return pattern
    },
  }
}

function compile(source: string): Pattern | string {
  if (source.length > patternMax) return `the regular expression has more than ${patternMax} characters`
  try {
    const re = re2().compile(source)
    if (re.programSize() > programMax) return `the regular expression compiles to more than ${programMax} instructions`
    return (text) => re.testExact(text)
  } catch (error) {
    return `the regular expression is not RE2 syntax: ${error instanceof Error ? error.message : String(error)}`
  }
}
