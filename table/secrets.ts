import * as v from 'valibot'
import { text } from './scalars.ts'

/**
 * What a proxy needs of one Secret or ConfigMap: certificates with their keys, upstream credentials, shared secrets.
 * It travels only inside a process, over loopback or over mutual TLS, and is never written to disk, logged or shown.
 */
export const SecretSchema = v.pipe(
  v.strictObject({
    /** `namespace/name`, what a route names; or `pepper`. */
    id: text,
    /** Base64, by key: only the keys that some route names. */
    data: v.record(text, v.string()),
  }),
  v.readonly(),
)

/** The secret, and its key, with which API keys are digested; there where the routes name key sets. */
export type PepperId = 'pepper'

export type Secret = v.InferOutput<typeof SecretSchema>
