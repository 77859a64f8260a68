import type { FlatHeaders } from '../pipeline/headers.ts'
import type { Sliced } from '../sliced.ts'
import type { Called } from '../upstream/call.ts'

/** One prediction that can be a part of a call. */
export type Single = Readonly<{
  /** All that must be the same for two to be parts of one call: names, datatypes, shapes of a row, parameters. */
  kind: string
  /** Predictions that are asked for in it: the first dimension of its tensors, the instances of V1. */
  rows: number
  /** The id that its caller gave it, as it is written; undefined: none. */
  id: Buffer | undefined
  /** The values of each of its tensors, without what stands around them. */
  columns: readonly Buffer[]
  /** One call for this and others of its kind, in that order. */
  join(all: readonly Single[]): Joined
}>

export type Joined = Readonly<{
  /** What is said of the body. */
  headers: FlatHeaders
  body: Buffer
  /** What of an answer is whose, in the order of those that were joined; undefined: it cannot be told. Throws `Unreadable`. */
  split(answer: Called): Sliced<readonly Share[] | undefined>
}>

/** What one of those that were joined is answered. `headers`: what is said of its body. */
export type Share = Readonly<{ headers: FlatHeaders; body: Buffer }>

/** Reads the body of a request; a text says why it cannot be a part of a call. Throws `Unreadable`. */
export type ReadSingle = (body: Buffer, headers: readonly string[]) => Sliced<Single | string>

/** Texts and bytes as one. */
export function bytesOf(parts: readonly (Buffer | string)[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
}

/** The same with commas between them. */
export function* listed(parts: Iterable<Buffer>): Generator<Buffer | string> {
  let first = true
  for (const part of parts) {
    if (!first) yield ','
    first = false
    yield part
  }
}
