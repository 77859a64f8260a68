import type { Cache } from '../../table/cache.ts'
import { valueOf } from '../pipeline/headers.ts'
import { directivesOf, timeOf } from './directives.ts'

/** How long an answer may be given again. Milliseconds. */
export type Terms = Readonly<{
  /** Its age when it came. */
  age: number
  /** Fresh while its age is less. */
  lifetime: number
  /** It is kept for so long, for being asked for anew, or for when its backend fails. */
  kept: number
  /** So long after its lifetime it may stand in for a backend that fails. */
  staleIfError: number
  /** Not beyond its lifetime, whatever the caller would take. */
  strict: boolean
  /** Not without asking its backend, fresh or not. */
  always: boolean
}>

/** What of a request decides whether its answer may be kept. */
export type Terse = Readonly<{
  method: string
  /** The backend is shown a credential of the caller's, and the answer may be given to others. */
  credential: boolean
  /** A client may ask about it again by what it says of itself: GET. */
  revalidates: boolean
}>

/** Kept although they say no time: of those that RFC 9110 section 15.1 lets a cache keep, the ones that are no errors. */
const byDefault = new Set([200, 203, 204, 300, 301, 308])
const answersToPost = new Set([200, 203])

/**
 * By what terms an answer is kept (RFC 9111 section 3, as a shared cache), or why it is not. What it says of its time
 * counts up to the rule's `ttl`, which is also what holds where it says nothing. Errors are never kept.
 * @param asked, answered milliseconds since the epoch
 */
export function termsOf(status: number, headers: readonly string[], request: Terse, { ttl, staleIfError = 0 }: Cache, asked: number, answered: number): Terms | string {
  const control = directivesOf(valueOf(headers, 'cache-control'))
  const shared = timeOf(control, 's-maxage')
  const told = shared ?? timeOf(control, 'max-age') ?? expiry(headers, answered)
  if (status >= 400 || status < 200 || status === 206 || status === 304) return 'its status'
  if (told === undefined && !byDefault.has(status)) return 'its status, without a time'
  if (request.method === 'POST' && !answersToPost.has(status)) return 'its status'
  for (const word of ['no-store', 'private']) if (control.has(word)) return word
  if (request.credential && shared === undefined && !control.has('public') && !control.has('must-revalidate')) return 'a credential that the backend sees'
  if (valueOf(headers, 'set-cookie') !== undefined) return 'set-cookie'
  if (valueOf(headers, 'vary')?.includes('*') === true) return 'vary: *'
  if (valueOf(headers, 'content-range') !== undefined) return 'a part'
  const always = control.has('no-cache')
  const lifetime = Math.min(told ?? ttl, ttl)
  const age = told === undefined ? ageSaid(headers) : ageOf(headers, asked, answered)
  const strict = always || control.has('must-revalidate') || control.has('proxy-revalidate') || shared !== undefined
  const spare = strict ? 0 : Math.min(staleIfError, timeOf(control, 'stale-if-error') ?? staleIfError)
  const revalidates = request.revalidates && (valueOf(headers, 'etag') !== undefined || valueOf(headers, 'last-modified') !== undefined)
  const kept = Math.max(always ? 0 : lifetime + spare, revalidates ? ttl : 0)
  return kept <= age ? 'no time left' : { age, lifetime, kept, staleIfError: spare, strict, always }
}

/** RFC 9111 section 5.3: what is no date is a time that has passed. */
function expiry(headers: readonly string[], answered: number): number | undefined {
  const expires = valueOf(headers, 'expires')
  if (expires === undefined) return undefined
  const at = dateOf(expires)
  return at === undefined ? 0 : Math.max(0, at - (dateOf(valueOf(headers, 'date')) ?? answered))
}

/** Milliseconds since the epoch of an HTTP date (RFC 9110 section 5.6.7), in any of its three forms. */
export function dateOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^(?:\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT|\w{6,9}, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d GMT|\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})$/.test(text)) return undefined
  const at = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(at) ? undefined : at
}

/** What says its age in a way that could be read in two is old (RFC 9111 section 4.2.1 has it so for times). */
function ageSaid(headers: readonly string[]): number {
  const said = valueOf(headers, 'age')
  if (said === undefined) return 0
  return (/^\d+$/.test(said.trim()) ? Math.min(Number(said), oldest) : oldest) * 1000
}

/** Seconds. */
const oldest = 2 ** 31

/** RFC 9111 section 4.2.3. */
function ageOf(headers: readonly string[], asked: number, answered: number): number {
  const date = dateOf(valueOf(headers, 'date'))
  return Math.max(date === undefined ? 0 : Math.max(0, answered - date), ageSaid(headers) + Math.max(0, answered - asked))
}
