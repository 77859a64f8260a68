import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../pipeline/rule.ts'
import { formatGrpcTimeout, grpcTimeout } from '../protocols/grpc.ts'
import type { Backend } from './backend.ts'

/** Where a request goes, once its variant is chosen. */
export type Destination = Readonly<{
  rule: BuiltRule
  variant: BuiltVariant
  backend: Backend
  /** All is sent over HTTP/2, and not only gRPC. */
  http2: boolean
  path: string
  headers: FlatHeaders
}>

/** Milliseconds that the caller of a gRPC method waits. */
export function patienceOf(headers: FlatHeaders): number {
  return grpcTimeout(valueOf(headers, 'grpc-timeout')) ?? Number.POSITIVE_INFINITY
}

/** The backend is told what is left of it. */
export function shrinkPatience(headers: FlatHeaders, left: number): void {
  const at = headers.indexOf('grpc-timeout')
  if (at !== -1) headers[at + 1] = formatGrpcTimeout(left)
}
