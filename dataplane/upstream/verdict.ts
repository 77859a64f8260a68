import { valueOf } from '../pipeline/headers.ts'
import type { TryOutcome } from './backend.ts'

/** What a try says about the endpoint that it was made on. `slow`: well, but not in the time that is allowed for it. */
export type Verdict = 'good' | 'slow' | 'failed'

/** UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS: what a server says of itself, and not of the request. */
const grpcFailures = new Set(['2', '13', '14', '15'])

/** The answer to a call of gRPC that is over with its head has its status there. */
const grpcStatusOf = (headers: readonly string[], trailers: readonly string[]) => valueOf(trailers, 'grpc-status') ?? valueOf(headers, 'grpc-status')

/**
 * Undefined: it says nothing. 5xx is a failure, and so is a call of gRPC with a status that says as much; 429 is not, nor
 * is 501, which is the request's fault.
 * @param slowAfter milliseconds to the first byte; infinite: nothing is slow
 */
export function verdictOf(outcome: TryOutcome, slowAfter: number): Verdict | undefined {
  if (outcome.kind === 'cancelled') return undefined
  if (outcome.kind === 'failed') return 'failed'
  const { status, headers, trailers, firstByteMs } = outcome
  if (status >= 500 && status !== 501) return 'failed'
  const grpcStatus = grpcStatusOf(headers, trailers)
  if (grpcStatus !== undefined && grpcFailures.has(grpcStatus)) return 'failed'
  return firstByteMs > slowAfter ? 'slow' : 'good'
}
