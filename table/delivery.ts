import * as v from 'valibot'
import { list, text } from './scalars.ts'

/** How one version of a model takes another's place: whom it gets, what is copied to it, what is measured of it. */

/** A key stays on its variant, and moves at most once as one weight grows. Names are lower case. */
export const Split = v.pipe(
  v.variant('by', [
    v.strictObject({ by: v.literal('Principal') }),
    v.strictObject({ by: v.picklist(['Header', 'Cookie']), name: text }),
  ]),
  v.readonly(),
)

const decimal = v.pipe(v.number(), v.minValue(0))

/** Copies of so many of a hundred requests go to the variant. */
export const Mirror = v.pipe(
  v.strictObject({
    variant: text,
    percent: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100)),
    /** Numbers that differ by no more are equal; `ignore` are JSON Pointers of what may differ. */
    compare: v.exactOptional(v.pipe(v.strictObject({ absolute: decimal, relative: decimal, ignore: list(text) }), v.readonly())),
  }),
  v.readonly(),
)

/** The rule is watched by a rollout. Counts of another `id` begin at zero; `fields` are JSON Pointers into answers. */
export const Measured = v.pipe(v.strictObject({ id: text, fields: list(text) }), v.readonly())

/** Upper bounds of the latencies counted, in seconds; one more bucket holds what is above the last. */
export const LATENCY_BOUNDS: readonly number[] = Array.from({ length: 125 }, (_, i) => 0.000_5 * 1.12 ** i)

const count = v.pipe(v.number(), v.minValue(0))

/** What a proxy saw of one variant since it began to measure under that id. It only grows, until the proxy restarts. */
const VariantMeasurements = v.strictObject({
  variant: text,
  requests: count,
  /** Of these, those that the backend failed: no answer, a broken one, or 5xx. */
  errors: count,
  /** From the arrival of a request to the first byte of its answer, by bucket; trailing zeros are left out. */
  latency: v.array(count),
  cost: count,
  tokens: count,
  /** Seconds that the backend took for the requests whose tokens are known. */
  tokenSeconds: count,
  /** Copies of requests compared with the answer that the caller got, and those that differ. */
  compared: count,
  mismatched: count,
  /** Of each pointer of `fields`, in their order: how many answers had a number there, their sum and sum of squares. */
  fields: v.array(v.strictObject({ count, sum: v.number(), squares: count })),
})

/** The counts of one rule under one id. */
export const RuleMeasurements = v.strictObject({
  /** `namespace/name` of the route. */
  route: text,
  rule: text,
  id: text,
  variants: v.array(VariantMeasurements),
})

export type Split = v.InferOutput<typeof Split>
export type Mirror = v.InferOutput<typeof Mirror>
export type Measured = v.InferOutput<typeof Measured>
export type VariantMeasurements = v.InferOutput<typeof VariantMeasurements>
export type RuleMeasurements = v.InferOutput<typeof RuleMeasurements>
