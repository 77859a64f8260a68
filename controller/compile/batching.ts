import type { Batching } from '../../table/batching.ts'
import type { Rule } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote, warning } from './problems.ts'
import type { BatchingSpec } from './spec.ts'

/** Undefined where nothing is joined. */
export function compileBatching(batching: BatchingSpec | undefined, timeouts: Rule['timeouts'], place: string, problems: Problem[]): Batching | undefined {
  if (batching === undefined) return undefined
  const { maxSize, maxDelay: text, scope = 'Principal' } = batching
  const maxDelay = parseDuration(text)
  if (maxDelay === null) problems.push(invalid(`${place}.maxDelay`, `${quote(text)} is no duration; write one such as 5ms or 1s`))
  const { request = 0 } = timeouts
  if (maxDelay !== null && request > 0 && maxDelay >= request) {
    problems.push(invalid(`${place}.maxDelay`, `a request would wait for others as long as it may take in all (timeouts.request, ${request} ms); lower it`))
  }
  if (maxSize === 1) problems.push(warning(`${place}.maxSize`, 'Invalid', 'calls of one prediction are what there is without batching; raise it, or remove batching'))
  return { maxSize, maxDelay: maxDelay ?? 0, scope }
}
