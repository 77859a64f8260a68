import { hash } from 'node:crypto'
import type { Credential } from '../../../table/principal.ts'
import { createOutgoing, type Outgoing } from '../../../outgoing/call.ts'
import type { Vault } from '../../vault.ts'
import { createIntrospectionVerifier, type IntrospectionTerms } from './introspection.ts'
import { createJwtVerifier, type JwtTerms } from './jwt.ts'
import { FetchedKeys, SecretKeys, type Keys, type KeysDeps } from './keys.ts'
import { Shared } from './shared.ts'
import { Verified } from './verified.ts'
import type { Verifier } from './verifier.ts'

export type TokenDeps = Readonly<{
  vault: Pick<Vault, 'secret' | 'secrets'>
  log: KeysDeps['log']
  outgoing?: Outgoing
  now?: () => number
}>

export type TokenVerifiers = Readonly<{
  jwt: (tenant: string, terms: JwtTerms) => Verifier
  introspection: (tenant: string, terms: IntrospectionTerms) => Verifier
}>

/** What one tenant's tokens may take of the memory. */
const verifiedBytes = 16_777_216

/**
 * Verifiers of tokens, for all tables: key sets, verified tokens and counts of failures are those of a tenant and its
 * terms, whichever table they came with, and go when no table in force has such terms any more.
 */
export function createTokenVerifiers({ vault, log, outgoing = createOutgoing(), now = Date.now }: TokenDeps): TokenVerifiers {
  const caches = new Shared<Verified>()
  const keySets = new Shared<Keys>()
  const verifiers = new Shared<Verifier>()
  const idOf = (tenant: string, terms: Credential | JwtTerms['keys']) => hash('sha256', JSON.stringify([tenant, terms]), 'base64')

  function keysOf(tenant: string, from: JwtTerms['keys']): Keys {
    return keySets.get(idOf(tenant, from), () => from.from === 'secret'
      ? new SecretKeys(() => vault.secret(from.secret, from.key), () => vault.secrets.get(from.secret))
      : new FetchedKeys(from, { outgoing, now, log }))
  }
  const cacheOf = (tenant: string) => caches.get(tenant, () => new Verified(verifiedBytes))

  return {
    jwt(tenant, terms) {
      const id = idOf(tenant, terms)
      return verifiers.get(id, () =>
        createJwtVerifier(terms, { keys: keysOf(tenant, terms.keys), verified: cacheOf(tenant), id, now }))
    },
    introspection(tenant, terms) {
      const id = idOf(tenant, terms)
      const secret = (name: string, key: string) => vault.secret(name, key)
      return verifiers.get(id, () => createIntrospectionVerifier(terms, { outgoing, secret, verified: cacheOf(tenant), id, now }))
    },
  }
}
