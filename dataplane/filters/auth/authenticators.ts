import type { Auth, Credential } from '../../../table/principal.ts'
import type { Failure } from '../../pipeline/errors.ts'
import { anonymous, unavailable, type Authenticate, type Authenticators, type Verdict } from '../../pipeline/principal.ts'
import { claimsBearer } from './bearer.ts'
import { Shared } from './shared.ts'
import { rejected, unauthenticated, type Verifier } from './verifier.ts'

/** Makes the verifier of one kind of credential, for one tenant. */
export type Verifiers = { readonly [K in Credential['kind']]: (tenant: string, credential: Extract<Credential, { kind: K }>) => Verifier }

/** Authenticates by the terms of routes: each credential in turn, and the first that is found decides. */
export function createAuthenticators(verifiers: Verifiers): Authenticators {
  const known = new Shared<Authenticate>()
  return (tenant, auth) => known.get(JSON.stringify([tenant, auth]), () =>
    build(auth, auth.anyOf.map((credential) => verifierOf(verifiers, tenant, credential))))
}

function verifierOf({ apiKey, jwt, introspection }: Verifiers, tenant: string, credential: Credential): Verifier {
  if (credential.kind === 'apiKey') return apiKey(tenant, credential)
  return credential.kind === 'jwt' ? jwt(tenant, credential) : introspection(tenant, credential)
}

function build(auth: Auth, chain: readonly Verifier[]): Authenticate {
  // Terms by which nobody can prove anything: the rule's own do not hold, and it must not be open meanwhile.
  if (chain.length === 0 && !auth.anonymous) return () => unavailable
  const bearer = auth.anyOf.some(readsBearer)
  const challenge = challengeOf(auth)
  const missing: Failure = { ...unauthenticated, cause: 'no credential', headers: ['www-authenticate', challenge()] }
  const headersOf: Readonly<Partial<Record<Failure['code'], readonly string[]>>> = {
    unauthenticated: ['www-authenticate', challenge('error="invalid_token"')],
    token_expired: ['www-authenticate', challenge('error="invalid_token", error_description="The token has expired"')],
  }
  /** RFC 9110 section 15.5.2: a 401 says how to do better. */
  function challenged(verdict: Verdict): Verdict {
    const headers = 'code' in verdict ? headersOf[verdict.code] : undefined
    return headers === undefined ? verdict : { ...verdict, headers }
  }
  return function authenticate(exchange) {
    for (const verify of chain) {
      const verdict = verify(exchange)
      if (verdict === undefined) continue
      return verdict instanceof Promise ? verdict.then(challenged) : challenged(verdict)
    }
    // Whoever brings a token that is none of those accepted here is not anonymous.
    if (bearer && claimsBearer(exchange)) return challenged(rejected('a bearer token of no kind that is accepted'))
    return auth.anonymous ? anonymous : missing
  }
}

const readsBearer = (credential: Credential) => credential.kind !== 'apiKey' || credential.in === 'Bearer'

/** RFC 6750 section 3: what was wrong with a token is said only where there was one. */
function challengeOf({ anyOf }: Auth): (error?: string) => string {
  const bearer = anyOf.length === 0 || anyOf.some(readsBearer)
  const key = anyOf.some((credential) => !readsBearer(credential))
  return (error) => [
    ...(bearer ? [`Bearer realm="modelroute"${error === undefined ? '' : `, ${error}`}`] : []),
    ...(key ? ['ApiKey realm="modelroute"'] : []),
  ].join(', ')
}
