import type { X509Certificate } from 'node:crypto'
import type { Authority } from './authority.ts'
import { isDue, type Kept, type Pair, parsePair } from './pair.ts'
import { keepSecret, type SecretData, type SecretPlace } from './secret.ts'

type Wanted = Readonly<{
  now: Date
  issue: () => Promise<Pair>
  /** Whether it says of its holder what it is to say. */
  fits: (certificate: X509Certificate) => boolean
  said: (what: 'created' | 'renewed') => void
}>

/**
 * The Secret that proxies, or the sidecars of a namespace, mount: their certificate, and the authorities that the other
 * end's is checked against. It is made anew when it is due, of another authority, for something else, or unreadable:
 * nothing depends on its key.
 */
export async function keepLeaf(place: SecretPlace, authority: Authority, { now, issue, fits, said }: Wanted): Promise<Kept<undefined>> {
  const kept = await keepSecret<undefined>(place, async (data) => {
    const good = data !== undefined && usable(data, authority, { now, fits })
    if (good && data['ca.crt'] === authority.trusted) return { value: undefined }
    const pair = good ? undefined : await issue()
    const own = pair && { 'tls.crt': pair.cert, 'tls.key': pair.key }
    return { value: undefined, write: { ...own, 'ca.crt': authority.trusted } }
  })
  if ('problem' in kept) return kept
  if (kept.wrote) said(kept.wrote)
  return { value: undefined }
}

function usable(data: SecretData, { certificate: authority }: Authority, { now, fits }: Pick<Wanted, 'now' | 'fits'>): boolean {
  const parsed = parsePair({ cert: data['tls.crt'] ?? '', key: data['tls.key'] ?? '' })
  if ('problem' in parsed) return false
  const { certificate } = parsed.value
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey) && !isDue(certificate, now) && fits(certificate)
}
