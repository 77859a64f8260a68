import { createPublicKey, createSecretKey, type JsonWebKeyInput, type KeyObject } from 'node:crypto'
import { parseObject } from './strict_json.ts'

/** One key of a key set that verifies signatures. */
export type Key = {
  readonly kid: string | undefined
  readonly object: KeyObject
  /** The algorithms of RFC 7518 and RFC 8037 that it may be used with. */
  readonly algorithms: readonly string[]
  /** What it was made of: a key set that is fetched again has the same key, and not an equal one. */
  readonly source: string
  /** It has been taken out of its key set: what it signed counts no longer. */
  withdrawn: boolean
}

/** More keys than an issuer needs, and fewer than would hurt. */
const keysMax = 100
/** RFC 7518 section 3.3 asks for the least; beyond the most, one verification takes longer than it should. */
const modulusBits = { least: 2048, most: 8192 }
/** OpenSSL takes as long for an exponent as it has bits. */
const exponentMax = 6

const curves: Readonly<Record<string, string>> = { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' }
const rsa = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const hmac = [['HS256', 32], ['HS384', 48], ['HS512', 64]] as const

/**
 * The keys of a JSON Web Key Set (RFC 7517), those that cannot be used left out; or why it is none. Keys that `known`
 * holds already are those, and not new ones.
 *
 * @param symmetric whether keys for HS algorithms may be among them: never in a set that others can read
 */
export function parseKeySet(text: string, symmetric: boolean, known: readonly Key[]): readonly Key[] | string {
  const list = parseObject(text)?.get('keys')
  if (!Array.isArray(list)) return 'not a key set: an object with a list of keys'
  if (list.length > keysMax) return `more than ${keysMax} keys`
  const before = new Map(known.map((key) => [key.source, key]))
  const keys: Key[] = []
  for (const item of list as unknown[]) {
    if (typeof item !== 'object' || item === null) continue
    const jwk = new Map<string, unknown>(Object.entries(item))
    const source = JSON.stringify(item)
    const key = before.get(source) ?? parseKey(jwk, symmetric, source)
    if (key !== undefined) keys.push(key)
  }
  return keys
}

function parseKey(jwk: ReadonlyMap<string, unknown>, symmetric: boolean, source: string): Key | undefined {
  const kid = jwk.get('kid')
  if (kid !== undefined && typeof kid !== 'string') return undefined
  if (!forVerifying(jwk)) return undefined
  const made = makeKey(jwk, symmetric)
  if (made === undefined) return undefined
  const alg = jwk.get('alg')
  const algorithms = alg === undefined ? made.algorithms : made.algorithms.filter((name) => name === alg)
  return algorithms.length === 0 ? undefined : { kid, object: made.object, algorithms, source, withdrawn: false }
}

/** RFC 7517 sections 4.2 and 4.3: a key that encrypts does not sign. */
function forVerifying(jwk: ReadonlyMap<string, unknown>): boolean {
  const use = jwk.get('use')
  const operations = jwk.get('key_ops')
  return (use === undefined || use === 'sig') && (operations === undefined || (Array.isArray(operations) && operations.includes('verify')))
}

type Made = Readonly<{ object: KeyObject; algorithms: readonly string[] }>

/** By its type, of the members that this type has: what else is in it, such as a private key or a certificate, is not read. */
function makeKey(jwk: ReadonlyMap<string, unknown>, symmetric: boolean): Made | undefined {
  const member = (name: string) => {
    const value = jwk.get(name)
    return typeof value === 'string' ? value : ''
  }
  switch (jwk.get('kty')) {
    case 'RSA': {
      const [n, e] = [member('n'), member('e')]
      const object = e.length <= exponentMax && n.length * 6 <= modulusBits.most + 8 ? publicKey({ kty: 'RSA', n, e }) : undefined
      const bits = object?.asymmetricKeyDetails?.modulusLength ?? 0
      return object && bits >= modulusBits.least && bits <= modulusBits.most ? { object, algorithms: rsa } : undefined
    }
    case 'EC': {
      const crv = member('crv')
      const algorithm = Object.hasOwn(curves, crv) ? curves[crv] : undefined
      const object = algorithm && publicKey({ kty: 'EC', crv, x: member('x'), y: member('y') })
      return object ? { object, algorithms: [algorithm] } : undefined
    }
    case 'OKP': {
      const crv = member('crv')
      const object = crv === 'Ed25519' || crv === 'Ed448' ? publicKey({ kty: 'OKP', crv, x: member('x') }) : undefined
      return object && { object, algorithms: ['EdDSA'] }
    }
    case 'oct': {
      const bytes = Buffer.from(member('k'), 'base64url')
      // RFC 7518 section 3.2: a key as long as the hash, at least.
      const algorithms = hmac.filter(([, least]) => bytes.length >= least).map(([name]) => name)
      return symmetric && algorithms.length > 0 ? { object: createSecretKey(bytes), algorithms } : undefined
    }
    default: return undefined
  }
}

function publicKey(key: JsonWebKeyInput['key']): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: 'jwk' })
  } catch {
    // Not on the curve, not a number, …: a key that nothing can be verified with.
    return undefined
  }
}
