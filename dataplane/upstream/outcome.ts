import { failure, type Failure } from '../pipeline/errors.ts'

/** What an error of a try means to the caller, by how far the try had come. */
export type Phase = 'connecting' | 'sent' | 'answering'

/** Codes of undici for an answer that is not HTTP, or not the length it said. */
const protocolErrors = /^(?:HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_|UND_ERR_RESPONSE)/

export function failureOf(error: Error, phase: Phase): Failure {
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return failure('timeout', 'The backend did not accept a connection in time.')
  if (code === 'UND_ERR_INVALID_ARG') return failure('invalid_request', 'The request holds what cannot be forwarded.')
  if (phase === 'connecting') return failure('upstream_connect_failed', 'The backend could not be reached.')
  if (protocolErrors.test(code) || error.name === 'HTTPParserError' || /^bad (?:response|upgrade)$/.test(error.message)) {
    return failure('upstream_protocol', 'The backend answered with something that is not valid HTTP.')
  }
  return failure('upstream_reset', 'The backend closed the connection before its answer was complete.')
}
