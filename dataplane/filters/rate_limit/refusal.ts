import type { Limit } from '../../../table/limits.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { seconds, type Told } from './headers.ts'

/** OpenAI's libraries wait as told up to a minute; told of more, they try again after half a second. Milliseconds. */
const openAIPatience = 60_000

export const storeUnavailable = failure('limit_store_unavailable', 'The counts of the limits cannot be reached at present.')

/**
 * @param refusing the limits that do, at least one
 * @param queue why it waited no longer, where it was let wait
 */
export function refusal({ protocol }: Exchange, refusing: readonly Told[], queue?: 'full' | 'timeout'): Failure {
  const [longest] = refusing.toSorted((a, b) => b.verdict.retryAfter - a.verdict.retryAfter)
  if (longest === undefined) return storeUnavailable
  const { limit, verdict: { retryAfter } } = longest
  const code = queue !== undefined ? 'queue_timeout' : limit.unit === 'requests' ? 'rate_limited' : 'quota_exhausted'
  const what = `The limit ${limit.name} (${describe(limit)})`
  const openAI = protocol === 'OpenAI'
  if (!Number.isFinite(retryAfter)) {
    const detail = `${what} never has as much as this request asks for.`
    return { code, detail, headers: openAI ? ['x-should-retry', 'false'] : [] }
  }
  const wait = seconds(retryAfter)
  const headers = ['retry-after', String(wait), ...(openAI && retryAfter > openAIPatience ? ['x-should-retry', 'false'] : [])]
  const why = queue === undefined ? 'is reached' : queue === 'full' ? 'is reached, and as many wait for it as may' : 'was not free in time'
  return { code, detail: `${what} ${why}. Try again in ${wait} s.`, headers }
}

function describe({ amount, unit, algorithm }: Limit): string {
  if (algorithm.type === 'Concurrency') return `${amount} ${unit} at once`
  return `${amount} ${unit} in ${algorithm.window === 'month' ? 'a month' : durationOf(algorithm.window)}`
}

const units = [['d', 86_400_000], ['h', 3_600_000], ['m', 60_000], ['s', 1000]] as const

function durationOf(milliseconds: number): string {
  const [name, length] = units.find(([, length]) => milliseconds % length === 0) ?? ['ms', 1]
  return `${milliseconds / length} ${name}`
}
