import { createRequire } from 'node:module'
import type * as Ajv from 'ajv/dist/2020.js'

/** Loaded with the first schema: it brings ninety modules, and most proxies see none. */
let loaded: typeof Ajv | undefined
export function ajv(): typeof Ajv {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what import() would give, without waiting
  return (loaded ??= createRequire(import.meta.url)('ajv/dist/2020.js') as typeof Ajv)
}
