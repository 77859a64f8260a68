import { readBody, readLimit } from '../pipeline/body.ts'
import { failure, requestTooLarge, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { removeHeader, valueOf } from '../pipeline/headers.ts'
import { isPlain, unpacked } from '../protocols/encodings.ts'

/**
 * The whole body of a request, out of its content coding; what is sent on is then this. At once where it is here
 * already. Never rejects.
 */
export function plainBody(exchange: Exchange): Buffer | Failure | Promise<Buffer | Failure> {
  const body = readBody(exchange)
  return body instanceof Promise ? body.then((settled) => plain(exchange, settled)) : plain(exchange, body)
}

function plain(exchange: Exchange, body: Buffer | Failure): Buffer | Failure | Promise<Buffer | Failure> {
  const { headers } = exchange.received
  const encoding = valueOf(headers, 'content-encoding')
  if ('code' in body || encoding === undefined) return body
  if (body.length > 0 && !isPlain(encoding)) {
    const max = readLimit(exchange.rule?.requestMax ?? Number.POSITIVE_INFINITY)
    return unpacked(body, encoding, max).then((settled) => {
      if (typeof settled === 'string') return settled === 'too_large' ? requestTooLarge(max) : packed
      removeHeader(headers, 'content-encoding')
      return replaceBody(exchange, settled)
    })
  }
  return body
}

/** Puts another body in the place of the one that was read. */
export function replaceBody(exchange: Exchange, body: Buffer): Buffer {
  exchange.members = undefined
  return (exchange.body = body)
}

const packed = failure('invalid_request', 'The body is not packed as its Content-Encoding says, or in a way that is not read here.')
