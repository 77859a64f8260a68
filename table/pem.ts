import { createPrivateKey, X509Certificate } from 'node:crypto'

/** A certificate with its chain, its private key, and the authority that the other end's must be signed by: names of files, or what they hold in PEM. */
type Pem = Readonly<{ cert: string; key: string; clientCa?: string | undefined }>

/**
 * What keeps the contents of files from being used, by the name of the file; undefined where nothing does. A file may be read in
 * the middle of being written. Node takes no certificate for one, and for an authority that is empty all public ones: whoever
 * has a certificate of any of these would be let in.
 */
export function pemFault(files: Pem, { cert, key, clientCa }: Pem): string | undefined {
  const leaf = attempt(() => new X509Certificate(cert))
  if (leaf === undefined) return `${files.cert}: holds no certificate in PEM`
  const own = attempt(() => createPrivateKey(key))
  if (own === undefined) return `${files.key}: holds no private key in PEM, or one with a passphrase`
  if (!leaf.checkPrivateKey(own)) return `${files.key}: is not the key of the certificate in ${files.cert}`
  if (clientCa !== undefined && attempt(() => new X509Certificate(clientCa)) === undefined) return `${files.clientCa}: holds no certificate of an authority in PEM`
  return undefined
}

// The library's own words may quote what it was given, so they go no further.
function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
