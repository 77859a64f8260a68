import type { Auth, PrincipalMatch } from '../../table/principal.ts'
import { failure, type Failure } from './errors.ts'
import type { Exchange } from './exchange.ts'

/** Who calls, as far as the credentials of the request prove it. */
export type Principal = Readonly<{
  via: 'apiKey' | 'jwt' | 'introspection' | 'anonymous'
  /** Empty for an anonymous one. */
  consumer: string
  groups: readonly string[]
  tier: string | undefined
  scopes: readonly string[]
  /** What the token says; empty for an API key. */
  claims: ReadonlyMap<string, unknown>
  /** Of an API key: the Secret that it came from. */
  credential?: string
}>

export const anonymous: Principal = {
  via: 'anonymous', consumer: '', groups: [], tier: undefined, scopes: [], claims: new Map(),
}

/** Who calls, or why nobody knows. */
export type Verdict = Principal | Failure

/** At once wherever it can: the credentials of most requests have been seen before. */
export type Authenticate = (exchange: Exchange) => Verdict | Promise<Verdict>

/** One and the same function for the same tenant and terms, so that a request is authenticated once by them. */
export type Authenticators = (tenant: string, auth: Auth) => Authenticate

/** Where nothing can tell who calls, nobody may. */
export const refuseAll: Authenticators = () => closed

export const unavailable = failure('auth_unavailable', 'The gateway cannot tell at present who calls.')
const closed: Authenticate = () => unavailable

export function principalHolds(match: PrincipalMatch, principal: Principal): boolean {
  return among(match.consumers, principal.consumer)
    && (match.groups.length === 0 || match.groups.some((group) => principal.groups.includes(group)))
    && among(match.tiers, principal.tier)
    && match.claims.every(({ name, value }) => claimHolds(principal.claims.get(name), value))
}

function among(names: readonly string[], name: string | undefined): boolean {
  return names.length === 0 || (name !== undefined && names.includes(name))
}

/** A claim with a list holds each of its values. */
function claimHolds(claim: unknown, value: string): boolean {
  if (Array.isArray(claim)) return claim.some((one) => claimHolds(one, value))
  return typeof claim === 'string' ? claim === value
    : (typeof claim === 'number' || typeof claim === 'boolean') && String(claim) === value
}
