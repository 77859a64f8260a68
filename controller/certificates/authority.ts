import type { KeyObject, X509Certificate } from 'node:crypto'
import { loadIssue } from './load.ts'
import { isDue, type Kept, type Pair, parseBundle, parsePair } from './pair.ts'
import { keepSecret, type SecretData, type SecretPlace } from './secret.ts'

export type Authority = Readonly<{
  pair: Pair
  certificate: X509Certificate
  key: KeyObject
  /** What both ends check certificates against, PEM: this authority, and whatever else its Secret says is trusted. */
  trusted: string
}>

type Dated = Readonly<{ name: string; now: Date; said: (what: 'created' | 'renewed', until: Date) => void }>

/**
 * The authority of a Secret: made by whichever replica comes first, read by the others, renewed by any of them. One
 * that cannot be read is left alone, since others may hold certificates of it: somebody has to decide.
 */
export async function keepAuthority(place: SecretPlace, { name, now, said }: Dated): Promise<Kept<Authority>> {
  const kept = await keepSecret<Authority>(place, async (data) => {
    const { issueAuthority, renewAuthority } = await loadIssue()
    if (data === undefined) return written(await issueAuthority(name, now), '', now)
    const found = readAuthority(data, now)
    if ('problem' in found) return { problem: `${found.problem}; mend it, or delete it and another is made` }
    if (!isDue(found.value.certificate, now)) return found
    return written(await renewAuthority(found.value, now), found.value.trusted, now)
  })
  if ('problem' in kept) return kept
  if (kept.wrote) said(kept.wrote, kept.value.certificate.validToDate)
  return { value: kept.value }
}

function written(pair: Pair, trusted: string, now: Date) {
  const read = readAuthority({ 'tls.crt': pair.cert, 'tls.key': pair.key, 'ca.crt': trusted }, now)
  if ('problem' in read) return read
  return { ...read, write: { 'tls.crt': pair.cert, 'tls.key': pair.key, 'ca.crt': read.value.trusted } }
}

/** `now` decides which certificates of the bundle are over. */
function readAuthority(data: SecretData, now: Date): Kept<Authority> {
  const pair = { cert: data['tls.crt'] ?? '', key: data['tls.key'] ?? '' }
  const parsed = parsePair(pair)
  if ('problem' in parsed) return parsed
  const { certificate, key } = parsed.value
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return { problem: 'tls.key is not of the curve P-256' }
  if (!certificate.ca || !certificate.checkIssued(certificate) || !certificate.verify(certificate.publicKey)) {
    return { problem: 'tls.crt is no authority that signed itself' }
  }
  const bundle = parseBundle(data['ca.crt'] ?? '')
  if (bundle === undefined) return { problem: 'ca.crt holds something else than certificates in PEM' }
  const own = certificate.fingerprint256
  const others = bundle.filter((other) => other.validToDate > now && other.fingerprint256 !== own)
  const trusted = [certificate, ...others].map((one) => one.toString()).join('')
  return { value: { pair, certificate, key, trusted } }
}
