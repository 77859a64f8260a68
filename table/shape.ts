import * as v from 'valibot'
import { list, text } from './scalars.ts'

/** What is made of requests and answers on their way: how they are changed. */

const Header = v.pipe(v.strictObject({ name: text, value: v.string() }), v.readonly())

/** In the order remove, set, add. Names are lower case. */
const HeaderChanges = v.pipe(v.strictObject({ remove: list(text), set: list(Header), add: list(Header) }), v.readonly())

/** In the order remove, set. Pointers are JSON Pointers; `*` in those of `remove` is every element or member. `value` is CEL. */
const BodyChanges = v.pipe(
  v.strictObject({ remove: list(text), set: list(v.pipe(v.strictObject({ pointer: text, value: text }), v.readonly())) }),
  v.readonly(),
)

const changes = { headers: v.exactOptional(HeaderChanges), body: v.exactOptional(BodyChanges) }

/** What is said in an answer of where it came from. */
const Enrichment = v.pipe(
  v.strictObject({
    /** Of the object that gets variant and model version; absent: the body is left alone. */
    pointer: v.exactOptional(v.string()),
    /** `pointer`: of the numbers whose largest is the confidence; below `low` the answer is marked. */
    confidence: v.exactOptional(v.pipe(v.strictObject({ pointer: v.string(), low: v.pipe(v.number(), v.minValue(0)) }), v.readonly())),
  }),
  v.readonly(),
)

export const Transform = v.pipe(
  v.strictObject({
    request: v.exactOptional(v.pipe(v.strictObject(changes), v.readonly())),
    response: v.exactOptional(v.pipe(v.strictObject({ ...changes, enrich: v.exactOptional(Enrichment) }), v.readonly())),
  }),
  v.readonly(),
)

export type HeaderChanges = v.InferOutput<typeof HeaderChanges>
export type BodyChanges = v.InferOutput<typeof BodyChanges>
export type Enrichment = v.InferOutput<typeof Enrichment>
export type Transform = v.InferOutput<typeof Transform>
