import * as v from 'valibot'
import { Retry } from './resilience.ts'
import { list, milliseconds, text } from './scalars.ts'
import { Variant } from './variant.ts'

const Step = v.pipe(
  v.strictObject({
    /** As its variant. */
    name: text,
    variant: Variant,
    /** What is called: absent, the request's own. */
    path: v.exactOptional(text),
    /** CEL, as all expressions here (step_expression.ts). Absent: the body of the request as it came, or the item. */
    input: v.exactOptional(text),
    /** All that it must wait for: no circle, and no name that no step has. */
    dependsOn: list(text),
    when: v.exactOptional(text),
    forEach: v.exactOptional(text),
    /** Of forEach. */
    maxParallel: v.pipe(v.number(), v.integer(), v.minValue(1)),
    /** Fail: the whole request does. */
    onError: v.picklist(['Fail', 'Skip']),
    /** Of one call. */
    timeout: v.exactOptional(milliseconds),
    retry: v.exactOptional(Retry),
  }),
  v.readonly(),
)

/** A graph of calls in place of variants. */
export const Compose = v.pipe(
  v.strictObject({
    steps: v.pipe(v.array(Step), v.minLength(1), v.readonly()),
    /** Absent: the answer of the last step that has one. */
    output: v.exactOptional(text),
  }),
  v.readonly(),
)

export type Compose = v.InferOutput<typeof Compose>
export type ComposeStep = v.InferOutput<typeof Step>
