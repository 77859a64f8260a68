import { constants, createHmac, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'

/** Tokens for tests, made by hand and not by the library that reads them, so that any of their parts can be wrong. */

export type Signer = Readonly<{ kid: string; alg: string; key: KeyObject | Buffer; jwk: Readonly<Record<string, unknown>> }>

const curves: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }

/** A key for an algorithm, and how a key set has it. */
export function signer(alg: string, kid: string, bits = 2048): Signer {
  if (alg.startsWith('HS')) {
    const key = randomBytes(Number(alg.slice(2)) / 8)
    return { kid, alg, key, jwk: { kty: 'oct', k: key.toString('base64url'), kid } }
  }
  const { publicKey, privateKey } = alg === 'EdDSA' ? generateKeyPairSync('ed25519')
    : alg.startsWith('ES') ? generateKeyPairSync('ec', { namedCurve: curves[alg] ?? '' })
    : generateKeyPairSync('rsa', { modulusLength: bits })
  return { kid, alg, key: privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid } }
}

export function signature(alg: string, key: KeyObject | Buffer, data: string): Buffer {
  const digest = `sha${alg.slice(2)}`
  if (Buffer.isBuffer(key)) return createHmac(digest, key).update(data).digest()
  const bytes = Buffer.from(data)
  if (alg === 'EdDSA') return sign(null, bytes, key)
  if (alg.startsWith('ES')) return sign(digest, bytes, { key, dsaEncoding: 'ieee-p1363' })
  if (alg.startsWith('PS')) {
    return sign(digest, bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST })
  }
  return sign(digest, bytes, key)
}

export const base64url = (value: string | object | null) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** @param header or claims as a text: taken as it is */
export function token(by: Signer, claims: string | object | null, header: string | object | null = { alg: by.alg, kid: by.kid }): string {
  const data = `${base64url(header)}.${base64url(claims)}`
  return `${data}.${signature(by.alg, by.key, data).toString('base64url')}`
}
