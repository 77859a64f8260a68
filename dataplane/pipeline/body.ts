import { failure, requestTooLarge, type Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import { Gather } from './gather.ts'
import type { BuiltRule } from './rule.ts'

/** What a body may have where something must read it and the rule says nothing. */
export const readMax = 16 * 1024 * 1024

/** Bytes of a body that must be read whole. @param limit the rule's own; infinite: it has none */
export const readLimit = (limit: number): number => Number.isFinite(limit) ? limit : readMax

/**
 * The whole body of the request, for a filter that must see it; what is sent on is then this. At once where it is
 * here already. The client sends the rest only once this is asked for, so a rule that does not ask reads nothing.
 */
export function readBody(exchange: Exchange, max = readLimit(exchange.rule?.requestMax ?? Number.POSITIVE_INFINITY)): Buffer | Failure | Promise<Buffer | Failure> {
  const { received } = exchange
  if (exchange.body !== undefined) return exchange.body
  if (received.bodyLength === 0) return (exchange.body = Buffer.alloc(0))
  if (received.bodyLength !== 'chunked' && received.bodyLength > max) return requestTooLarge(max)
  return gather(exchange, max)
}

function gather(exchange: Exchange, max: number): Promise<Buffer | Failure> {
  const { request, response } = exchange
  const { promise, resolve } = Promise.withResolvers<Buffer | Failure>()
  const { bodyLength } = exchange.received
  const gathered = new Gather(bodyLength === 'chunked' ? 0 : bodyLength)
  let size = 0
  let over = false
  let timer: NodeJS.Timeout | undefined
  // What came with its head is here before this runs, and needs none.
  queueMicrotask(() => {
    if (!over) timer = bodyTimer(exchange, exchange.rule, end)
  })
  function end(outcome: Buffer | Failure): void {
    over = true
    clearTimeout(timer)
    request.release()
    resolve(outcome)
  }
  function keep(body: Buffer): void {
    exchange.body = body
    exchange.bodyTap?.(body, false)
    exchange.bodyTap?.(undefined, false)
    end(body)
  }
  request.read({
    copies: true,
    data(chunk) {
      size += chunk.length
      exchange.bytesIn = size
      if (size > max) end(requestTooLarge(max))
      else gathered.push(chunk)
      return size <= max
    },
    pending: () => false,
    end() {
      const whole = gathered.whole()
      if (whole instanceof Promise) void whole.then(keep)
      else keep(whole)
    },
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
