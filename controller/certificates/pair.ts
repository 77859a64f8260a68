import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'

/** A certificate and its private key (PKCS#8), both in PEM. */
export type Pair = Readonly<{ cert: string; key: string }>

export type Parsed = Readonly<{ certificate: X509Certificate; key: KeyObject }>

/** What was meant, or why it cannot be had: a sentence without a key in it. */
export type Kept<T> = Readonly<{ value: T }> | Readonly<{ problem: string }>

/** Reads both, and checks that they belong together. */
export function parsePair({ cert, key }: Pair): Kept<Parsed> {
  const certificate = attempt(() => new X509Certificate(cert))
  if (certificate === undefined) return { problem: 'tls.crt holds no certificate in PEM' }
  const privateKey = attempt(() => createPrivateKey(key))
  if (privateKey === undefined) return { problem: 'tls.key holds no private key in PEM' }
  if (!certificate.checkPrivateKey(privateKey)) return { problem: 'tls.key is not the key of tls.crt' }
  return { value: { certificate, key: privateKey } }
}

/** Every certificate of a PEM text; undefined when one of them cannot be read. */
export function parseBundle(text: string): readonly X509Certificate[] | undefined {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return attempt(() => blocks.map((block) => new X509Certificate(block)))
}

/** Two thirds of its life are over: a third is left for whatever keeps the next one from being made. */
export function isDue({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  return now.getTime() >= validFromDate.getTime() + ((validToDate.getTime() - validFromDate.getTime()) * 2) / 3
}

// The library's own words may quote what it was given, so they go no further.
function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
