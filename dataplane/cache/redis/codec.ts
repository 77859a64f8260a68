import { crc32 } from 'node:zlib'
import * as v from 'valibot'
import type { Entry } from '../entry.ts'
import type { Shareable } from '../shared.ts'

/** What a store holds: this, a checksum of all after it, the key, the length of a head, the head as JSON, the body. */
const magic = Buffer.from('mra1')
const keyAt = 8
const keyLength = 32
const lengthAt = keyAt + keyLength
const headAt = lengthAt + 4

const texts = v.pipe(v.array(v.string()), v.check((list) => list.length % 2 === 0))
const amount = v.pipe(v.number(), v.minValue(0))
const count = v.pipe(amount, v.integer())

const Kept = v.strictObject({
  status: v.pipe(count, v.minValue(200), v.maxValue(399)),
  headers: texts,
  trailers: texts,
  age: amount, lifetime: amount, kept: amount, staleIfError: amount, strict: v.boolean(), always: v.boolean(),
  storedAt: amount, backendSeconds: amount,
  generated: v.optional(v.strictObject({ pieces: count, usage: v.optional(v.strictObject({ inputTokens: amount, outputTokens: amount })) })),
})
const Vary = v.strictObject({ vary: v.pipe(v.array(v.string()), v.maxLength(16)) })

/** @param key of 32 Latin-1 characters: the answer of another one is never taken for its own */
export function encode(key: string, item: Shareable): Buffer {
  let head: string
  let body: Buffer = Buffer.alloc(0)
  if (item.kind === 'vary') head = JSON.stringify({ vary: item.names })
  else {
    const { body: own, mark: _, ...rest } = item.entry
    head = JSON.stringify(rest)
    body = own
  }
  const length = Buffer.byteLength(head)
  const bytes = Buffer.allocUnsafe(headAt + length + body.length)
  magic.copy(bytes)
  bytes.write(key, keyAt, 'latin1')
  bytes.writeUInt32LE(length, lengthAt)
  bytes.write(head, headAt)
  body.copy(bytes, headAt + length)
  bytes.writeUInt32LE(crc32(bytes.subarray(keyAt)), 4)
  return bytes
}

/** Undefined: it is none, or not whole, or for another key. @param mark of the purges that it has not seen */
export function decode(bytes: Buffer, key: string, mark: number): Shareable | undefined {
  if (bytes.length < headAt || !bytes.subarray(0, 4).equals(magic) || bytes.readUInt32LE(4) !== crc32(bytes.subarray(keyAt))) return undefined
  if (bytes.toString('latin1', keyAt, lengthAt) !== key) return undefined
  const bodyAt = headAt + bytes.readUInt32LE(lengthAt)
  if (bodyAt > bytes.length) return undefined
  let head: unknown
  try {
    head = JSON.parse(bytes.toString('utf8', headAt, bodyAt))
  } catch {
    return undefined
  }
  const vary = v.safeParse(Vary, head)
  if (vary.success) return { kind: 'vary', names: vary.output.vary }
  const kept = v.safeParse(Kept, head)
  if (!kept.success) return undefined
  const { generated, ...rest } = kept.output
  // Not a part of what was read, which may be much more.
  const body = Buffer.allocUnsafeSlow(bytes.length - bodyAt)
  bytes.copy(body, 0, bodyAt)
  const entry: Entry = { ...rest, body, mark, ...(generated && { generated: { pieces: generated.pieces, usage: generated.usage } }) }
  return { kind: 'entry', entry }
}
