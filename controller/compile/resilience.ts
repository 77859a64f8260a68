import type { FallbackResponse, Hedge, Retry } from '../../table/resilience.ts'
import type { Rule } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote, warning } from './problems.ts'
import type { RuleSpec } from './spec.ts'

/** What stands between the choice of a variant and the answer of one of its endpoints. Absent fields are absent. */
export function compileResilience(spec: RuleSpec, place: string, timeouts: Rule['timeouts'], problems: Problem[]): Pick<Rule, 'retry' | 'hedge' | 'fallbackResponse'> {
  const retry = spec.retry && compileRetry(spec.retry, `${place}.retry`, problems)
  const hedge = spec.hedge && compileHedge(spec.hedge, `${place}.hedge`, problems)
  const { request, backendRequest, firstByte } = timeouts
  const shortest = Math.min(backendRequest ?? Number.POSITIVE_INFINITY, firstByte ?? Number.POSITIVE_INFINITY)
  if (retry?.reasons.includes('timeout') === true && retry.attempts > 0 && shortest >= (request ?? Number.POSITIVE_INFINITY)) {
    const message = 'has no time left when it comes: a try may take as long as the whole request; lower timeouts.backendRequest or firstByte'
    problems.push(warning(`${place}.retry.reasons`, 'Invalid', message))
  }
  const fallbackResponse = spec.fallbackResponse && compileFallbackResponse(spec.fallbackResponse, `${place}.fallbackResponse`, problems)
  return { ...(retry && { retry }), ...(hedge && { hedge }), ...(fallbackResponse && { fallbackResponse }) }
}

export function compileRetry(spec: NonNullable<RuleSpec['retry']>, place: string, problems: Problem[]): Retry {
  const {
    attempts = 1, reasons = ['connect-failure', 'reset-before-response'], codes = [], budgetPercent = 10, backoff = '25ms', idempotent,
  } = spec
  return {
    attempts,
    reasons: [...reasons],
    codes: [...codes],
    budgetPercent,
    backoff: duration(backoff, `${place}.backoff`, problems),
    ...(idempotent === 'Inference' && { inference: true }),
  }
}

function compileHedge({ after, budgetPercent = 5 }: NonNullable<RuleSpec['hedge']>, place: string, problems: Problem[]): Hedge {
  return { after: duration(after, `${place}.after`, problems), budgetPercent }
}

function compileFallbackResponse(spec: NonNullable<RuleSpec['fallbackResponse']>, place: string, problems: Problem[]): FallbackResponse {
  const { status = 200, contentType = 'application/json', body } = spec
  if ((status === 204 || status === 205 || status === 304) && body !== '') {
    problems.push(invalid(`${place}.body`, `an answer with status ${status} has no body; leave it empty, or say another status`))
  }
  return { status, contentType, body }
}

function duration(text: string, place: string, problems: Problem[]): number {
  const parsed = parseDuration(text)
  if (parsed === null) problems.push(invalid(place, `${quote(text)} is no duration; write one such as 25ms or 1s`))
  return parsed ?? 0
}
