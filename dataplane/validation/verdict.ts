import type { Misfit } from '../../table/schema/schema.ts'
import { failure, type Failure } from '../pipeline/errors.ts'

/**
 * What came of a check. `unreadable`: it is not JSON that everybody reads alike. `costly`: it would take more work than a
 * check is given. `busy`: more is waiting to be checked than can.
 */
export type Verdict = 'fits' | 'unreadable' | 'costly' | 'busy' | readonly Misfit[]

/** Characters of a line about a body, which anybody may have written. */
const lineMax = 1500
const pointerMax = 200

/** One line for people: places, and what is wrong there. */
function told(misfits: readonly Misfit[]): string {
  let line = ''
  for (const [at, { pointer, why }] of misfits.entries()) {
    const more = `${at === 0 ? '' : '; '}${pointer === '' ? 'the whole' : shortened(pointer)} ${why}`
    if (line.length + more.length > lineMax) return `${line}; and ${misfits.length - at} more`
    line += more
  }
  return line
}

const shortened = (pointer: string) => (pointer.length > pointerMax ? `${pointer.slice(0, pointerMax)}…` : pointer)

/** Why a request is not served; undefined: it fits. */
export function requestFailure(verdict: Verdict): Failure | undefined {
  if (verdict === 'fits') return undefined
  if (verdict === 'unreadable') return unreadable
  if (verdict === 'costly') return costly
  if (verdict === 'busy') return busy
  return { ...failure('schema_mismatch', `The body of the request does not fit: ${told(verdict)}`), ...paramOf(verdict), faults: verdict, cause: placesOf(verdict) }
}

const paramOf = ([first]: readonly Misfit[]) => first && { param: first.pointer }

/** What is wrong with an answer, for the log; undefined: nothing. */
export function mismatchOf(verdict: Verdict): string | undefined {
  if (verdict === 'fits') return undefined
  if (verdict === 'unreadable') return 'not JSON'
  if (verdict === 'costly') return 'takes more work to check than is given to it'
  if (verdict === 'busy') return 'too many wait to be checked'
  return placesOf(verdict)
}

/** The same without what the schema says. */
function placesOf(misfits: readonly Misfit[]): string {
  const shown = misfits.slice(0, 4).map(({ pointer }) => (pointer === '' ? '(the whole)' : shortened(pointer)))
  return `${shown.join(' ')}${misfits.length > shown.length ? ` and ${misfits.length - shown.length} more` : ''}`
}

/** Why an answer does not go out; undefined: it fits. */
export function answerFailure(verdict: Verdict): Failure | undefined {
  const cause = mismatchOf(verdict)
  if (cause === undefined) return undefined
  return verdict === 'busy' ? { ...busy, cause } : { ...failure('response_schema_mismatch', 'The answer of the model is not what it should be.'), cause }
}

const unreadable = failure('invalid_request', 'The body is not one value of JSON in UTF-8 with every member named once.')
const costly = failure('schema_mismatch', 'The body of the request takes more work to check than is given to one.')
const busy = failure('overloaded', 'The gateway has more to check than it can at present.')
