import * as v from 'valibot'
import { Callee, SecretRef } from './principal.ts'
import { text } from './scalars.ts'

/** How TLS is spoken to a backend. It is always checked; only against whom may be said. */
export const BackendTls = v.pipe(
  v.strictObject({
    /** What is asked for (SNI), and what the certificate must be for. */
    serverName: text,
    /** The authorities (PEM); absent: those that the system trusts. */
    ca: v.exactOptional(SecretRef),
    /** The secret with `tls.crt` and `tls.key`, with which the gateway identifies itself. */
    client: v.exactOptional(text),
  }),
  v.readonly(),
)

/** What the gateway proves itself to a backend with, in place of what the caller sent. */
export const BackendCredentials = v.pipe(
  v.variant('kind', [
    /** `header` is lower case; `scheme` is empty for none. */
    v.strictObject({ kind: v.literal('static'), value: SecretRef, header: text, scheme: v.string() }),
    /** The client credentials grant (RFC 6749 section 4.4). `client`: the secret with `client_id` and `client_secret`. */
    v.strictObject({ kind: v.literal('oauth2'), token: Callee, client: text, scopes: v.pipe(v.array(text), v.readonly()) }),
  ]),
  v.readonly(),
)

export type BackendTls = v.InferOutput<typeof BackendTls>
export type BackendCredentials = v.InferOutput<typeof BackendCredentials>
