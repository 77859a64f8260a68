import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import type { Verdict } from '../../pipeline/principal.ts'

/**
 * One kind of credential that a rule accepts, ready to run. Undefined: the request carries none of this kind, and the
 * next kind is tried. At once where the credential is known already; it never throws or rejects.
 */
export type Verifier = (exchange: Exchange) => Verdict | Promise<Verdict> | undefined

/**
 * Whatever is wrong with a credential, its bearer is told the same: what would tell them apart would help to make one
 * that passes. The log says which part it was.
 */
export function rejected(cause: string): Failure {
  return { ...failure('unauthenticated', 'The request does not say who calls, or cannot prove it.'), cause }
}

/** Only of a token that is right in everything else: its bearer may have another one made. */
export const expired: Failure = failure('token_expired', 'The token has expired.')

export function unavailable(cause: string): Failure {
  return { ...failure('auth_unavailable', 'The gateway cannot tell at present who calls.'), cause }
}

/** RFC 6750 section 2.1: what follows `Bearer` is one token68. */
const bearerForm = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i

/** The token of the Authorization header. Undefined also where there are two such headers. */
export function bearerOf(exchange: Exchange): string | undefined {
  const value = exchange.header('authorization')
  return value === undefined ? undefined : bearerForm.exec(value)?.[1]
}
