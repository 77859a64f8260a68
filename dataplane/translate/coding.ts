import { createGunzip, createInflate } from 'node:zlib'
import { failure, requestTooLarge, type Failure } from '../pipeline/errors.ts'
import { valueOf } from '../pipeline/headers.ts'
import { Gather } from './gather.ts'

/**
 * A body out of its content coding (RFC 9110 section 8.4): gzip or deflate. What unpacks to more than `max` bytes is
 * refused as too large, as soon as that shows.
 */
export function decoded(headers: readonly string[], body: Buffer, max: number): Buffer | Failure | Promise<Buffer | Failure> {
  const coding = (valueOf(headers, 'content-encoding') ?? 'identity').trim().toLowerCase()
  return coding === 'identity' || coding === '' || body.length === 0 ? body : unpacked(coding, body, max)
}

function unpacked(coding: string, body: Buffer, max: number): Failure | Promise<Buffer | Failure> {
  if (coding !== 'gzip' && coding !== 'x-gzip' && coding !== 'deflate') {
    return failure('unsupported_translation', `A body that is to be translated may be packed with gzip or deflate, and not with ${JSON.stringify(coding.slice(0, 32))}.`)
  }
  const { promise, resolve } = Promise.withResolvers<Buffer | Failure>()
  const stream = coding === 'deflate' ? createInflate({ chunkSize }) : createGunzip({ chunkSize })
  const gather = new Gather(0)
  const end = (outcome: Buffer | Failure | Promise<Buffer | Failure>): void => {
    resolve(outcome)
    stream.destroy()
  }
  stream.on('data', (chunk: Buffer) => {
    if (gather.size + chunk.length > max) end(requestTooLarge(max))
    else gather.push(chunk)
  })
  stream.on('error', () => end(broken))
  stream.on('end', () => end(gather.whole()))
  stream.end(body)
  return promise
}

const chunkSize = 65_536
const broken = failure('invalid_request', 'The body is not packed as its Content-Encoding says.')
