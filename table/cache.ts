import * as v from 'valibot'
import { list, milliseconds, text } from './scalars.ts'

const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(1))

/** Which answers of a rule are kept and given again, and to whom. */
export const Cache = v.pipe(
  v.strictObject({
    /** How long an answer is kept at most, and where it says nothing itself. */
    ttl: v.pipe(milliseconds, v.minValue(1)),
    /** Who may be given one answer: one caller, all callers that the rule knows, everybody. */
    scope: v.picklist(['Principal', 'Tenant', 'Shared']),
    /** Of the answers of this rule in one proxy, and of one answer. */
    maxBytes: bytes,
    maxEntryBytes: bytes,
    /** What else of a request tells one answer from another; header names are lower case. */
    headers: list(text),
    /** JSON Pointers: of a JSON body only these values count, and what says how the answer is to be made. Empty: all of it does. */
    pointers: list(v.string()),
    /** Under which the answers can be purged. */
    tags: list(text),
    /** How much longer an answer stands in for a backend that fails; absent: it does not. */
    staleIfError: v.exactOptional(v.pipe(milliseconds, v.minValue(1))),
    /** Also requests that ask for chance. */
    nondeterministic: v.exactOptional(v.literal(true)),
    /** What an answer from here counts against limits of tokens and cost, in percent of what it cost at first. */
    billed: v.pipe(v.number(), v.minValue(0), v.maxValue(100)),
  }),
  v.readonly(),
)

export type Cache = v.InferOutput<typeof Cache>
