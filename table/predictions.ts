import * as v from 'valibot'
import { list, text } from './scalars.ts'

/** Which requests of a rule are written down with what they were answered, and how much of them. */
export const Predictions = v.pipe(
  v.strictObject({
    /** Of each hundred requests. */
    percent: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100)),
    bodies: v.picklist(['None', 'Redacted', 'Full']),
    /** JSON Pointers whose values are blotted out, `*` for every element; there are some where bodies are `Redacted`. */
    redact: list(v.string()),
    /** Of the variants that are InferenceServices: what readers of KServe's payload log know them by. */
    services: v.exactOptional(list(v.pipe(v.strictObject({ variant: text, name: text, namespace: text, component: text }), v.readonly()))),
  }),
  v.readonly(),
)

export type Predictions = v.InferOutput<typeof Predictions>
