import * as v from 'valibot'
import { names } from './scalars.ts'

/** Which web pages may call (Fetch, section 3.3). */
export const Cors = v.pipe(
  v.strictObject({
    /** Lower case: `https://app.example.com`, `https://*.example.com` for anything below, or `*`. */
    origins: names,
    /** `*`: any. */
    methods: names,
    /** Lower case; `*`: any. */
    headers: names,
    expose: names,
    credentials: v.boolean(),
    /** Seconds for which a browser may remember the answer. */
    maxAge: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  }),
  v.readonly(),
)

export type Cors = v.InferOutput<typeof Cors>
