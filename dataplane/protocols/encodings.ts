import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'

/** Why packed bytes stay packed: they come to more than is allowed, or are in no form that is known here. */
export type Packed = 'too_large' | 'encoding'

type Unpack = (packed: Buffer, max: number) => Promise<Buffer>

const options = (maxOutputLength: number) => ({ maxOutputLength })
const unpackers: ReadonlyMap<string, Unpack> = new Map<string, Unpack>([
  ['gzip', (packed, max) => promisify(gunzip)(packed, options(max))],
  ['x-gzip', (packed, max) => promisify(gunzip)(packed, options(max))],
  ['deflate', (packed, max) => promisify(inflate)(packed, options(max))],
  ['br', (packed, max) => promisify(brotliDecompress)(packed, options(max))],
  ['zstd', (packed, max) => promisify(zstdDecompress)(packed, options(max))],
])

/** Whether a Content-Encoding says that the bytes are as they are. */
export function isPlain(encoding: string | undefined): boolean {
  return encoding === undefined || encoding === '' || encoding.toLowerCase() === 'identity'
}

/**
 * The bytes that a Content-Encoding (RFC 9110 section 8.4) stands for, in another thread: zlib's own. One coding only;
 * who lists several wants to be a bomb. Never rejects.
 * @param max bytes that they may come to
 */
export function unpacked(body: Buffer, encoding: string, max: number): Promise<Buffer | Packed> {
  const unpack = unpackers.get(encoding.trim().toLowerCase())
  if (unpack === undefined) return Promise.resolve('encoding')
  return unpack(body, max).catch((error: unknown) =>
    (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'encoding'))
}
