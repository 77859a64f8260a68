import * as v from 'valibot'
import { list, milliseconds, text } from './scalars.ts'
import { Variant } from './variant.ts'

const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(1))

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1))

/** Answers to texts that mean the same. */
const Semantic = v.pipe(
  v.strictObject({
    /** Cosine similarity of two texts that count as the same, at least. */
    threshold: share,
    /** A JSON Pointer: the text, or the messages of a chat. */
    text: v.string(),
    /** What turns texts into vectors, and the model that it is asked for. */
    embedding: Variant,
    model: text,
    /** Of the hits, how many also ask the model. */
    verify: share,
    /** Of those, how many may be wrong before no such hit is given any more. */
    wrong: share,
  }),
  v.readonly(),
)

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
    /** Absent: only what says the same word for word. */
    semantic: v.exactOptional(Semantic),
  }),
  v.readonly(),
)

export type Cache = v.InferOutput<typeof Cache>
