import * as v from 'valibot'
import { amount, milliseconds, names, text } from './scalars.ts'

const Counter = v.pipe(
  v.variant('type', [
    v.strictObject({ type: v.picklist(['Principal', 'SourceIP', 'Tier', 'Group', 'Model', 'Variant', 'Route']) }),
    /** Header names are lower case. */
    v.strictObject({ type: v.picklist(['Claim', 'Header']), name: text }),
  ]),
  v.readonly(),
)

/** How one limit counts. `window`: milliseconds, or the calendar month (UTC). */
const Algorithm = v.pipe(
  v.variant('type', [
    v.strictObject({
      type: v.picklist(['FixedWindow', 'SlidingWindow', 'SlidingLog']),
      window: v.union([v.pipe(v.number(), v.safeInteger(), v.minValue(1)), v.literal('month')]),
    }),
    v.strictObject({
      type: v.literal('TokenBucket'),
      window: v.union([v.pipe(v.number(), v.safeInteger(), v.minValue(1)), v.literal('month')]),
      burst: amount,
    }),
    v.strictObject({ type: v.literal('Concurrency') }),
  ]),
  v.readonly(),
)

/** One limit on one rule, merged from the policies by GEP-713. */
export const Limit = v.pipe(
  v.strictObject({
    /** `namespace/policy`; with `name` it names the counts, so that they outlive an edit of the limit. */
    policy: text,
    name: text,
    /** All of what is given must hold; what is empty asks nothing. */
    appliesTo: v.pipe(
      v.strictObject({ tiers: names, groups: names, consumers: names, models: names, when: v.exactOptional(text) }),
      v.readonly(),
    ),
    counters: v.pipe(v.array(Counter), v.readonly()),
    algorithm: Algorithm,
    /** What is counted, and how much of it there is. */
    unit: v.picklist(['requests', 'tokens', 'cost']),
    amount,
    /** CEL; `unit: cost` only. */
    cost: v.exactOptional(text),
    /** Absent: refused at once. */
    queue: v.exactOptional(v.pipe(v.strictObject({ maxWait: milliseconds, maxDepth: amount }), v.readonly())),
    scope: v.picklist(['Global', 'Local']),
    shadow: v.boolean(),
    onStoreFailure: v.picklist(['Local', 'Allow', 'Deny']),
  }),
  v.readonly(),
)

export type Counter = v.InferOutput<typeof Counter>
export type Algorithm = v.InferOutput<typeof Algorithm>
export type Limit = v.InferOutput<typeof Limit>
