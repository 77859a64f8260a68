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

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Milliseconds. */
const AUTHORITY_LIFE = 3_650 * DAY
const LEAF_LIFE = 90 * DAY
/** How far behind ours the clock of a peer may be. */
const SKEW = HOUR

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
  return signLeaf(authority, `CN=${names[0]?.split('.')[0]}, O=modelroute controller`, SERVER_AUTH, [altNames], now)
}

/** For proxies: whoever shows it gets the table. */
export async function issueProxy(authority: Authority, name: string, now: Date): Promise<Pair> {
  return signLeaf(authority, `CN=${name}, O=modelroute proxy`, CLIENT_AUTH, [], now)
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
  usage: string,
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
      new ExtendedKeyUsageExtension([usage]),
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
