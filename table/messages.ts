import * as v from 'valibot'
import { RESOURCES } from './resources.ts'

/**
 * What a proxy and a controller say to each other: a JSON document a line, over one stream that the proxy opened.
 *
 *     proxy → hello                                what it is, and what it already has in force
 *     controller → snapshot | delta                of each resource, the routes last, after what they name; each
 *                                                  answered by ack or resync, and one of a resource under way at a time
 *     proxy → ack                                  in force, less the items it refused (and kept the last good one of)
 *     proxy → resync                               a base or a version did not fit: send a snapshot
 *     controller → goodbye                         why it closes the stream
 *
 * A proxy that is up to date gets a delta from its version to itself: an answer, so that it knows how fresh its table
 * is. It may say hello again on the same stream to begin or end a subscription.
 */

/** Raised when an older reader would misunderstand; a proxy refuses what it does not know and keeps its table. */
export const SCHEMA = 1

const text = v.pipe(v.string(), v.minLength(1))
const Resource = v.picklist(RESOURCES)

const Hello = v.strictObject({
  type: v.literal('hello'),
  schema: v.number(),
  node: text,
  /** Made at start: tells two processes of one name apart, and two connections of one process together. */
  instance: text,
  gateway: text,
  /** False: another controller feeds this proxy, and this one only hears its acknowledgements. */
  subscribe: v.boolean(),
  /** By each resource that it takes, the version in force; null before the first. */
  versions: v.record(text, v.nullable(text)),
})

const Refusal = v.strictObject({ id: text, message: v.string() })
export type Refusal = v.InferOutput<typeof Refusal>

const Ack = v.strictObject({
  type: v.literal('ack'),
  resource: Resource,
  version: text,
  refused: v.array(Refusal),
})

const Resync = v.strictObject({ type: v.literal('resync'), resource: Resource, why: v.string() })

/** Items are parsed one by one by their reader, so that one bad item refuses only itself. */
const Snapshot = v.strictObject({
  type: v.literal('snapshot'),
  schema: v.number(),
  resource: Resource,
  version: text,
  items: v.array(v.unknown()),
})

const Delta = v.strictObject({
  type: v.literal('delta'),
  schema: v.number(),
  resource: Resource,
  base: text,
  version: text,
  upsert: v.array(v.unknown()),
  remove: v.array(text),
})

const Goodbye = v.strictObject({ type: v.literal('goodbye'), why: v.string() })

export const FromProxy = v.variant('type', [Hello, Ack, Resync])
export const FromController = v.variant('type', [Snapshot, Delta, Goodbye])
export type FromProxy = v.InferOutput<typeof FromProxy>
export type FromController = v.InferOutput<typeof FromController>
export type Hello = v.InferOutput<typeof Hello>
export type Ack = v.InferOutput<typeof Ack>
export type Resync = v.InferOutput<typeof Resync>
/** The messages that carry the table. */
export type Update = v.InferOutput<typeof Snapshot> | v.InferOutput<typeof Delta>

/** A message as it travels: one line of JSON, made once however many links it goes out on. */
export type Text<Message> = string & { readonly of?: Message }

export function encode<Message>(message: Message): Text<Message> {
  return JSON.stringify(message)
}

/** One end of a connection, whatever carries it. Messages arrive in order; after `onClose` none do. */
export interface Link<Out, In> {
  send(message: Text<Out>): void
  /** Called once; nothing is read before. */
  onMessage(listener: (message: In) => void): void
  onClose(listener: (why: string) => void): void
  /** Delivers what was sent first. `why` is what this end's `onClose` hears. */
  close(why?: string): void
}
