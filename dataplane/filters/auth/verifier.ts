import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { Verdict } from '../../pipeline/principal.ts'

/**
 * Looks for one kind of credential that a rule accepts. Undefined where the request carries none of that kind; otherwise
 * it decides, even where a later one would have found something too. At once where the credential is known already; a
 * promise never rejects.
 */
export type Verifier = (exchange: Exchange) => Verdict | Promise<Verdict> | undefined

/**
 * What is missing and what is wrong read the same, whatever is wrong with it: what would tell them apart would help to
 * make one that passes.
 */
export const unauthenticated: Failure = failure('unauthenticated', 'The request does not say who calls, or cannot prove it.')

/** The same, and for the log, which part it was. */
export function rejected(cause: string): Failure {
  return { ...unauthenticated, cause }
}

/** Only of a token that is right in everything else: its bearer may have another one made. */
export const expired: Failure = failure('token_expired', 'The token has expired.')

/** Nobody can tell at present who calls: with its cause, for the log. */
export function untold(cause: string): Failure {
  return { ...failure('auth_unavailable', 'The gateway cannot tell at present who calls.'), cause }
}
