import type { Limit } from '../../../table/limits.ts'
import type { Verdict } from '../../limits/limiter.ts'
import { lengthAt, startOf } from '../../limits/windows.ts'
import { removeHeader, type FlatHeaders } from '../../pipeline/headers.ts'

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
  removeHeader(headers, 'ratelimit')
  removeHeader(headers, 'ratelimit-policy')
  let [policies, states] = ['', '']
  for (const one of told) {
    policies += `${policies === '' ? '' : ', '}${policyItem(one.limit)}`
    if (!Number.isNaN(one.verdict.remaining)) states += `${states === '' ? '' : ', '}${stateItem(one)}`
  }
  headers.push('ratelimit-policy', policies)
  if (states !== '') headers.push('ratelimit', states)
}

/** Of limits whose window is always as long. */
const items = new WeakMap<Limit, string>()

function policyItem(limit: Limit): string {
  const known = items.get(limit)
  if (known !== undefined) return known
  const item = policyItemNow(limit)
  if (!('window' in limit.algorithm && limit.algorithm.window === 'month')) items.set(limit, item)
  return item
}

function policyItemNow({ name, amount, unit, algorithm }: Limit): string {
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
