import type { BackendCredentials } from '../../../table/backend.ts'
import type { FilterDeps } from '../filter.ts'
import type { Token } from './tokens.ts'

/** The header by which the gateway proves itself to a backend, or why it cannot at present. */
export type Proof = Readonly<{ header: string; value: string }> | Readonly<{ why: string }>

/** What the backend of a variant is shown; at once where it is known. Never rejects. @param imagined nobody is asked for a token */
export function proofFor(
  tenant: string,
  terms: BackendCredentials,
  { vault, backendTokens }: Pick<FilterDeps, 'vault' | 'backendTokens'>,
  imagined = false,
): Proof | Promise<Proof> {
  if (terms.kind === 'static') return staticProof(terms, vault)
  if (imagined) return { header: 'authorization', value: 'Bearer' }
  const token = backendTokens(tenant, terms)
  return token instanceof Promise ? token.then(bearer) : bearer(token)
}

function bearer(token: Token): Proof {
  return 'why' in token ? token : { header: 'authorization', value: `Bearer ${token.token}` }
}

function staticProof({ header, value: ref, scheme }: Extract<BackendCredentials, { kind: 'static' }>, vault: FilterDeps['vault']): Proof {
  const text = vault.secret(ref.secret, ref.key)?.toString().trim()
  if (text === undefined) return { why: 'the secret with the credential of the backend has not arrived' }
  // Whatever could end the header is no credential; a space may stand in one.
  if (!/^[\x20-\x7e]+$/.test(text)) return { why: 'the credential of the backend cannot stand in a header' }
  return { header, value: scheme === '' ? text : `${scheme} ${text}` }
}
