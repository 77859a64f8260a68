import type { Auth, Credential } from '../../../table/principal.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { anonymous, unavailable, type Authenticate, type Authenticators, type Verdict } from '../../pipeline/principal.ts'

/**
 * Looks for one kind of credential. Undefined where the request carries none of that kind; otherwise it decides, even
 * where a later one would have found something too. A promise never rejects.
 */
export type Verifier = (exchange: Exchange) => Verdict | Promise<Verdict> | undefined

/** Makes the verifier of one kind of credential, for one tenant. */
export type Verifiers = { readonly [K in Credential['kind']]: (tenant: string, credential: Extract<Credential, { kind: K }>) => Verifier }

const termsMax = 10_000

/** Authenticates by the terms of routes: each credential in turn, and the first that is found decides. */
export function createAuthenticators(verifiers: Verifiers): Authenticators {
  const known = new Map<string, Authenticate>()
  return (tenant, auth) => {
    const key = JSON.stringify([tenant, auth])
    let authenticate = known.get(key)
    if (authenticate === undefined) {
      authenticate = build(auth, auth.anyOf.map((credential) => verifierOf(verifiers, tenant, credential)))
      if (known.size >= termsMax) known.clear()
      known.set(key, authenticate)
    }
    return authenticate
  }
}

function verifierOf({ apiKey, jwt, introspection }: Verifiers, tenant: string, credential: Credential): Verifier {
  if (credential.kind === 'apiKey') return apiKey(tenant, credential)
  return credential.kind === 'jwt' ? jwt(tenant, credential) : introspection(tenant, credential)
}

function build(auth: Auth, chain: readonly Verifier[]): Authenticate {
  // Terms by which nobody can prove anything: the rule's own do not hold, and it must not be open meanwhile.
  if (chain.length === 0 && !auth.anonymous) return () => unavailable
  const headers = ['www-authenticate', challengeOf(auth)]
  const missing: Failure = { ...unauthenticated, headers }
  return function authenticate(exchange) {
    for (const verify of chain) {
      const verdict = verify(exchange)
      if (verdict === undefined) continue
      return verdict instanceof Promise ? verdict.then((settled) => challenged(settled, headers)) : challenged(verdict, headers)
    }
    return auth.anonymous ? anonymous : missing
  }
}

/** What is missing and what is wrong read the same: nobody learns which part of a credential was right. */
export const unauthenticated: Failure = failure('unauthenticated', 'The request does not say who calls, or cannot prove it.')

/** RFC 9110 section 15.5.2: a 401 says how to do better. */
function challenged(verdict: Verdict, headers: readonly string[]): Verdict {
  if (!('code' in verdict) || verdict.headers !== undefined) return verdict
  return verdict.code === 'unauthenticated' || verdict.code === 'token_expired' ? { ...verdict, headers } : verdict
}

function challengeOf({ anyOf }: Auth): string {
  const bearer = anyOf.length === 0 || anyOf.some((credential) => credential.kind !== 'apiKey' || credential.in === 'Bearer')
  return `${bearer ? 'Bearer' : 'ApiKey'} realm="modelroute"`
}
