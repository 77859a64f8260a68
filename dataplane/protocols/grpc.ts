import type { ErrorCode } from '../pipeline/errors.ts'

/** `application/grpc`, also `+proto` and with parameters; gRPC-Web is HTTP like any other. */
export function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:[+;\s]|$)/i.test(contentType)
}

/** Codes that say more than their HTTP status would. */
const exact: Partial<Record<string, number>> = { invalid_request: 3, timeout: 4, model_not_found: 5, headers_too_large: 8, unsupported_translation: 12, method_not_allowed: 12, client_closed: 1 }

/** The gRPC status of an error; where it has none of its own, by its HTTP status (grpc doc/http-grpc-status-mapping). */
export function grpcStatusOf(code: ErrorCode, status: number): number {
  const own = exact[code]
  if (own !== undefined) return own
  if (status === 401) return 16
  if (status === 403) return 7
  if (status === 404) return 12
  if (status === 413 || status === 429) return 8
  if (status === 422) return 3
  return status === 500 || code === 'upstream_protocol' ? 13 : 14
}

const httpCodes: Readonly<Record<string, number>> = {
  0: 200, 1: 499, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 14: 503, 16: 401,
}

/** The HTTP status that says what a `grpc-status` says; 500 where none says more. */
export function grpcCodeOf(status: string): number {
  return httpCodes[status] ?? 500
}

/** A text as `grpc-message` carries it (gRPC over HTTP/2, Percent-Encoded). */
export function grpcMessage(text: string): string {
  return encodeURIComponent(text).replaceAll(/%(?:20|2C|2F|3A|3B|3D|40|24|26|2B|3F|23|5B|5D)/g, decodeURIComponent)
}

const unitOf: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** Milliseconds of a `grpc-timeout`; undefined where there is none, or none that can be read. */
export function grpcTimeout(value: string | undefined): number | undefined {
  const parts = /^(?<amount>\d{1,8})(?<unit>[HMSmun])$/.exec(value ?? '')?.groups
  return parts && Number(parts['amount']) * (unitOf[parts['unit'] ?? ''] ?? 0)
}

/** At most eight digits, in the finest unit that they can hold. */
export function formatGrpcTimeout(milliseconds: number): string {
  const left = Math.max(0, milliseconds)
  if (left < 99_999) return `${Math.floor(left * 1000)}u`
  return left < 99_999_999 ? `${Math.floor(left)}m` : `${Math.min(99_999_999, Math.floor(left / 1000))}S`
}
