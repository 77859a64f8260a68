import type { Authenticators } from '../../pipeline/principal.ts'
import type { Vault } from '../../vault.ts'
import { createApiKeys } from './api_key.ts'
import { createAuthenticators } from './authenticators.ts'
import { createTokenVerifiers, type TokenDeps } from './tokens.ts'

/** Every way there is of finding out who calls. */
export function authenticatorsOf(vault: Vault, deps: Omit<TokenDeps, 'vault'>): Authenticators {
  return createAuthenticators({ apiKey: createApiKeys(vault), ...createTokenVerifiers({ ...deps, vault }) })
}
