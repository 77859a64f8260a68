import { unavailable, type Authenticators } from '../../pipeline/principal.ts'
import { createApiKeys, type KeyVault } from './api_key.ts'
import { createAuthenticators } from './authenticators.ts'

/** Every way there is of finding out who calls. What cannot be verified yet is not believed. */
export function authenticatorsOf(vault: KeyVault): Authenticators {
  const none = () => () => unavailable
  return createAuthenticators({ apiKey: createApiKeys(vault), jwt: none, introspection: none })
}
