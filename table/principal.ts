import * as v from 'valibot'
import { Reach } from './reach.ts'
import { milliseconds, names, text } from './scalars.ts'

/** Who may call, and as whom: what a rule asks of a request's credentials, and what it lets them do. */

/** A value in one key of a secret (table/secrets.ts); the secret `none` is none. */
export const SecretRef = v.pipe(v.strictObject({ secret: text, key: text }), v.readonly())

/** Which claims say who the caller is. */
const Claims = v.pipe(
  v.strictObject({ consumer: text, groups: text, tier: text, scopes: text }),
  v.readonly(),
)

/** An address that the gateway itself calls. */
export const Callee = v.pipe(v.strictObject({ url: text, ...Reach.entries }), v.readonly())

const Credential = v.pipe(
  v.variant('kind', [
    v.strictObject({
      kind: v.literal('apiKey'),
      in: v.picklist(['Header', 'Query', 'Bearer']),
      /** Header names are lower case; empty for Bearer. */
      name: v.string(),
      /** The key set (table/credentials.ts). */
      set: text,
    }),
    v.strictObject({
      kind: v.literal('jwt'),
      issuer: text,
      /** Empty: any. */
      audiences: names,
      algorithms: v.pipe(v.array(text), v.minLength(1), v.readonly()),
      /**
       * Where the keys come from. `discover`: from the metadata of the issuer, whose own URL is given here (OpenID Connect
       * Discovery 1.0 section 4). `secret`: the only one that may hold keys for HS algorithms.
       */
      keys: v.pipe(
        v.variant('from', [
          v.strictObject({ from: v.literal('uri'), ...Callee.pipe[0].entries }),
          v.strictObject({ from: v.literal('discover'), ...Callee.pipe[0].entries }),
          v.strictObject({ from: v.literal('secret'), ...SecretRef.pipe[0].entries }),
        ]),
        v.readonly(),
      ),
      leeway: milliseconds,
      claims: Claims,
    }),
    v.strictObject({
      kind: v.literal('introspection'),
      endpoint: Callee,
      /** The secret with `client_id` and `client_secret`. */
      client: text,
      cache: milliseconds,
      claims: Claims,
    }),
  ]),
  v.readonly(),
)

/** Tried in order; the first that finds its credential in the request decides. */
export const Auth = v.pipe(
  v.strictObject({ anyOf: v.pipe(v.array(Credential), v.readonly()), anonymous: v.boolean() }),
  v.readonly(),
)

/** All of what is given must hold; what is empty asks nothing. */
const Permission = v.pipe(
  v.strictObject({
    consumers: names,
    groups: names,
    tiers: names,
    scopes: names,
    models: names,
    methods: names,
    /** CEL over `request` and `principal`. */
    when: v.exactOptional(text),
  }),
  v.readonly(),
)

/** One of them must hold. */
export const Authorization = v.pipe(v.array(Permission), v.minLength(1), v.readonly())

/** Who calls, in a match: all of what is given must hold. */
export const PrincipalMatch = v.pipe(
  v.strictObject({
    consumers: names,
    groups: names,
    tiers: names,
    claims: v.pipe(v.array(v.pipe(v.strictObject({ name: text, value: v.string() }), v.readonly())), v.readonly()),
  }),
  v.readonly(),
)

export type SecretRef = v.InferOutput<typeof SecretRef>
export type Callee = v.InferOutput<typeof Callee>
export type Credential = v.InferOutput<typeof Credential>
export type Auth = v.InferOutput<typeof Auth>
export type Permission = v.InferOutput<typeof Permission>
export type PrincipalMatch = v.InferOutput<typeof PrincipalMatch>
