import type { X509Certificate } from 'node:crypto'

/** Who dials the push port: a proxy of a fleet, or a sidecar, which gets no more than what is its namespace's. */
type Caller = Readonly<{ kind: 'proxy' }> | Readonly<{ kind: 'sidecar'; namespace: string }> | Readonly<{ kind: 'stranger' }>

const OURS = 'spiffe://modelroute/'

/** What the certificate of a namespace's sidecars says that they are. */
export const sidecarUri = (namespace: string) => `${OURS}ns/${namespace}/sidecar`

/**
 * By the certificate, which the authority of the channel has signed. One with a name of ours that is not understood is
 * never taken for that of a proxy, which may have everything.
 */
export function callerOf(certificate: X509Certificate | undefined): Caller {
  if (certificate === undefined) return { kind: 'stranger' }
  const names = certificate.subjectAltName ?? ''
  if (!names.includes(OURS)) return { kind: 'proxy' }
  // The whole of it: nothing else may stand beside that name.
  const namespace = /^URI:spiffe:\/\/modelroute\/ns\/([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)\/sidecar$/.exec(names)?.[1]
  return namespace === undefined ? { kind: 'stranger' } : { kind: 'sidecar', namespace }
}
