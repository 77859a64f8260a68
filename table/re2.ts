import { createRequire } from 'node:module'
import type * as Re2 from 're2js'

/** RE2's regular expressions, loaded with the first of them: most tables have none. */
let loaded: typeof Re2 | undefined
export function re2(): typeof Re2.RE2JS {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what import() would give, without waiting
  loaded ??= createRequire(import.meta.url)('re2js') as typeof Re2
  return loaded.RE2JS
}
