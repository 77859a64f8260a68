import * as v from 'valibot'
import { names, text } from './scalars.ts'

/** One API key: who its bearer is. Nothing here lets anybody call. */
const ApiKey = v.pipe(
  v.strictObject({
    /** HMAC-SHA-256(pepper, SHA-256(key)), hex. */
    digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    /** Of the Secret that it came from, for the log and for self-service. */
    name: text,
    consumer: text,
    groups: names,
    tier: v.exactOptional(text),
    /** Milliseconds since the epoch; from then on the key is none. */
    expires: v.exactOptional(v.pipe(v.number(), v.safeInteger())),
    /** Its holder may replace it. */
    rotates: v.exactOptional(v.literal(true)),
  }),
  v.readonly(),
)

/**
 * The API keys that one selector finds in one namespace. They travel beside the routes, so that a key that comes or
 * goes rebuilds no route.
 */
export const KeySetSchema = v.pipe(
  v.strictObject({
    /** `namespace?label=value&…`, labels sorted; what a route's credential names. */
    id: text,
    keys: v.pipe(v.array(ApiKey), v.readonly()),
  }),
  v.readonly(),
)

export type ApiKey = v.InferOutput<typeof ApiKey>
export type KeySet = v.InferOutput<typeof KeySetSchema>
