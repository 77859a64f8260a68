import type { Authority } from './authority.ts'
import { loadIssue } from './load.ts'
import { isDue, type Kept, parsePair } from './pair.ts'
import { keepSecret, type SecretData, type SecretPlace } from './secret.ts'

type Dated = Readonly<{ name: string; now: Date; said: (what: 'created' | 'renewed') => void }>

/**
 * The Secret that proxies mount: their certificate, and the authorities that a controller's is checked against. It is
 * made anew when it is due, of another authority, or unreadable: nothing depends on its key.
 */
export async function keepProxy(
  place: SecretPlace,
  authority: Authority,
  { name, now, said }: Dated,
): Promise<Kept<undefined>> {
  const kept = await keepSecret<undefined>(place, async (data) => {
    const good = data !== undefined && usable(data, authority, now)
    if (good && data['ca.crt'] === authority.trusted) return { value: undefined }
    const pair = good ? undefined : await (await loadIssue()).issueProxy(authority, name, now)
    const own = pair && { 'tls.crt': pair.cert, 'tls.key': pair.key }
    return { value: undefined, write: { ...own, 'ca.crt': authority.trusted } }
  })
  if ('problem' in kept) return kept
  if (kept.wrote) said(kept.wrote)
  return { value: undefined }
}

function usable(data: SecretData, { certificate: authority }: Authority, now: Date): boolean {
  const parsed = parsePair({ cert: data['tls.crt'] ?? '', key: data['tls.key'] ?? '' })
  if ('problem' in parsed) return false
  const { certificate } = parsed.value
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey) && !isDue(certificate, now)
}
