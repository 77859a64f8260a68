import { createRequire } from 'node:module'
import type * as Cel from '@marcbachmann/cel-js'

/** The library of expressions, loaded with the first of them: most tables have none. */
let loaded: typeof Cel | undefined
export function cel(): typeof Cel {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what import() would give, without waiting
  return (loaded ??= createRequire(import.meta.url)('@marcbachmann/cel-js') as typeof Cel)
}
