import * as v from 'valibot'
import { list, text } from './scalars.ts'

/** How one version of a model takes another's place: whom it gets, what is copied to it, what is measured of it. */

/** A key stays on its variant, and moves at most once as one weight grows. Header names are lower case. */
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
    /** Numbers and texts that differ by no more are equal; `ignore` are JSON Pointers of what may differ, `*` for any element. */
    compare: v.exactOptional(v.pipe(v.strictObject({ absolute: decimal, relative: decimal, ignore: list(text) }), v.readonly())),
  }),
  v.readonly(),
)

/**
 * The rule is watched by a rollout. Counts of another `id` begin at zero; `fields` are JSON Pointers into answers.
 * `tokens`: how fast answers are written is counted too, for which they are looked through.
 */
export const Measured = v.pipe(
  v.strictObject({ id: text, fields: list(text), tokens: v.exactOptional(v.literal(true)) }),
  v.readonly(),
)

/** Upper bounds of the latencies counted, in seconds: up to ten minutes; one more bucket holds what is above the last. */
export const LATENCY_BOUNDS: readonly number[] = Array.from({ length: 288 }, (_, i) => 0.000_5 * 1.05 ** i)

const finite = v.pipe(v.number(), v.finite())
const count = v.pipe(finite, v.minValue(0))

/** Of a quantity: how often it was measured, the sum and the sum of the squares. */
const Moments = v.strictObject({ count, sum: finite, squares: count })

/** What a proxy saw of one variant since it began to measure under that id. It only grows, until the proxy restarts. */
const VariantMeasurements = v.strictObject({
  variant: text,
  /** Those that it was chosen for, and that came as far as being sent to it. */
  requests: count,
  /** Of these, those that the backend failed: no answer, a broken one, or 5xx; also where another stepped in for it. */
  errors: count,
  /**
   * From the arrival of a request to the first byte of its answer, by bucket from `from` on; what is left out is zero.
   * Errors are none of them, but those that came of waiting are: with the time that was waited.
   */
  latency: v.strictObject({
    from: v.pipe(v.number(), v.integer(), v.minValue(0)),
    counts: v.pipe(v.array(count), v.maxLength(LATENCY_BOUNDS.length + 1)),
  }),
  cost: Moments,
  /**
   * Tokens that were written in answers, and the seconds that the backend took for these: how many answers, both sums,
   * the sums of the squares, and the sum of the products.
   */
  tokens: v.strictObject({ count, sum: count, squares: count, seconds: count, secondsSquares: count, products: count }),
  /** Copies of requests compared with the answer that the caller got, and those that differ. */
  compared: count,
  mismatched: count,
  /** Of each pointer of `fields`, in their order: the numbers that answers had there. */
  fields: v.pipe(v.array(Moments), v.maxLength(16)),
})

/** The counts of one rule under one id. */
export const RuleMeasurements = v.strictObject({
  /** `namespace/name` of the route. */
  route: text,
  rule: text,
  id: text,
  variants: v.pipe(v.array(VariantMeasurements), v.maxLength(64)),
})

export type Split = v.InferOutput<typeof Split>
export type Mirror = v.InferOutput<typeof Mirror>
export type Measured = v.InferOutput<typeof Measured>
export type Moments = v.InferOutput<typeof Moments>
export type VariantMeasurements = v.InferOutput<typeof VariantMeasurements>
export type RuleMeasurements = v.InferOutput<typeof RuleMeasurements>
