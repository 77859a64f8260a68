import { failure, type Failure } from '../pipeline/errors.ts'

/** What an error of a try means to the caller, by how far the try had come. */
export type Phase = 'connecting' | 'sent' | 'answering'

export function failureOf(error: Error, phase: Phase): Failure {
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'CONNECT_TIMEOUT') return failure('timeout', 'The backend did not accept a connection in time.')
  if (code === 'REQUEST_INVALID') return failure('invalid_request', 'The request holds what cannot be forwarded.')
  if (phase === 'connecting') return failure('upstream_connect_failed', 'The backend could not be reached.')
  if (code === 'UPSTREAM_PROTOCOL') {
    return failure('upstream_protocol', 'The backend answered with something that is not valid HTTP.')
  }
  return failure('upstream_reset', 'The backend closed the connection before its answer was complete.')
}
