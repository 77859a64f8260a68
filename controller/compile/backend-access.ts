import type { BackendCredentials, BackendTls } from '../../table/backend.ts'
import type { Problem } from '../sources/snapshot.ts'
import type { Needs } from './needs.ts'
import { invalid } from './problems.ts'
import { useSecret } from './secrets.ts'
import type { BackendRef } from './spec.ts'
import type { BackendContext } from './targets.ts'
import { calleeOf, calleeProblem } from './urls.ts'

type Found = Readonly<{ needs: Needs; problems: Problem[] }>

/** What it comes to; or why it cannot be had, which is told already. */
type Access<T> = Readonly<{ value: T }> | Readonly<{ why: string }>

/** @param host whose name the certificate has where the manifest says no other */
export function compileTls(
  tls: NonNullable<BackendRef['tls']>,
  host: string,
  place: string,
  context: BackendContext,
  found: Found,
): Access<BackendTls> {
  const { caRef, clientCertificateRef, serverName = host } = tls
  const caKey = caRef?.key ?? 'ca.crt'
  const ca = caRef && useSecret(caRef, [caKey], `${place}.caRef`, context, { ...found, configMap: true })
  const pair = ['tls.crt', 'tls.key']
  const client = clientCertificateRef && useSecret(clientCertificateRef, pair, `${place}.clientCertificateRef`, context, found)
  const why = ca?.why ?? client?.why
  if (why !== undefined) return { why }
  return { value: { serverName, ...(ca && { ca: { secret: ca.id, key: caKey } }), ...(client && { client: client.id }) } }
}

export function compileCredentials(
  { secretRef, header, scheme, oauth2 }: NonNullable<BackendRef['credentials']>,
  place: string,
  context: BackendContext,
  found: Found,
): Access<BackendCredentials> {
  if (oauth2) {
    const token = calleeOf(oauth2.tokenUrl, context.options)
    if ('why' in token) {
      found.problems.push(calleeProblem(`${place}.oauth2.tokenUrl`, token))
      return token
    }
    const keys = ['client_id', 'client_secret']
    const client = useSecret(oauth2.clientSecretRef, keys, `${place}.oauth2.clientSecretRef`, context, found)
    if (client.why !== undefined) return { why: client.why }
    return { value: { kind: 'oauth2', token, client: client.id, scopes: [...(oauth2.scopes ?? [])] } }
  }
  if (!secretRef) {
    const why = 'needs secretRef or oauth2'
    found.problems.push(invalid(place, why))
    return { why }
  }
  const name = (header ?? 'authorization').toLowerCase()
  if (FRAMING.has(name) || name.startsWith('x-modelroute-')) {
    const why = `${name} is not for a credential`
    found.problems.push(invalid(`${place}.header`, why))
    return { why }
  }
  const key = secretRef.key ?? 'token'
  const { id, why } = useSecret(secretRef, [key], `${place}.secretRef`, context, found)
  if (why !== undefined) return { why }
  const word = scheme ?? (name === 'authorization' ? 'Bearer' : '')
  return { value: { kind: 'static', value: { secret: id, key }, header: name, scheme: word } }
}

/** What a proxy writes itself, and what would change how a request is read. */
const FRAMING = new Set([
  'connection', 'content-length', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  'content-type', 'proxy-connection', 'grpc-timeout',
])
