import { X509Certificate } from 'node:crypto'
import { readPair, type ReadPair } from '../../table/pem.ts'

/** A certificate and its private key (PKCS#8), both in PEM. */
export type Pair = Readonly<{ cert: string; key: string }>

/** What was meant, or why it cannot be had: a sentence without a key in it. */
export type Kept<T> = Readonly<{ value: T }> | Readonly<{ problem: string }>

/** Of a Secret of type kubernetes.io/tls. */
export function parsePair(pair: Pair): Kept<ReadPair> {
  const read = readPair({ cert: 'tls.crt', key: 'tls.key' }, pair)
  return typeof read === 'string' ? { problem: read } : { value: read }
}

/** Every certificate of a PEM text; undefined when one of them cannot be read. */
export function parseBundle(text: string): readonly X509Certificate[] | undefined {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    return undefined
  }
}

/** Two thirds of its life are over: a third is left for whatever keeps the next one from being made. */
export function isDue({ validFromDate, validToDate }: X509Certificate, now: Date): boolean {
  return now.getTime() >= validFromDate.getTime() + ((validToDate.getTime() - validFromDate.getTime()) * 2) / 3
}
