import { failure, requestTooLarge, type Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import type { BuiltRule } from './rule.ts'

/** What a body may have where something must read it and the rule says nothing. */
export const readMax = 16 * 1024 * 1024

/** Bytes of a body that must be read whole. @param limit the rule's own; infinite: it has none */
export const readLimit = (limit: number): number => Number.isFinite(limit) ? limit : readMax

/**
 * The whole body of the request, for a filter that must see it; what is sent on is then this. At once where it is
 * here already. The client sends the rest only once this is asked for, so a rule that does not ask reads nothing.
 */
export function readBody(exchange: Exchange): Buffer | Failure | Promise<Buffer | Failure> {
  const { received, rule } = exchange
  if (exchange.body !== undefined) return exchange.body
  if (received.bodyLength === 0) return (exchange.body = Buffer.alloc(0))
  const max = readLimit(rule?.requestMax ?? Number.POSITIVE_INFINITY)
  if (received.bodyLength !== 'chunked' && received.bodyLength > max) return requestTooLarge(max)
  return gather(exchange, max)
}

function gather(exchange: Exchange, max: number): Promise<Buffer | Failure> {
  const { request, response } = exchange
  const { promise, resolve } = Promise.withResolvers<Buffer | Failure>()
  const chunks: Buffer[] = []
  let size = 0
  const timer = bodyTimer(exchange, exchange.rule, end)
  function end(outcome: Buffer | Failure): void {
    clearTimeout(timer)
    request.release()
    resolve(outcome)
  }
  request.read({
    copies: true,
    data(chunk) {
      size += chunk.length
      exchange.bytesIn = size
      if (size > max) end(requestTooLarge(max))
      else chunks.push(Buffer.from(chunk))
      return size <= max
    },
    pending: () => false,
    end: () => end((exchange.body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size))),
    fail: (error) => end(error instanceof BadBody ? error.why : gone),
  })
  if (exchange.received.expectsContinue && !exchange.continued) {
    exchange.continued = true
    response.writeContinue()
  }
  return promise
}

/** Calls back when the rule gives the request no more time. */
export function bodyTimer({ startedAt }: Exchange, rule: BuiltRule | undefined, end: (why: Failure) => void): NodeJS.Timeout | undefined {
  const { request: whole } = rule?.timeouts ?? {}
  return whole === undefined ? undefined : setTimeout(() => end(late), Math.max(1, Math.min(startedAt + whole - performance.now(), 2 ** 31 - 1)))
}

/** What is wrong with a body, found while it was on its way. */
export class BadBody extends Error {
  readonly why: Failure

  constructor(why: Failure) {
    super(why.detail)
    this.why = why
  }
}

const late = failure('timeout', 'The request was not complete in time.')
export const gone = failure('client_closed', 'The client left in the middle of the request body.')
