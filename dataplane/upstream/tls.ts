import type { ConnectionOptions } from 'node:tls'
import type { BackendTls } from '../../table/backend.ts'
import type { Vault } from '../vault.ts'

/** What a connection to a backend is made with; undefined while some of it has not arrived. */
export type TlsTerms = Readonly<Pick<ConnectionOptions, 'servername' | 'ca' | 'cert' | 'key' | 'minVersion'>>

/** Read for each connection, so that a certificate that was replaced is used by the next one. */
export function tlsTerms({ serverName, ca, client }: BackendTls, vault: Vault): TlsTerms | undefined {
  const authorities = ca && vault.secret(ca.secret, ca.key)
  const cert = client === undefined ? undefined : vault.secret(client, 'tls.crt')
  const key = client === undefined ? undefined : vault.secret(client, 'tls.key')
  if ((ca && !authorities) || (client !== undefined && !(cert && key))) return undefined
  return {
    servername: serverName,
    minVersion: 'TLSv1.2',
    ...(authorities && { ca: authorities }),
    ...(cert && key && { cert, key }),
  }
}

/** Its connection was not tried: it would not have been what its route asks for. */
export class SecretMissing extends Error {
  readonly code = 'SECRET_MISSING'
}
