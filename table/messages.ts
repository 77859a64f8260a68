import * as v from 'valibot'
import { Look } from './console.ts'
import { RuleMeasurements } from './delivery.ts'
import { Order } from './order.ts'
import { RESOURCES } from './resources.ts'
import { text } from './scalars.ts'

/**
 * What a proxy and a controller say to each other: a JSON document a line, over one stream that the proxy opened.
 *
 *     proxy → hello                                what it is, and what it already has in force
 *     controller → snapshot | delta                of each resource, the routes last, after what they name; each
 *                                                  answered by ack or resync, and one of a resource under way at a time
 *     proxy → ack                                  in force, less the items it refused (and kept the last good one of)
 *     proxy → resync                               a base or a version did not fit: send a snapshot
 *     proxy → measurements                         what it saw of the rules that are being rolled out
 *     proxy → rotate                               an API key is replaced by its holder; answered by rotated
 *     controller → order                           how new the tables are that follow, where the hello asked for that
 *     controller → look                            somebody looks at the fleet; answered by seen, as long as one does
 *     controller → goodbye                         why it closes the stream
 *
 * A proxy that is up to date gets a delta from its version to itself: an answer, so that it knows how fresh its table
 * is. It may say hello again on the same stream to begin or end a subscription.
 */

/** Raised when an older reader would misunderstand; a proxy refuses what it does not know and keeps its table. */
export const SCHEMA = 1

/**
 * What was added to this schema that an older reader would not take. Each end tells its number in a header of the request
 * that opens the stream, or of its answer, which readers of any release pass over; of two numbers the lower one is spoken.
 * 0: release 0.1.0. 1: `order` and `seen` in a hello, and the messages `order`, `look` and `seen`.
 */
export const MINOR = 1
export const MINOR_HEADER = 'modelroute-protocol'

/** The number in such a header; 0 where there is none that can be read. */
export function minorOf(header: string | string[] | undefined): number {
  return typeof header === 'string' && /^\d{1,4}$/.test(header) ? Number(header) : 0
}

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
  /** It answers who looks. */
  seen: v.exactOptional(v.literal(true)),
  /** How new its table is, null where nobody said; it refuses older ones. Absent: it knows of no order. */
  order: v.exactOptional(v.nullable(Order)),
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

/** Of every rule that is measured, to every controller: any of them may be the one that decides. */
const Measurements = v.strictObject({ type: v.literal('measurements'), rules: v.array(RuleMeasurements) })
export type Measurements = v.InferOutput<typeof Measurements>

/** The holder of an API key, who proved it, made another one: only its SHA-256 is told, in hexadecimal. */
const Rotate = v.strictObject({
  type: v.literal('rotate'),
  /** What the answer is to. */
  id: text,
  /** The Secret of the key. */
  namespace: text,
  name: text,
  keySha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
})
export type Rotate = v.InferOutput<typeof Rotate>

/** The Secret of the new key, and until when (milliseconds since the epoch) the old one works; or why there is none. */
const Rotated = v.strictObject({
  type: v.literal('rotated'),
  id: text,
  outcome: v.union([v.strictObject({ name: text, until: v.number() }), v.strictObject({ problem: text })]),
})
export type Rotated = v.InferOutput<typeof Rotated>

/** What somebody wants to see of the fleet. Nothing is told of it while nobody looks. */
const Looking = v.strictObject({ type: v.literal('look'), id: v.number(), look: Look })
export type Looking = v.InferOutput<typeof Looking>

/** A `ConsoleState`, which its reader parses: one of another release refuses only itself. */
const Seen = v.strictObject({ type: v.literal('seen'), id: v.number(), state: v.unknown() })
export type Seen = v.InferOutput<typeof Seen>

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

/** Of each update on the stream that follows, until the next one. */
const Ordered = v.strictObject({ type: v.literal('order'), order: Order })

const Goodbye = v.strictObject({ type: v.literal('goodbye'), why: v.string() })

export const FromProxy = v.variant('type', [Hello, Ack, Resync, Measurements, Rotate, Seen])
export const FromController = v.variant('type', [Snapshot, Delta, Ordered, Rotated, Looking, Goodbye])
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
  /**
   * A message of megabytes, as it travels: not copied, and handed over no faster than the other end takes it.
   * @param taken called with how many bytes of it are left, at last with 0; never again once the link is closed
   */
  sendWhole(message: Uint8Array, taken: (left: number) => void): void
  /** Called once; nothing is read before. */
  onMessage(listener: (message: In) => void): void
  onClose(listener: (why: string) => void): void
  /** Delivers what was sent first. `why` is what this end's `onClose` hears. */
  close(why?: string): void
}
