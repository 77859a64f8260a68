import * as v from 'valibot'
import { milliseconds } from './scalars.ts'

/** Single predictions of a rule that become one call of the model. */
export const Batching = v.pipe(
  v.strictObject({
    /** Rows of one call, at most. */
    maxSize: v.pipe(v.number(), v.integer(), v.minValue(1)),
    /** How long the first waits for others. */
    maxDelay: milliseconds,
    /** Whose requests may go together: those of one caller, or of all; then the backend is not told whose they are. */
    scope: v.picklist(['Principal', 'Tenant']),
  }),
  v.readonly(),
)

export type Batching = v.InferOutput<typeof Batching>
