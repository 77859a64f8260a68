import { valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { ageAt, type Entry } from '../../cache/entry.ts'
import { dateOf } from '../../cache/freshness.ts'
import type { Made } from '../../upstream/served.ts'
import type { Wishes } from './wishes.ts'

/** Headers of a 304 (RFC 9110 section 15.4.5). */
const ofUnchanged = new Set(['cache-control', 'content-location', 'date', 'etag', 'expires', 'vary', 'last-modified'])

/** What is answered with an answer that is kept: all of it, its head, or that the caller has it already. */
export function madeOf(entry: Entry, method: string, wishes: Wishes, now: number): Made {
  const { status, headers, body, trailers } = entry
  const age = String(Math.floor(ageAt(entry, now) / 1000))
  if (method !== 'POST' && status === 200 && hasIt(entry, wishes)) {
    const kept: FlatHeaders = ['age', age]
    for (let i = 0; i < headers.length; i += 2) if (ofUnchanged.has(headers[i] ?? '')) kept.push(headers[i] ?? '', headers[i + 1] ?? '')
    return { status: 304, headers: kept, body: nothing }
  }
  if (method === 'HEAD') return { status, headers: [...headers, 'content-length', String(body.length), 'age', age], body: nothing }
  const stream = valueOf(headers, 'content-type')?.startsWith('text/event-stream') === true
  const told = [...headers, 'age', age]
  if (!stream && trailers.length === 0) told.push('content-length', String(body.length))
  return { status, headers: told, body, trailers, stream }
}

const nothing = Buffer.alloc(0)

/** RFC 9110 section 13.2.2. */
function hasIt({ headers }: Entry, { ifNoneMatch, ifModifiedSince }: Wishes): boolean {
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, valueOf(headers, 'etag'))
  const since = dateOf(ifModifiedSince)
  // RFC 9111 section 4.3.2: where it does not say when it was changed, that was not after it was given.
  const modified = dateOf(valueOf(headers, 'last-modified') ?? valueOf(headers, 'date'))
  return since !== undefined && modified !== undefined && modified <= since
}

/** Weak comparison (RFC 9110 section 8.8.3.2). */
function matches(list: string, etag: string | undefined): boolean {
  if (list.trim() === '*') return true
  if (etag === undefined) return false
  const wanted = etag.replace(/^W\//, '')
  return [...list.matchAll(/(?:W\/)?("[^"]*")/g)].some(([, tag]) => tag === wanted)
}
