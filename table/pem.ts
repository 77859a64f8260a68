import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'

/** A certificate with its chain, and its private key: their names, or what they hold in PEM. */
type Pair = Readonly<{ cert: string; key: string }>

export type ReadPair = Readonly<{ certificate: X509Certificate; key: KeyObject }>

/** Reads both, and checks that they belong together; what cannot be is told by its name, and without a key in it. */
export function readPair(names: Pair, { cert, key }: Pair): ReadPair | string {
  const certificate = attempt(() => new X509Certificate(cert))
  if (certificate === undefined) return `${names.cert} holds no certificate in PEM`
  const own = attempt(() => createPrivateKey(key))
  if (own === undefined) return `${names.key} holds no private key in PEM, or one with a passphrase`
  return certificate.checkPrivateKey(own) ? { certificate, key: own } : `${names.key} is not the key of ${names.cert}`
}

/** And the authority that the other end's certificate must be signed by. */
type Files = Pair & Readonly<{ clientCa?: string | undefined }>

/**
 * What keeps the contents of files from being used, by the name of the file; undefined where nothing does. A file may be read in
 * the middle of being written. Node takes no certificate for one, and for an authority that is empty all public ones: whoever
 * has a certificate of any of these would be let in.
 */
export function pemFault(files: Files, pem: Files): string | undefined {
  const pair = readPair(files, pem)
  if (typeof pair === 'string') return pair
  const { clientCa } = pem
  if (clientCa === undefined || attempt(() => new X509Certificate(clientCa)) !== undefined) return undefined
  return `${files.clientCa} holds no certificate of an authority in PEM`
}

// The library's own words may quote what it was given, so they go no further.
function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
