// The library finds its parts by decorators, which need this first.
import 'reflect-metadata'
import { createPublicKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
} from '@peculiar/x509'
import type { Authority } from './authority.ts'
import type { Pair } from './pair.ts'
import { sidecarUri } from '../push/caller.ts'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Milliseconds. */
const AUTHORITY_LIFE = 3_650 * DAY
const LEAF_LIFE = 90 * DAY
/** How far behind ours the clock of a peer may be: a proxy's, by a day and an hour, whose time zone was taken for its time. */
const SKEW = DAY + HOUR

// RFC 5280, 4.2.1.12 and 4.2.1.3. The library's own names for them are enums, which types alone do not carry.
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const DIGITAL_SIGNATURE = 1
const KEY_CERT_SIGN = 32

const publicOf = (key: KeyObject) => createPublicKey(key).toCryptoKey(ALGORITHM, true, ['verify'])
const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

/** A new authority. `name` is for people: nothing is decided by it. */
export async function issueAuthority(name: string, now: Date): Promise<Pair> {
  return signItself(`CN=${name}, O=modelroute authority`, newKey(), now)
}

/**
 * The same authority for another life. Its key and name stay: whoever trusts only the old certificate, or only the new
 * one, trusts what either has signed, so no order has to be kept between its replicas and their proxies.
 */
export async function renewAuthority({ pair, key }: Authority, now: Date): Promise<Pair> {
  return signItself(new X509Certificate(pair.cert).subject, key, now)
}

/** For the push port. `names`: what proxies may call it; the first is shown to people. */
export async function issueServer(authority: Authority, names: readonly string[], now: Date): Promise<Pair> {
  const altNames = new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))
  return signLeaf(authority, `CN=${names[0]?.split('.')[0]}, O=modelroute controller`, [SERVER_AUTH], [altNames], now)
}

/** For proxies: whoever shows it gets the table. `host`: what sidecars ask for where they dial a proxy. */
export async function issueProxy(authority: Authority, name: string, host: string, now: Date): Promise<Pair> {
  const altNames = new SubjectAlternativeNameExtension([{ type: 'dns', value: host }])
  return signLeaf(authority, `CN=${name}, O=modelroute proxy`, [CLIENT_AUTH, SERVER_AUTH], [altNames], now)
}

/** For the sidecars of a namespace: whoever shows it gets what belongs to that namespace, and reaches the proxies. */
export async function issueSidecar(authority: Authority, name: string, namespace: string, now: Date): Promise<Pair> {
  const altNames = new SubjectAlternativeNameExtension([{ type: 'url', value: sidecarUri(namespace) }])
  return signLeaf(authority, `CN=${name}, O=modelroute sidecar`, [CLIENT_AUTH], [altNames], now)
}

async function signItself(subject: string, key: KeyObject, now: Date): Promise<Pair> {
  const publicKey = publicOf(key)
  return sign({
    subject,
    issuer: subject,
    key,
    signer: key,
    now,
    notAfter: now.getTime() + AUTHORITY_LIFE,
    extensions: [
      // It signs leaves, and no other authorities.
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KEY_CERT_SIGN, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  })
}

async function signLeaf(
  authority: Authority,
  subject: string,
  usages: string[],
  more: readonly Extension[],
  now: Date,
): Promise<Pair> {
  const key = newKey()
  return sign({
    subject,
    issuer: new X509Certificate(authority.pair.cert).subject,
    key,
    signer: authority.key,
    now,
    notAfter: Math.min(now.getTime() + LEAF_LIFE, authority.certificate.validToDate.getTime()),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(DIGITAL_SIGNATURE, true),
      new ExtendedKeyUsageExtension(usages),
      await SubjectKeyIdentifierExtension.create(publicOf(key)),
      await AuthorityKeyIdentifierExtension.create(publicOf(authority.key)),
      ...more,
    ],
  })
}

type Signed = Readonly<{
  subject: string
  issuer: string
  key: KeyObject
  signer: KeyObject
  now: Date
  notAfter: number
  extensions: Extension[]
}>

async function sign({ subject, issuer, key, signer, now, notAfter, extensions }: Signed): Promise<Pair> {
  const certificate = await X509CertificateGenerator.create({
    // RFC 5280, 4.1.2.2: positive, at most 20 octets; the leading 01 keeps it both.
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    subject,
    issuer,
    notBefore: new Date(now.getTime() - SKEW),
    notAfter: new Date(notAfter),
    publicKey: publicOf(key),
    signingKey: signer.toCryptoKey(ALGORITHM, false, ['sign']),
    signingAlgorithm: ALGORITHM,
    extensions,
  })
  return { cert: `${certificate.toString('pem')}\n`, key: key.export({ type: 'pkcs8', format: 'pem' }).toString() }
}
