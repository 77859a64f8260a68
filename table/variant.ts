import * as v from 'valibot'
import { Reach } from './reach.ts'
import { BackendCredentials, BackendTls } from './backend.ts'
import { ServedModel } from './resilience.ts'
import { text } from './scalars.ts'

/** Where a variant's requests go. */
export const Target = v.pipe(
  v.variant('kind', [
    /**
     * The endpoint set with this id, pushed apart from the routes. `host`: the Host to send when it is not the caller's.
     * `tls`: plain without it. `http2`: all is sent over HTTP/2, by prior knowledge where it is plain.
     */
    v.strictObject({
      kind: v.literal('endpoints'),
      set: text,
      host: v.exactOptional(text),
      tls: v.exactOptional(BackendTls),
      http2: v.exactOptional(v.literal(true)),
    }),
    /** An origin resolved by DNS, and where it may lead. */
    v.strictObject({ kind: v.literal('url'), url: text, ...Reach.entries, tls: v.exactOptional(BackendTls) }),
    /** Answers 500 for its share, so that a broken reference shows at its weight instead of moving the load. */
    v.strictObject({ kind: v.literal('unresolved'), why: text }),
  ]),
  v.readonly(),
)

export const Variant = v.pipe(
  v.strictObject({
    name: text,
    /** The effective share, in millionths of its rule and priority. */
    weight: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000)),
    /** Higher is a fallback. */
    priority: v.pipe(v.number(), v.integer(), v.minValue(0)),
    target: Target,
    credentials: v.exactOptional(BackendCredentials),
    /** What to ask the server for, where it differs from what the request named. */
    model: v.exactOptional(v.pipe(v.strictObject({ name: v.exactOptional(text), version: v.exactOptional(text) }), v.readonly())),
    /** What it speaks: what callers say otherwise is translated. Absent: nothing is looked at. */
    protocol: v.exactOptional(v.picklist(['V1', 'V2', 'GRPC', 'OpenAI'])),
    /** What its endpoints are asked for, where the rule's active health is that of the model. */
    served: v.exactOptional(ServedModel),
  }),
  v.readonly(),
)

export type Target = v.InferOutput<typeof Target>
export type Variant = v.InferOutput<typeof Variant>
