import { STATUS_CODES } from '../http.ts'
import type { Protocol } from '../protocols/path.ts'
import { grpcMessage, grpcStatusOf, isGrpc } from '../protocols/grpc.ts'
import type { FallbackResponse } from '../../table/resilience.ts'
import { rawHeader } from './door.ts'
import { errors, type ErrorCode, type Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'

/** The body of an error, in the form that the caller's own libraries look for. */
export function errorBody(protocol: Protocol, failure: Failure, requestId: string): { type: string; body: string } {
  const { status, title } = errors[failure.code]
  if (protocol === 'OpenAI') {
    const type = status === 429 ? 'rate_limit_error' : status < 500 ? 'invalid_request_error' : 'server_error'
    return json({ error: { message: failure.detail, type, param: failure.param ?? null, code: failure.code } })
  }
  if (protocol !== 'HTTP') return json({ error: failure.detail })
  // RFC 9457. Without a type it would be about:blank, whose title is the status's own; ours says more.
  return {
    type: 'application/problem+json',
    body: JSON.stringify({
      type: `urn:modelroute:error:${failure.code}`, title, status, detail: failure.detail, code: failure.code, request_id: requestId,
      ...(failure.faults && { errors: failure.faults.map(({ pointer, why }) => ({ pointer, detail: why })) }),
    }),
  }
}

const json = (value: unknown) => ({ type: 'application/json', body: JSON.stringify(value) })

/** Answers with an error. Only before anything of a response has been sent. */
export function replyError(
  { request, response, requestId }: Exchange,
  failure: Failure,
  protocol: Protocol,
  extra: readonly string[] = [],
): void {
  const { status } = errors[failure.code]
  if (isGrpc(rawHeader(request, 'content-type'))) {
    response.writeHead(200, [
      'content-type', 'application/grpc',
      'grpc-status', String(grpcStatusOf(failure.code, status)),
      'grpc-message', grpcMessage(failure.detail),
      'x-modelroute-error', failure.code,
      'x-request-id', requestId,
      ...extra,
    ])
    response.end()
    return
  }
  const { type, body } = errorBody(protocol, failure, requestId)
  const headers = [
    'content-type', type,
    'content-length', String(Buffer.byteLength(body)),
    'cache-control', 'no-store',
    'x-modelroute-error', failure.code,
    'x-request-id', requestId,
    ...extra,
  ]
  if (failure.headers) headers.push(...failure.headers)
  if (failure.allow) headers.push('allow', failure.allow.join(', '))
  if (status === 503 && !failure.headers?.includes('retry-after')) headers.push('retry-after', '1')
  response.writeHead(status, headers)
  response.end(Buffer.from(body))
}

/** The same for a request that came as far as an exchange: recorded first, where its rule is strict about that. */
export function refuseExchange(exchange: Exchange, why: Failure): void {
  if (exchange.onFailure !== undefined) {
    exchange.onFailure({ ...why, cause: exchange.cause })
    return
  }
  if (exchange.rescue !== undefined && unanswered.has(why.code) && exchange.rescue()) return
  const commit = exchange.rule?.commit
  const canned = cannedFor(exchange, why)
  if (canned !== undefined) {
    exchange.fallback = 'static'
    exchange.series?.passedOn('static', why.code)
  }
  if (commit === undefined) {
    if (canned === undefined) refuse(exchange, why)
    else replyCanned(exchange, canned)
    return
  }
  void commit(exchange, canned?.status ?? errors[why.code].status).then((unrecorded) => {
    if (exchange.ended) return
    if (unrecorded) exchange.error = unrecorded.code
    if (canned === undefined || unrecorded) refuse(exchange, unrecorded ?? why)
    else replyCanned(exchange, canned)
  })
}

/** What stands in for an answer of a backend, where a request is only imagined: a static one, or one that is too old. */
export function standIn(exchange: Exchange, why: Failure): FallbackResponse | 'stale' | undefined {
  return exchange.told?.cache?.stale === true && unanswered.has(why.code) ? 'stale' : cannedFor(exchange, why)
}

/** No backend answered. */
const unanswered = new Set<ErrorCode>([
  'backend_unresolved', 'no_endpoints', 'circuit_open', 'overloaded', 'timeout', 'upstream_connect_failed', 'upstream_reset', 'upstream_protocol', 'response_too_large',
  'step_failed',
])

/** The answer that a rule has for that. Nothing static can be the answer to a gRPC call. */
function cannedFor({ rule, request }: Exchange, { code }: Failure): FallbackResponse | undefined {
  const canned = rule?.fallbackResponse
  return canned !== undefined && unanswered.has(code) && !isGrpc(rawHeader(request, 'content-type')) ? canned : undefined
}

function replyCanned(exchange: Exchange, { status, contentType, body }: FallbackResponse): void {
  const { response, requestId, variant } = exchange
  const headers = exchange.stampHead(status, [
    'content-type', contentType,
    'content-length', String(Buffer.byteLength(body)),
    'cache-control', 'no-store',
    'x-modelroute-fallback', 'static',
    'x-request-id', requestId,
    ...(variant === undefined ? [] : ['x-modelroute-variant', variant.name]),
  ])
  response.writeHead(status, headers)
  response.end(Buffer.from(body))
}

function refuse(exchange: Exchange, why: Failure): void {
  const { variant, protocol } = exchange
  const extra = variant === undefined ? [] : ['x-modelroute-variant', variant.name]
  replyError(exchange, why, protocol, exchange.stampHead(errors[why.code].status, extra))
}

/** An error as bytes, for what is so broken that there is no response to it. */
export function rawError(failure: Failure, requestId: string): string {
  const { status } = errors[failure.code]
  const { type, body } = errorBody('HTTP', failure, requestId)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
    + `x-modelroute-error: ${failure.code}\r\nx-request-id: ${requestId}\r\n${status === 503 ? 'retry-after: 1\r\n' : ''}`
    + `connection: close\r\n\r\n${body}`
}
