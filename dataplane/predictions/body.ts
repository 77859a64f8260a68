import type { Predictions } from '../../table/predictions.ts'
import { blotted } from '../json/blot.ts'
import type { Places } from '../json/pointer.ts'
import { worked } from '../json/text.ts'
import { isPlain, unpacked } from '../protocols/encodings.ts'

/** A body as it passed by, or its beginning. */
export type Part = Readonly<{
  type: string | undefined
  encoding: string | undefined
  /** Bytes of JSON before the tensors, where the body has such (binary tensor data extension). */
  jsonLength: string | undefined
  bytes: Buffer
  /** Of the whole body. */
  size: number
}>

/**
 * Why the log has no body: it is larger than what is read; packed in a way that is not known; or not JSON, so that nobody
 * could say where in it the values stand that must not be written down.
 */
export type Withheld = 'too_large' | 'encoding' | 'not_json'

export type Shown = Readonly<{
  /** What is written down; undefined: nothing is. */
  data: Buffer | undefined
  withheld: Withheld | undefined
  /** `data` is the beginning of it. */
  truncated: boolean
  /** What JSON says, after what is not to be seen was blotted out; undefined: it is none. */
  value: unknown
  /** What is no JSON, for statistics; undefined where something of it is not to be seen. */
  other: Buffer | undefined
}>

export type Terms = Readonly<{ bodies: Predictions['bodies']; places: Places<true> }>

/** What is seen of a body by these terms. Never rejects. @param max bytes that are read of one */
export async function shown(part: Part, { bodies, places }: Terms, max: number): Promise<Shown> {
  const { encoding, size } = part
  const cut = size > part.bytes.length
  const plain = encoding === undefined || isPlain(encoding) ? part.bytes : cut ? 'too_large' : await unpacked(part.bytes, encoding, max)
  if (typeof plain === 'string') return { ...nothing, withheld: bodies === 'None' ? undefined : plain }
  if (bodies === 'None') return cut ? nothing : { ...nothing, ...readIn(plain) }
  if (plain.length === 0) return nothing
  if (bodies === 'Full') return { ...nothing, data: plain, truncated: cut, ...(!cut && readIn(plain)) }
  if (cut) return { ...nothing, withheld: 'too_large' }
  const left = await worked(blotted(plain, places), plain.length)
  // A reader that takes less for JSON than others do might have seen other values than they see.
  const value = Buffer.isBuffer(left) ? parsed(left) : undefined
  return value === undefined || !Buffer.isBuffer(left) ? { ...nothing, withheld: 'not_json' } : { ...nothing, data: left, value }
}

const nothing: Shown = { data: undefined, withheld: undefined, truncated: false, value: undefined, other: undefined }

function readIn(bytes: Buffer): Pick<Shown, 'value' | 'other'> {
  const value = parsed(bytes)
  return value === undefined ? { value, other: bytes } : { value, other: undefined }
}

/** Undefined: it is no JSON. */
function parsed(bytes: Buffer): unknown {
  const first = bytes[0] ?? 0
  if (first < 0x20 ? first !== 0x0a && first !== 0x0d && first !== 0x09 : bytes.length === 0) return undefined
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}
