import * as v from 'valibot'
import { errors, failure, type ErrorCode, type Failure } from '../pipeline/errors.ts'
import { Kind, known, removeHeader, type FlatHeaders } from '../pipeline/headers.ts'
import type { Made } from '../upstream/served.ts'
import type { HeaderChanges } from './messages.ts'

/** What a plugin says to do: nothing, an error, or an answer. */
export type Said = Failure | Made | undefined

const detailMax = 1000
const Returned = v.union([
  // Nobody is left to be told that the client left.
  v.object({ code: v.custom<ErrorCode>((code) => typeof code === 'string' && Object.hasOwn(errors, code) && code !== 'client_closed', 'there is no such code'), detail: v.optional(v.string()) }),
  v.object({
    status: v.pipe(v.number(), v.integer(), v.minValue(200), v.maxValue(599)),
    headers: v.optional(v.record(v.string(), v.string()), {}),
    body: v.optional(v.union([v.string(), v.instance(Uint8Array)]), ''),
  }),
])
// oxlint-disable-next-line no-control-regex -- it is what is looked for
const impure = /[^\t\x20-\x7e\x80-\xff]/

/** Changes headers as a plugin says, in place. @returns why it may not; then nothing is changed */
export function changeHeaders(headers: FlatHeaders, changes: HeaderChanges): string | undefined {
  for (const [name, values] of changes) {
    const { kind, valid } = known(name)
    if (!valid || kind !== Kind.endToEnd || name.startsWith('x-modelroute-')) return `it may not set the header ${name}`
    if (values.some((value) => impure.test(value))) return `what it sets the header ${name} to cannot be sent`
  }
  for (const [name, values] of changes) {
    removeHeader(headers, name)
    for (const value of values) headers.push(name, value)
  }
  return undefined
}

/** What a filter returned, checked; a text says what is wrong with it. */
export function outcomeOf(value: unknown): Said | string {
  if (value === undefined || value === null) return undefined
  const read = v.safeParse(Returned, value)
  if (!read.success) return `what it returned is neither nothing, nor { code, detail }, nor { status, headers, body }: ${read.issues[0].message}`
  if ('code' in read.output) {
    const { code, detail = errors[code].title } = read.output
    return failure(code, detail.slice(0, detailMax))
  }
  const { status, headers, body } = read.output
  const bytes = Buffer.from(body)
  const flat: FlatHeaders = []
  const fault = changeHeaders(flat, Object.entries(headers).map(([name, one]) => [name.toLowerCase(), [one]]))
  if (fault !== undefined) return fault
  flat.push('content-length', String(bytes.length))
  return { status, headers: flat, body: bytes }
}
