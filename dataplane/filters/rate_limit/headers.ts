import type { Limit } from '../../../table/limits.ts'
import type { Verdict } from '../../limits/limiter.ts'
import { lengthAt, startOf } from '../../limits/windows.ts'
import { removeHeaders, type FlatHeaders } from '../../pipeline/headers.ts'

/** One limit of a request, and what was said of it; of several counts the one with the least left. */
export type Told = Readonly<{ limit: Limit; verdict: Verdict }>

/** IETF httpapi, RateLimit header fields for HTTP, section "Quota Units". Requests are the default. */
const unitNames: Readonly<Record<Limit['unit'], string | undefined>> = { requests: undefined, tokens: 'tokens', cost: 'cost' }

/**
 * `RateLimit-Policy` and `RateLimit` as the IETF httpapi draft has them: structured fields (RFC 9651), a list with a
 * string for each limit. A name is a DNS label, so it needs no escape. What a backend says of its own limits is not
 * about ours, and is replaced.
 */
export function announce(headers: FlatHeaders, told: readonly Told[]): void {
  removeHeaders(headers, (name) => name === 'ratelimit' || name === 'ratelimit-policy')
  headers.push('ratelimit-policy', told.map(({ limit }) => policyItem(limit)).join(', '))
  const known = told.filter(({ verdict }) => !Number.isNaN(verdict.remaining))
  if (known.length > 0) headers.push('ratelimit', known.map(stateItem).join(', '))
}

function policyItem({ name, amount, unit, algorithm }: Limit): string {
  if (algorithm.type === 'Concurrency') return `"${name}";q=${amount};qu="concurrent-requests"`
  const now = Date.now()
  const window = lengthAt(algorithm.window, startOf(algorithm.window, now))
  const named = unitNames[unit]
  return `"${name}";q=${amount}${named === undefined ? '' : `;qu="${named}"`};w=${Math.max(1, Math.round(window / 1000))}`
}

function stateItem({ limit, verdict: { remaining, resetAfter } }: Told): string {
  const reset = resetAfter > 0 && Number.isFinite(resetAfter) ? `;t=${seconds(resetAfter)}` : ''
  return `"${limit.name}";r=${Math.floor(remaining)}${reset}`
}

/** Whole seconds, rounded up: who waits this long has waited long enough. */
export const seconds = (milliseconds: number): number => Math.max(1, Math.ceil(milliseconds / 1000))
