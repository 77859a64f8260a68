import type { Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { Gather } from '../pipeline/gather.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'

/** Why packed bytes stay packed: they come to more than is allowed, or are in no form that is known here. */
export type Packed = 'too_large' | 'encoding'

/** Larger than zlib's own, so that large bodies come in fewer pieces. Bytes. */
const chunkSize = 65_536

const unpackers: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ['gzip', () => createGunzip({ chunkSize })],
  ['x-gzip', () => createGunzip({ chunkSize })],
  ['deflate', () => createInflate({ chunkSize })],
  ['br', () => createBrotliDecompress({ chunkSize })],
  ['zstd', () => createZstdDecompress({ chunkSize })],
])

/** Whether a Content-Encoding says that the bytes are as they are. */
export function isPlain(encoding: string | undefined): boolean {
  return encoding === undefined || encoding === '' || encoding.toLowerCase() === 'identity'
}

/**
 * The bytes that a Content-Encoding (RFC 9110 section 8.4) stands for: unpacked in another thread, zlib's own, and put
 * together in turns. One coding only; who lists several wants to be a bomb. Never rejects.
 * @param max bytes that they may come to
 */
export function unpacked(body: Buffer, encoding: string, max: number): Promise<Buffer | Packed> {
  const stream = unpackers.get(encoding.trim().toLowerCase())?.()
  if (stream === undefined) return Promise.resolve('encoding')
  const { promise, resolve } = Promise.withResolvers<Buffer | Packed>()
  const gather = new Gather(0)
  const end = (outcome: Buffer | Packed | Promise<Buffer>): void => {
    resolve(outcome)
    stream.destroy()
  }
  stream.on('data', (chunk: Buffer) => {
    if (gather.size + chunk.length > max) end('too_large')
    else gather.push(chunk)
  })
  stream.on('error', () => end('encoding'))
  stream.on('end', () => end(gather.whole()))
  stream.end(body)
  return promise
}

/** A body out of the coding that its headers name; their names are in lower case. At once where it is in none. Never rejects. */
export function decoded(headers: Readonly<FlatHeaders>, body: Buffer, max: number): Buffer | Promise<Buffer | Packed> {
  const encoding = valueOf(headers, 'content-encoding')?.trim()
  return body.length === 0 || encoding === undefined || isPlain(encoding) ? body : unpacked(body, encoding, max)
}
