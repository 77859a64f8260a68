import { promisify } from 'node:util'
import { gunzip, gunzipSync, inflate, inflateSync, inflateRaw, type ZlibOptions } from 'node:zlib'

/** What a compressed body or message may come to. Bytes. */
export const inflatedMax = 16 * 1024 * 1024
/** Up to here it is worked out at once: a few milliseconds. Bytes. */
const [atOnceMax, atOnceInflatedMax] = [65_536, 1_048_576]

const later = { gzip: promisify(gunzip), deflate: promisify(inflate), raw: promisify(inflateRaw) } as const

/** The codings that are looked into. */
export type Coding = 'gzip' | 'deflate'

export function isCoding(name: string | undefined): name is Coding {
  return name === 'gzip' || name === 'deflate'
}

/** Undefined: it is not what it says, or too much. At once where it is small. */
export function inflated(coding: Coding, bytes: Buffer): Buffer | undefined | Promise<Buffer | undefined> {
  if (bytes.length <= atOnceMax) {
    try {
      return (coding === 'gzip' ? gunzipSync : inflateSync)(bytes, { maxOutputLength: atOnceInflatedMax })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE')) return rawly(coding, bytes)
    }
  }
  return slowly(coding, bytes)
}

const bounds: ZlibOptions = { maxOutputLength: inflatedMax }

async function slowly(coding: Coding, bytes: Buffer): Promise<Buffer | undefined> {
  try {
    return await later[coding](bytes, bounds)
  } catch {
    return rawly(coding, bytes)
  }
}

/** Some say deflate and mean it without zlib's frame (RFC 9110 section 8.4.1.2). */
async function rawly(coding: Coding, bytes: Buffer): Promise<Buffer | undefined> {
  if (coding !== 'deflate') return undefined
  try {
    return await later.raw(bytes, bounds)
  } catch {
    return undefined
  }
}
