import { HeaderLines } from '../pipeline/header_lines.ts'
import type { Sent } from './dispatch.ts'

/** The request holds what would be read as something else than it is. */
export class BadRequest extends Error {
  readonly code = 'REQUEST_INVALID'
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const target = /^[\x21-\x7e]+$/
const chunked = 'transfer-encoding: chunked\r\n\r\n'

export const isChunked = (head: string) => head.endsWith(chunked)

/** Where no body means an empty one, which is said (RFC 9110 section 8.6). */
const bodied = new Set(['POST', 'PUT', 'PATCH'])

const lines = new HeaderLines()

/**
 * The head as it is sent, with exactly one framing header or none (RFC 9112 section 6). `content-length` among the
 * headers is the length of a body that is streamed; without it that goes in chunks.
 * @param host of a caller that names none
 */
export function requestHead({ method, path, headers, body }: Sent, host: string): string | BadRequest {
  if (!token.test(method) || !target.test(path)) return new BadRequest('the request line cannot be sent')
  // What HTTP/1.1 means anyway, for backends that know it from HTTP/1.0.
  let head = `${method} ${path} HTTP/1.1\r\nconnection: keep-alive\r\n`
  let length: string | undefined
  let named = false
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const value = headers[i + 1] ?? ''
    if (name === 'content-length') {
      length = value
      continue
    }
    if (name === 'transfer-encoding' || name === 'connection') continue
    if (name === 'host') named = true
    const line = lines.line(i, name, value)
    if (line === undefined) return new BadRequest(`the header ${name} cannot be sent`)
    head += line
  }
  if (!named) head += `host: ${host}\r\n`
  if (body === null) return bodied.has(method) ? `${head}content-length: 0\r\n\r\n` : `${head}\r\n`
  if (typeof body === 'string' || Buffer.isBuffer(body)) return `${head}content-length: ${body.length}\r\n\r\n`
  return length === undefined ? head + chunked : `${head}content-length: ${length}\r\n\r\n`
}
