import * as v from 'valibot'

const strings = v.record(v.string(), v.string())

/** What of a Secret says that it is an API key, and whose. */
const KeySchema = v.looseObject({
  kind: v.optional(v.literal('Secret')),
  metadata: v.looseObject({
    name: v.string(),
    namespace: v.optional(v.string()),
    labels: v.looseObject({ 'modelroute.io/credential': v.literal('api-key') }),
    annotations: v.optional(strings),
  }),
})

export type KeyManifest = Readonly<{
  metadata: Readonly<{
    name: string
    namespace?: string | undefined
    labels: Readonly<Record<string, unknown>>
    annotations?: Readonly<Record<string, string>> | undefined
  }>
}>

export function isApiKey(value: unknown): value is KeyManifest {
  return v.is(KeySchema, value)
}

/** Where API keys are kept: a file, or a cluster. Each call throws with a sentence for the user. */
export type KeyStore = Readonly<{
  list: (namespace: string) => Promise<readonly KeyManifest[]>
  create: (secret: KeyManifest & Readonly<Record<string, unknown>>) => Promise<void>
  /** @param at RFC 3339 */
  expire: (name: string, namespace: string, at: string) => Promise<void>
  remove: (name: string, namespace: string) => Promise<void>
}>
