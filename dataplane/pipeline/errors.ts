/**
 * Every code a reply, the log and the metrics can carry. Callers script against them, so a code never changes its
 * meaning or its status. docs/errors.md explains each, and `npm run generate` keeps the two together.
 */
export const errors = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  unauthenticated: { status: 401, title: 'The request does not say who calls, or cannot prove it' },
  token_expired: { status: 401, title: 'The token has expired' },
  forbidden: { status: 403, title: 'The caller may not do this' },
  model_not_found: { status: 404, title: 'The backend does not know the model' },
  no_route: { status: 404, title: 'No route matches the request' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  request_too_large: { status: 413, title: 'The body of the request is too large' },
  schema_mismatch: { status: 422, title: 'The body of the request is not what it should be' },
  unsupported_translation: { status: 422, title: 'The request cannot be put into the terms of the backend' },
  rate_limited: { status: 429, title: 'Too many requests' },
  quota_exhausted: { status: 429, title: 'The quota is used up' },
  queue_timeout: { status: 429, title: 'The request waited too long for its turn' },
  headers_too_large: { status: 431, title: 'The request headers are too large or too many' },
  backend_unresolved: { status: 500, title: 'The backend does not resolve' },
  plugin_failed: { status: 500, title: 'A plugin of the gateway failed' },
  step_failed: { status: 502, title: 'One of the calls that make up the answer failed' },
  upstream_connect_failed: { status: 502, title: 'The backend could not be reached' },
  upstream_reset: { status: 502, title: 'The backend broke the connection' },
  upstream_protocol: { status: 502, title: 'The backend answered with something that is not valid HTTP' },
  response_too_large: { status: 502, title: 'The answer of the backend is too large' },
  response_schema_mismatch: { status: 502, title: 'The answer of the backend is not what it should be' },
  no_endpoints: { status: 503, title: 'The backend has no ready endpoint' },
  circuit_open: { status: 503, title: 'The backend fails too often to be asked at present' },
  overloaded: { status: 503, title: 'The gateway or the backend has more requests than it can take' },
  auth_unavailable: { status: 503, title: 'It cannot be told at present who calls' },
  audit_unavailable: { status: 503, title: 'The request cannot be recorded' },
  limit_store_unavailable: { status: 503, title: 'The counts of the limits cannot be reached' },
  timeout: { status: 504, title: 'The request took too long' },
  not_cached: { status: 504, title: 'No answer to the request is kept' },
  /** Never sent: nobody is left to read it. The status is what the log and the metrics show. */
  client_closed: { status: 499, title: 'The client left before the response was complete' },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof errors

/** Why a request is not served. `detail` is for the caller: it names nothing that the caller may not know. */
export type Failure = Readonly<{
  code: ErrorCode
  detail: string
  /** The member of the request that it is about, where one is. */
  param?: string
  /** Every place of the body where something is wrong, as a JSON Pointer, and what. */
  faults?: readonly Readonly<{ pointer: string; why: string }>[]
  /** 405 only. */
  allow?: readonly string[]
  /** Headers of the answer: names in lower case and values. */
  headers?: readonly string[]
  /** For the log: what the caller need not know. */
  cause?: string
}>

export function failure(code: ErrorCode, detail: string): Failure {
  return { code, detail }
}

export const requestTooLarge = (max: number) =>
  failure('request_too_large', `The body of the request has more than the ${max} bytes that are let through here.`)
