import type { By } from './check.ts'
import type { Verdict } from './verdict.ts'

/** What a thread that checks is told, one check after the other. `schema`: as JSON; it is learned before the first check by it. */
export type ToThread =
  | Readonly<{ type: 'learn'; key: string; schema: string }>
  | Readonly<{ type: 'forget' }>
  | Readonly<{ type: 'check'; by: By; pieces: readonly Uint8Array[] }>

/** What came of the check. */
export type FromThread = Verdict
