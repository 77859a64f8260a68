import { isUtf8 } from 'node:buffer'
import { verify as verifySignature } from 'node:crypto'
import { createRequire } from 'node:module'
import type jsonwebtoken from 'jsonwebtoken'
import type { Algorithm } from 'jsonwebtoken'
import type { Credential } from '../../../table/principal.ts'
import { bearerOf } from './bearer.ts'
import { identify } from './identity.ts'
import type { Key } from './jwk.ts'
import type { Keys } from './keys.ts'
import { parseObject } from './strict_json.ts'
import { timeOf } from './times.ts'
import { expired, rejected, untold, type Verifier } from './verifier.ts'
import type { Verdict } from '../../pipeline/principal.ts'
import { keyOf, type Verified } from './verified.ts'

export type JwtTerms = Extract<Credential, { kind: 'jwt' }>

export type JwtDeps = Readonly<{
  keys: Keys
  /** Shared by one tenant's verifiers. */
  verified: Verified
  /** Tells these terms from others in `verified`. */
  id: string
  now: () => number
}>

/** Loaded with the first token: it brings sixty modules, and most proxies see none. */
let loaded: typeof jsonwebtoken | undefined
function library(): typeof jsonwebtoken {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what import() would give, without waiting
  return (loaded ??= createRequire(import.meta.url)('jsonwebtoken') as typeof jsonwebtoken)
}

/** As much as a request head can hold. */
const tokenMax = 16_384
/** A token this far ahead of its end is not kept any longer: a month. */
const keptMax = 2_592_000_000
/** Of RFC 7518; never `none`. */
const jwa: readonly Algorithm[] = [
  'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'HS256', 'HS384', 'HS512',
]
/** Tokens that one issuer makes for something else than calling with them (RFC 8725 section 3.11). */
const otherUse = /^(?:application\/)?(?:dpop|logout|secevent|token-introspection|entity-statement)\+jwt$/i

type Token = Readonly<{ header: ReadonlyMap<string, unknown>; claims: ReadonlyMap<string, unknown> }>

/** JSON Web Tokens (RFC 7519) of one issuer, in the Authorization header. Those of other issuers are not for it to judge. */
export function createJwtVerifier(terms: JwtTerms, { keys, verified, id, now }: JwtDeps): Verifier {
  function verify(token: string, key: string, { header, claims }: Token): Verdict | Promise<Verdict> {
    const algorithm = header.get('alg')
    if (typeof algorithm !== 'string' || !terms.algorithms.includes(algorithm)) return rejected('its algorithm is not accepted')
    const wrong = wrongHeader(header)
    if (wrong !== undefined) return rejected(wrong)
    // Nothing else of the header says where a key is: jku, jwk, x5u and x5c are the sender's word.
    const kid = header.get('kid')
    if (kid !== undefined && typeof kid !== 'string') return rejected('its key id is no text')
    const decide = (found: readonly Key[] | string): Verdict => {
      if (typeof found === 'string') return untold(found)
      const signer = found.find((candidate) => signed(token, algorithm, candidate))
      if (signer === undefined) return rejected(found.length === 0 ? 'no key of its issuer fits it' : 'its signature is wrong')
      const ends = timeOf(claims.get('exp'))
      if (ends === undefined) return rejected('it has no end')
      const verdict = judge(terms, claims, ends, now())
      if (!('code' in verdict)) {
        verified.set(key, verdict, token.length, Math.min(ends + terms.leeway, now() + keptMax), () => !signer.withdrawn)
      }
      return verdict
    }
    const found = keys.find(algorithm, kid)
    return found instanceof Promise ? found.then(decide) : decide(found)
  }

  return function verifyJwt(exchange) {
    const token = bearerOf(exchange)
    if (token === undefined || token.length > tokenMax) return undefined
    keys.freshen()
    const key = keyOf(id, token)
    const known = verified.get(key, now())
    if (known !== undefined) return known
    const parsed = parseToken(token)
    if (parsed === undefined || parsed.claims.get('iss') !== terms.issuer) return undefined
    return verify(token, key, parsed)
  }
}

/** A JWS in compact form whose payload is an object of claims (RFC 7515 section 7.1); nothing of it is believed yet. */
function parseToken(token: string): Token | undefined {
  const parts = token.split('.')
  if (parts.length !== 3) return undefined
  const [header, claims] = parts.map(decode)
  const [ofHeader, ofClaims] = [header && parseObject(header), claims && parseObject(claims)]
  return ofHeader && ofClaims ? { header: ofHeader, claims: ofClaims } : undefined
}

/** Only base64url, in the one spelling that it has for some bytes (RFC 7515 section 2), and only text that is UTF-8. */
function decode(part: string): string | undefined {
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part && isUtf8(bytes) ? bytes.toString() : undefined
}

function wrongHeader(header: Token['header']): string | undefined {
  // RFC 7515 section 4.1.11: what must be understood, and is not. An empty list is wrong too.
  if (header.has('crit')) return 'its header asks for an extension'
  if (header.has('b64')) return 'its payload is not encoded'
  const [typ, cty] = [header.get('typ'), header.get('cty')]
  if (typ !== undefined && (typeof typ !== 'string' || otherUse.test(typ))) return 'it is a token for something else'
  if (cty !== undefined) return 'it holds another token'
  return undefined
}

/** The algorithm has been compared with the terms, and the key fits it. */
function signed(token: string, algorithm: string, { object }: Key): boolean {
  const at = token.lastIndexOf('.')
  const signature = token.slice(at + 1)
  // One spelling of a signature, too: another would be another token with the same meaning.
  const bytes = Buffer.from(signature, 'base64url')
  if (bytes.length === 0 || bytes.toString('base64url') !== signature) return false
  try {
    // RFC 8037; jsonwebtoken knows only the algorithms of RFC 7518.
    if (algorithm === 'EdDSA') return verifySignature(null, Buffer.from(token.slice(0, at)), object, bytes)
    const known = jwa.find((name) => name === algorithm)
    if (known === undefined) return false
    // Claims are judged here, alike for every algorithm.
    library().verify(token, object, { algorithms: [known], ignoreExpiration: true, ignoreNotBefore: true })
    return true
  } catch {
    return false
  }
}

/** Who the claims of a signed token say calls, when they are for us and for now (RFC 7519 section 4.1). */
function judge(terms: JwtTerms, claims: Token['claims'], ends: number, now: number): Verdict {
  if (!isFor(terms.audiences, claims.get('aud'))) return rejected('it is for another audience')
  const begins = claims.has('nbf') ? timeOf(claims.get('nbf')) : 0
  if (begins === undefined || (claims.has('iat') && timeOf(claims.get('iat')) === undefined)) return rejected('its times are no times')
  if (begins > now + terms.leeway) return rejected('it is not valid yet')
  const principal = identify('jwt', claims, terms.claims)
  if (typeof principal === 'string') return rejected(principal)
  return now >= ends + terms.leeway ? expired : principal
}

/** The claim is a text or a list of texts, and nothing else. */
function isFor(audiences: readonly string[], claim: unknown): boolean {
  const named: readonly unknown[] = Array.isArray(claim) ? claim : claim === undefined ? [] : [claim]
  if (!named.every((one) => typeof one === 'string')) return false
  return audiences.length === 0 || named.some((one) => audiences.includes(one))
}
