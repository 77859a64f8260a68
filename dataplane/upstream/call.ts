import { randomUUID } from 'node:crypto'
import { errors, failure, type Failure } from '../pipeline/errors.ts'
import { Exchange } from '../pipeline/exchange.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import type { Series } from '../telemetry/series.ts'
import type { Spans } from '../telemetry/tracing/spans.ts'
import type { Generated } from '../translate/translation.ts'
import { assign, destinationOf, type Destination } from './destination.ts'
import type { AnswerHandler } from './dispatch.ts'
import { Forwarding } from './forward.ts'
import { innerRequest, InnerResponse } from './inner.ts'

/**
 * A request that the gateway makes itself. `path` is in normal form; `query` begins with its `?`, where there is one.
 * `authority`: the Host, where it is not that of the request that it is made for.
 */
export type Ask = Readonly<{ method: string; authority?: string; path: string; query?: string; headers: Readonly<FlatHeaders>; body: Buffer | undefined }>

export type CallTerms = Readonly<{
  /**
   * The request that it is made for: its id, its caller and its time are those of the call. Without it the call is
   * nobody's, has an id of its own, and all the time that the rule gives a request.
   */
  outer: Exchange | undefined
  /** For whom an endpoint is chosen, of a call that is nobody's. */
  who?: Pick<Exchange, 'principal' | 'clientAddress'>
  /** False: how long it took is counted by those that it is made for. */
  counted?: boolean
  /** It has all the time that a request has, and what comes of its text is counted here, for the request that it is made for. */
  own?: Generated
  /** Milliseconds, beside what the rule and the caller give. */
  timeout?: number | undefined
  /** Of the body of the answer. */
  maxBytes: number
  /** Its answer is of no use any more. */
  signal?: AbortSignal | undefined
  /** What it is a part of, where that is traced and is not `outer` itself. */
  spans?: Spans | undefined
  /** Told once it is over, whichever way, and after its answer: what it came to. */
  ended?: ((call: Exchange) => void) | undefined
}>

/** An answer, whole. `headers` and `trailers`: names in lower case and values, one after the other. */
export type Called = Readonly<{ status: number; headers: readonly string[]; body: Buffer; trailers: readonly string[] }>

/** Never rejects. */
export type CallVariant = (rule: BuiltRule, variant: BuiltVariant, ask: Ask, terms: CallTerms) => Promise<Called | Failure>

/** A call came to nothing, before its answer or in the middle of it. */
export class CallFailed extends Error {
  readonly why: Failure

  constructor(why: Failure) {
    super(why.detail)
    this.why = why
  }
}

/**
 * A rule by which a variant is called from inside: with its endpoints, health, circuit, credentials and retries, and with
 * nothing that is for callers. @param series where tries and times are counted
 */
export function calleeOf(rule: BuiltRule, variant: BuiltVariant, series: Series): BuiltRule {
  return {
    ...rule,
    filters: [], filterNames: [], variants: [variant], callees: [], compose: undefined, choose: () => variant, next: undefined, renames: false, translates: false,
    requestMax: Number.POSITIVE_INFINITY,
    fallbackResponse: undefined, mirror: undefined, cors: undefined, authenticate: undefined, audited: undefined, commit: undefined,
    series: () => series,
  }
}

/**
 * Calls the one variant of `callee`, and gathers what it answers. What it is not: a request of the route. No limit counts
 * it, nothing records it, and no stage sees its answer but the one that brings it into the form that was asked in.
 */
export function callBackend(callee: BuiltRule, ask: Ask, terms: CallTerms): Promise<Called | Failure> {
  return new Promise((resolve) => {
    let status = 0
    let headers: readonly string[] = []
    const pieces: Buffer[] = []
    openCall(callee, ask, terms, {
      onResponseStart(_controller, code, raw) {
        status = code
        headers = raw
      },
      onResponseData: (_controller, chunk) => { pieces.push(chunk) },
      onResponseFlush: () => true,
      onResponseEnd: (_controller, trailers) => resolve({ status, headers, trailers, body: pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces) }),
      onResponseError: (error) => resolve(error instanceof CallFailed ? error.why : failure('upstream_reset', error.message)),
    })
  })
}

/** The same for a variant of a rule, or for what a rule calls beside them. */
export const callVariant: CallVariant = (rule, variant, ask, terms) => callBackend(calleeOf(rule, variant, rule.series(terms.outer?.asked, variant)), ask, terms)

/**
 * The same, with the answer given on piece by piece, as fast as it is taken. `to` keeps what it is given, and hears of a
 * failure as of a `CallFailed`.
 */
export function openCall(callee: BuiltRule, ask: Ask, { outer, who = outer, counted = true, own, timeout, maxBytes, signal, spans = outer?.spans, ended }: CallTerms, to: AnswerHandler): void {
  if (signal?.aborted === true) {
    to.onResponseError(new CallFailed(abandoned))
    return
  }
  const now = performance.now()
  const startedAt = own === undefined ? outer?.startedAt ?? now : now
  const { timeouts, variants: [variant] } = callee
  if (variant === undefined) throw new Error('a callee without a variant')
  const request = Math.min(timeouts.request ?? Number.POSITIVE_INFINITY, timeout === undefined ? Number.POSITIVE_INFINITY : now - startedAt + timeout)
  const rule: BuiltRule = maxBytes === callee.responseMax && request === (timeouts.request ?? Number.POSITIVE_INFINITY) ? callee
    : { ...callee, responseMax: maxBytes, timeouts: request < Number.POSITIVE_INFINITY ? { ...timeouts, request } : timeouts }
  const exchange = innerExchange(ask, startedAt, outer, who, new InnerResponse(to))
  exchange.rule = rule
  exchange.trace = outer?.trace
  if (spans !== undefined) {
    exchange.spans = spans.inner()
    exchange.spans.watch(exchange)
  }
  if (own !== undefined) {
    exchange.generated = own
    exchange.countsTokens = outer?.countsTokens === true
  }
  let why: Failure | undefined
  exchange.onFailure = (given) => {
    why = given
    exchange.response.destroy()
  }
  assign(exchange, rule, variant)
  const { series } = exchange
  if (series) series.inFlight++
  const leave = () => {
    exchange.error ??= 'client_closed'
    exchange.response.destroy()
  }
  signal?.addEventListener('abort', leave, { once: true })
  exchange.response.once('close', () => {
    signal?.removeEventListener('abort', leave)
    exchange.way?.clientClosed()
    exchange.end()
    count(exchange, counted)
    exchange.spans?.settle(exchange)
    ended?.(exchange)
    if (!exchange.response.writableFinished) to.onResponseError(new CallFailed(why ?? brokenOff(exchange)))
  })
  const begin = (destination: Destination | Failure): void => {
    if (exchange.ended) return
    exchange.way = new Forwarding(exchange, rule, destination)
    exchange.way.start()
  }
  const destination = destinationOf(exchange, rule, variant)
  if (destination instanceof Promise) void destination.then(begin)
  else begin(destination)
}

function innerExchange(
  { method, authority = '', path, query = '', headers, body }: Ask,
  startedAt: number,
  outer: Exchange | undefined,
  who: CallTerms['who'],
  response: InnerResponse,
): Exchange {
  const flat: FlatHeaders = [...headers]
  const received = {
    method, host: outer?.received.host ?? 'localhost', authority: authority || (outer?.received.authority ?? 'localhost'), path, query, headers: flat, seen: 0, bodyLength: body?.length ?? 0,
    expectsContinue: false, persistent: true, again: undefined,
  }
  const exchange = new Exchange(innerRequest(method, path + query, flat), response, received, outer?.tableVersion ?? '', outer?.requestId ?? randomUUID(), startedAt)
  exchange.body = body ?? Buffer.alloc(0)
  if (who !== undefined) {
    exchange.clientAddress = who.clientAddress
    exchange.principal = who.principal
  }
  if (outer !== undefined) {
    exchange.countsTokens = outer.countsTokens
    exchange.promptKey = outer.promptKey
  }
  return exchange
}

/** How long the backend took, where it was asked. */
function count({ series, upstreamStartedAt, upstreamEndedAt }: Exchange, counted: boolean): void {
  if (series === undefined) return
  series.inFlight--
  if (counted && upstreamStartedAt > 0) series.upstream.observe(((upstreamEndedAt || performance.now()) - upstreamStartedAt) / 1000)
}

function brokenOff({ error = 'upstream_reset', cause }: Exchange): Failure {
  return { code: error, detail: `${errors[error].title}.`, cause }
}

const abandoned = failure('client_closed', 'The answer is not waited for any more.')
