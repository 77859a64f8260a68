import type { Allowance } from '../../table/schema/budget.ts'
import type { Checker } from '../../table/schema/schema.ts'
import { readPlainly } from './read.ts'
import { rowMisfits } from './tensors/rows.ts'
import type { Takes } from './tensors/takes.ts'
import { v2Misfits } from './tensors/v2.ts'
import type { Verdict } from './verdict.ts'

/** By what JSON is checked: a schema, by its key, or what a model says. `rest`: bytes that come after the JSON. */
export type By = Readonly<{ by: 'schema'; key: string }> | ByModel
export type ByModel = Readonly<{ by: 'V1' | 'V2'; takes: Takes; rest: number | undefined }>

/** Checks a body here and now. */
export function checkBySchema(json: Buffer, checker: Checker, allowance: Allowance): Verdict {
  const read = readPlainly(json)
  return read === undefined ? 'unreadable' : checker.check(read.value, allowance)
}

export function checkByModel(json: Buffer, { by, takes, rest }: ByModel): Verdict {
  return by === 'V1' ? rowMisfits(json, takes) : v2Misfits(json, rest, takes)
}
