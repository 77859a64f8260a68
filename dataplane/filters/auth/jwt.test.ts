import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, KeyObject } from 'node:crypto'
import { after, test } from 'node:test'
import { base64url, signature, signer, token, type Signer } from '../../../test/tokens/sign.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { parseKeySet } from './jwk.ts'
import { createJwtVerifier, type JwtTerms } from './jwt.ts'
import type { Keys } from './keys.ts'
import { Verified } from './verified.ts'

const now = 1_800_000_000
const issuer = 'https://idp.example'
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'HS256', 'HS384', 'HS512', 'EdDSA']
const rsa = signer('RS256', 'rsa')
const other = signer('RS256', 'rsa')
/** One key for all RSA algorithms, as issuers have it: so that a signature of another algorithm is by the right key. */
const signers = new Map(algorithms.map((alg): [string, Signer] =>
  [alg, /^[RP]S/.test(alg) ? { ...rsa, alg } : signer(alg, alg)]))
const by = (alg: string) => signers.get(alg) ?? rsa
const setOf = (jwks: readonly unknown[]) => JSON.stringify({ keys: jwks })
const usual = setOf([rsa.jwk, ...[...signers.values()].filter(({ kid }) => kid !== 'rsa').map(({ jwk }) => jwk)])

const terms: JwtTerms = {
  kind: 'jwt', issuer, audiences: ['api', 'other'], algorithms, leeway: 30_000,
  keys: { from: 'secret', secret: 'ml/keys', key: 'jwks' },
  claims: { consumer: 'sub', groups: 'groups', tier: 'tier', scopes: 'scope' },
}
const claims = { iss: issuer, aud: 'api', sub: 'ann', exp: now + 300, nbf: now - 10, iat: now - 10 }

/** The keys of a set that is there. */
function keysOf(text: string, symmetric: boolean): Keys {
  const keys = parseKeySet(text, symmetric, [])
  return {
    find: (alg, kid) => typeof keys === 'string' ? keys : keys.filter((key) => key.algorithms.includes(alg) && (kid === undefined || key.kid === kid)),
    freshen() {},
  }
}

type Setting = Readonly<{ terms?: Partial<JwtTerms>; set?: string; symmetric?: boolean }>
const verified = new Verified(1_000_000)

async function verdictOf(credential: string, { terms: more, set = usual, symmetric = true }: Setting = {}): Promise<string> {
  const id = `${JSON.stringify(more)} ${set} ${symmetric}`
  const verify = createJwtVerifier({ ...terms, ...more }, { keys: keysOf(set, symmetric), verified, id, now: () => now * 1000 })
  const exchange = { header: (name: string) => name === 'authorization' ? `Bearer ${credential}` : undefined } as Exchange
  const verdict = await verify(exchange)
  return verdict === undefined ? 'unauthenticated' : 'code' in verdict ? verdict.code : verdict.consumer
}

let cases = 0
after(() => assert.ok(cases >= 300, `${cases} cases`))

/** One case: twice, since what is cached must mean the same. */
function expect(verdict: string, what: string, credential: string, setting?: Setting): void {
  cases++
  test(`${what}: ${verdict}`, async () => {
    assert.equal(await verdictOf(credential, setting), verdict)
    assert.equal(await verdictOf(credential, setting), verdict)
  })
}
const refuse = (what: string, credential: string, setting?: Setting) => expect('unauthenticated', what, credential, setting)
const accept = (what: string, credential: string, setting?: Setting) => expect('ann', what, credential, setting)

for (const alg of algorithms) {
  const good = token(by(alg), claims)
  const [header = '', payload = '', mark = ''] = good.split('.')
  const bytes = Buffer.from(mark, 'base64url')
  accept(`${alg}, as it should be`, good)
  accept(`${alg} without a key id`, token(by(alg), claims, { alg }))
  accept(`${alg} alone accepted`, good, { terms: { algorithms: [alg] } })
  refuse(`${alg} where it is not accepted`, good, { terms: { algorithms: algorithms.filter((one) => one !== alg) } })
  const stranger = /^[RP]S/.test(alg) ? { ...other, alg } : signer(alg, alg)
  refuse(`${alg} by a stranger's key of that id`, token(stranger, claims))
  refuse(`${alg}, claims changed`, `${header}.${base64url({ ...claims, sub: 'eve' })}.${mark}`)
  refuse(`${alg}, header changed`, `${base64url({ alg, kid: by(alg).kid, typ: 'JWT' })}.${payload}.${mark}`)
  refuse(`${alg} without its signature`, `${header}.${payload}.`)
  refuse(`${alg}, signature cut short`, `${header}.${payload}.${bytes.subarray(0, -1).toString('base64url')}`)
  refuse(`${alg}, signature with more behind it`, `${header}.${payload}.${Buffer.concat([bytes, Buffer.of(0)]).toString('base64url')}`)
  refuse(`${alg}, signature of zeros`, `${header}.${payload}.${Buffer.alloc(bytes.length).toString('base64url')}`)
  bytes[0] = (bytes[0] ?? 0) ^ 1
  refuse(`${alg}, one bit of the signature turned`, `${header}.${payload}.${bytes.toString('base64url')}`)
  for (const signed of algorithms) {
    if (signed === alg) continue
    const data = `${base64url({ alg, kid: by(alg).kid })}.${payload}`
    refuse(`${alg} said, ${signed} signed`, `${data}.${signature(signed, by(signed).key, data).toString('base64url')}`)
  }
}

for (const alg of ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
  const { key, jwk, kid } = by(alg)
  assert.ok(key instanceof KeyObject)
  const publicKey = createPublicKey(key)
  const forms = {
    'as PEM': publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    'as trimmed PEM': publicKey.export({ type: 'spki', format: 'pem' }).toString().trim(),
    'as DER': publicKey.export({ type: 'spki', format: 'der' }),
    'as JWK': JSON.stringify(jwk),
    'as its x or n': Buffer.from(String(jwk['x'] ?? jwk['n']), 'base64url'),
  }
  for (const [form, secret] of Object.entries(forms)) {
    for (const hs of ['HS256', 'HS384', 'HS512']) {
      refuse(`${hs} with the public key of ${alg} ${form}`, token({ kid, alg: hs, key: Buffer.from(secret), jwk: {} }, claims), { symmetric: false })
    }
  }
}

for (const alg of ['none', 'None', 'NONE', 'nOnE', 'none ', '', 'rs256', 'Rs256', 'HS', 'RS1', 'RS2560', 'toString', '__proto__', null, 0, true, ['RS256'], { RS256: 1 }, undefined]) {
  const header = { alg, kid: 'rsa' }
  const data = `${base64url(header)}.${base64url(claims)}`
  refuse(`algorithm ${JSON.stringify(alg)} without a signature`, `${data}.`)
  refuse(`algorithm ${JSON.stringify(alg)} with a right signature`, token(rsa, claims, header))
  refuse(`algorithm ${JSON.stringify(alg)} with two parts`, data)
}

for (const kid of ['unknown', '', 'ES256', 'RSA', 'rsa ', '../../../../dev/null', "' OR '1'='1", '__proto__', 'constructor', 'x'.repeat(4000), 0, null, true, ['rsa'], { a: 'rsa' }]) {
  refuse(`key id ${JSON.stringify(kid).slice(0, 40)}`, token(rsa, claims, { alg: 'RS256', kid }))
}

const evil = signer('RS256', 'evil')
for (const more of [
  { jwk: evil.jwk }, { jku: 'https://evil.example/jwks' }, { x5u: 'https://evil.example/cert' }, { x5c: ['MIIB'] }, { jku: 'file:///etc/passwd' },
  { jku: `${issuer}@evil.example/` }, { x5t: 'x' }, { jwk: evil.jwk, jku: 'https://evil.example/jwks' },
]) {
  const what = Object.keys(more).join(' and ')
  refuse(`${what} of the sender's, its key`, token({ ...evil, kid: 'rsa' }, claims, { alg: 'RS256', kid: 'evil', ...more }))
  refuse(`${what} of the sender's, a known key id`, token(evil, claims, { alg: 'RS256', kid: 'rsa', ...more }))
  refuse(`${what} of the sender's, no key id`, token(evil, claims, { alg: 'RS256', ...more }))
  accept(`${what} beside a right signature`, token(rsa, claims, { alg: 'RS256', kid: 'rsa', ...more }))
}

const claim = (more: Readonly<Record<string, unknown>>) => token(rsa, { ...claims, ...more })
for (const iss of [undefined, null, '', `${issuer}/`, issuer.toUpperCase(), 'https://idp.example.evil', 'http://idp.example', [issuer], { iss: issuer }, 1, ` ${issuer}`]) {
  refuse(`issuer ${JSON.stringify(iss)}`, claim({ iss }))
}
for (const aud of [undefined, null, '', 'API', 'ap', 'api ', 'api other', 1, {}, [], [1], ['x'], [['api']], ['api', 1], ['api', null], { api: 1 }, true]) {
  refuse(`audience ${JSON.stringify(aud)}`, claim({ aud }))
}
for (const aud of ['api', 'other', ['api'], ['x', 'other'], ['api', 'other']]) accept(`audience ${JSON.stringify(aud)}`, claim({ aud }))
for (const aud of [undefined, 'whatever', []]) accept(`audience ${JSON.stringify(aud)} where any will do`, claim({ aud }), { terms: { audiences: [] } })
refuse('audience 1 where any will do', claim({ aud: 1 }), { terms: { audiences: [] } })

for (const exp of [undefined, null, '', String(now + 300), true, -1, [now + 300], { exp: 1 }]) refuse(`end ${JSON.stringify(exp)}`, claim({ exp }))
refuse('an end without end', token(rsa, JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e999')))
for (const exp of [0, 1, now - 31, now - 30, now - 30.5, now - 1_000_000]) expect('token_expired', `end ${exp - now} s from now`, claim({ exp }))
for (const exp of [now - 29, now - 29.5, now, now + 1, now + 0.5, now + 1e9, 1e15]) accept(`end ${exp - now} s from now`, claim({ exp }))
expect('token_expired', 'an end just past, without leeway', claim({ exp: now }), { terms: { leeway: 0 } })
for (const nbf of [now + 31, now + 1e6, 1e15, null, 'now', String(now), [now], {}, true, -5]) refuse(`beginning ${JSON.stringify(nbf)}`, claim({ nbf }))
for (const nbf of [now + 30, now, 0, now - 0.5, undefined]) accept(`beginning ${JSON.stringify(nbf)}`, claim({ nbf }))
for (const iat of ['x', null, {}, -1]) refuse(`made at ${JSON.stringify(iat)}`, claim({ iat }))
refuse('of another audience and over: only its bearer may know that it is over', claim({ exp: 1, aud: 'x' }))
refuse('of a stranger and over', token(other, { ...claims, exp: 1 }))
refuse('not yet and over', claim({ exp: now - 100, nbf: now + 100 }))

for (const sub of [undefined, null, '', 1.5, true, ['ann'], { sub: 'ann' }, 'x'.repeat(254), 1e300]) refuse(`consumer ${JSON.stringify(sub)?.slice(0, 30)}`, claim({ sub }))
expect('42', 'a consumer that is a number', claim({ sub: 42 }))
for (const groups of [1, true, {}, [1.5], [null], [['a']], Array.from({ length: 257 }, (_, i) => `g${i}`)]) refuse(`groups ${JSON.stringify(groups).slice(0, 30)}`, claim({ groups }))
for (const groups of [null, 'a', [], ['a', 'b'], [1]]) accept(`groups ${JSON.stringify(groups)}`, claim({ groups }))
for (const scope of [1, {}, [{}]]) refuse(`scopes ${JSON.stringify(scope)}`, claim({ scope }))
for (const tier of [{}, [], '', true]) refuse(`tier ${JSON.stringify(tier)}`, claim({ tier }))

const head = { alg: 'RS256', kid: 'rsa' }
for (const [what, more] of Object.entries({
  'crit': { crit: ['exp'] }, 'an empty crit': { crit: [] }, 'crit with b64': { crit: ['b64'], b64: false }, 'b64': { b64: false },
  'a nested token': { cty: 'JWT' }, 'a logout token': { typ: 'logout+jwt' }, 'a DPoP proof': { typ: 'dpop+jwt' }, 'a security event': { typ: 'secevent+jwt' },
  'an answer of introspection': { typ: 'application/token-introspection+jwt' }, 'a type that is a list': { typ: ['JWT'] },
})) refuse(what, token(rsa, claims, { ...head, ...more }))
for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt']) accept(`type ${typ}`, token(rsa, claims, { ...head, typ }))

const text = JSON.stringify(claims)
const inner = token(rsa, claims)
for (const [what, payload] of Object.entries({
  'a token in a token': inner, 'an empty payload': '', 'a list': '[]', 'null': 'null', 'a text': '"x"', 'a number': '1', 'no JSON': '{', 'two values': `${text}${text}`,
  'a byte order mark': `\ufeff${text}`, 'a comment': `/**/${text}`, 'a trailing comma': text.replace('}', ',}'), 'single quotes': text.replaceAll('"', "'"),
  'two ends': text.replace('"exp"', '"exp":1,"exp"'), 'two consumers': text.replace('"sub"', '"sub":"eve","sub"'),
  'two consumers, the second another': text.replace('}', ',"sub":"eve"}'), 'two spellings of one claim': text.replace('}', ',"\\u0073ub":"eve"}'),
  'two issuers': text.replace('"iss"', '"iss":"https://evil.example","iss"'), 'two of a name further in': text.replace('}', ',"a":{"b":1,"b":2}}'),
  'two of a name in a list': text.replace('}', ',"a":[{"b":1},{"b":1,"b":2}]}'), 'depth': text.replace('}', `,"a":${'['.repeat(17)}${']'.repeat(17)}}`),
  'great depth': text.replace('}', `,"a":${'['.repeat(4000)}${']'.repeat(4000)}}`), 'a prototype': '{"__proto__":{"iss":"https://idp.example"}}',
  'too large': text.replace('}', `,"a":"${'x'.repeat(17_000)}"}`),
})) refuse(`claims that are ${what}`, token(rsa, payload))
for (const [what, payload] of Object.entries({
  'with the same name in two objects': text.replace('}', ',"a":{"b":1},"c":{"b":1}}'), 'with spaces': ` ${text.replaceAll(',', ' ,\n\t')} `, 'with quotes inside': text.replace('}', ',"a":"\\"sub\\":{[,:"}'),
  'with a prototype of their own': text.replace('}', ',"__proto__":{"sub":"eve"},"constructor":1}'), 'with texts that are no names': text.replace('}', ',"a":["sub","sub",":","sub"]}'),
  'with numbers and literals': text.replace('}', ',"a":[1,-1.5e3,true,false,null]}'), 'large': text.replace('}', `,"a":"${'x'.repeat(10_000)}"}`),
})) accept(`claims ${what}`, token(rsa, payload))
for (const [what, header] of Object.entries({
  'two algorithms': '{"alg":"none","alg":"RS256","kid":"rsa"}', 'two algorithms, none last': '{"alg":"RS256","kid":"rsa","alg":"none"}', 'two key ids': '{"alg":"RS256","kid":"evil","kid":"rsa"}',
  'a list': '["RS256"]', 'null': 'null', 'a text': '"RS256"', 'no JSON': 'RS256', 'nothing': '',
})) refuse(`a header that is ${what}`, token(rsa, claims, header))

/** The same bytes for whoever does not look at the bits to spare. */
function respelled(part: string): string {
  const other = part.slice(0, -1) + String.fromCharCode(part.charCodeAt(part.length - 1) + 1)
  assert.deepEqual(Buffer.from(other, 'base64url'), Buffer.from(part, 'base64url'))
  return other
}

const [h = '', p = '', s = ''] = inner.split('.')
for (const [what, credential] of Object.entries({
  'nothing': '', 'one part': h, 'two parts': `${h}.${p}`, 'four parts': `${inner}.x`, 'five parts, as if encrypted': `${inner}.x.y`, 'dots': '..', 'only a signature': `..${s}`,
  'no header': `.${p}.${s}`, 'no payload': `${h}..${s}`, 'a space inside': `${h}. ${p}.${s}`, 'two tokens': `${inner} ${inner}`, 'a list of tokens': `${inner},${inner}`,
  'padding': `${h}=.${p}.${s}`, 'padding behind': `${inner}==`, 'a tab': `${inner}\t`, 'bytes of no alphabet': `${h}.${p}.${s}é`, 'JSON serialization': JSON.stringify({ payload: p, protected: h, signature: s }),
  'the other alphabet': `${h}.${p}.${Buffer.from(s, 'base64url').toString('base64')}`, 'another spelling of the signature': `${h}.${p}.${respelled(s)}`,
  'another spelling of the claims': (() => {
    // One more byte than a multiple of three, so that there are bits to spare.
    const spaced = base64url(text + ' '.repeat((4 - (text.length % 3)) % 3))
    const data = `${h}.${respelled(spaced)}`
    return `${data}.${signature('RS256', rsa.key, data).toString('base64url')}`
  })(),
  'claims that are not UTF-8': (() => {
    const data = `${h}.${Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(',"a":"'), Buffer.of(0xff, 0xfe), Buffer.from('"}')]).toString('base64url')}`
    return `${data}.${signature('RS256', rsa.key, data).toString('base64url')}`
  })(),
})) refuse(`a credential that is ${what}`, credential)

const small = signer('RS256', 'rsa', 1024)
const strange = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
const k1: Signer = { kid: 'k1', alg: 'ES256', key: strange.privateKey, jwk: { ...strange.publicKey.export({ format: 'jwk' }), kid: 'k1' } }
const es = by('ES256')
const hs = by('HS256')
const short: Signer = { kid: 's', alg: 'HS256', key: Buffer.alloc(31, 1), jwk: { kty: 'oct', kid: 's', k: Buffer.alloc(31, 1).toString('base64url') } }
for (const [what, by, jwk] of [
  ['for encryption', rsa, { ...rsa.jwk, use: 'enc' }], ['for signing only', rsa, { ...rsa.jwk, key_ops: ['sign'] }], ['with operations that are no list', rsa, { ...rsa.jwk, key_ops: 'verify' }],
  ['for another algorithm', rsa, { ...rsa.jwk, alg: 'RS512' }], ['for encryption by its algorithm', rsa, { ...rsa.jwk, alg: 'RSA-OAEP' }], ['of another type', rsa, { ...rsa.jwk, kty: 'EC' }],
  ['of no type', rsa, { ...rsa.jwk, kty: undefined }], ['whose id is a number', rsa, { ...rsa.jwk, kid: 1 }], ['without its modulus', rsa, { ...rsa.jwk, n: undefined }], ['with a huge exponent', rsa, { ...rsa.jwk, e: 'A'.repeat(400) }],
  ['too small', small, small.jwk], ['on a curve of no algorithm', k1, k1.jwk], ['said to be on another curve', es, { ...es.jwk, crv: 'P-384' }], ['off its curve', es, { ...es.jwk, y: es.jwk['x'] }],
  ['without a point', es, { ...es.jwk, x: '', y: '' }], ['shorter than its hash', short, short.jwk], ['symmetric and empty', { ...short, key: Buffer.alloc(0) }, { ...short.jwk, k: '' }],
  ['a text', rsa, 'rsa'], ['null', rsa, null], ['a list', rsa, [rsa.jwk]],
] as const) {
  refuse(`a key that is ${what}`, token(by, claims), { set: setOf([jwk]) })
}
refuse('a shared key in a set that is fetched', token(hs, claims), { set: setOf([hs.jwk]), symmetric: false })
accept('a shared key in a secret', token(hs, claims), { set: setOf([hs.jwk]) })
accept('a key with its private part, which is not read', token(rsa, claims), { set: setOf([{ ...(rsa.key as KeyObject).export({ format: 'jwk' }), kid: 'rsa' }]) })
accept('a key among broken ones', token(rsa, claims), { set: setOf([null, 1, {}, { kty: 'RSA' }, k1.jwk, rsa.jwk]) })
accept('one of two keys with one id', token(rsa, claims), { set: setOf([{ ...es.jwk, kid: 'rsa' }, other.jwk, rsa.jwk]) })
for (const set of ['', '{}', '[]', '{"keys":{}}', '{"keys":[],"keys":[]}', JSON.stringify({ keys: Array.from({ length: 101 }, () => rsa.jwk) })]) {
  expect('auth_unavailable', `a key set ${set.slice(0, 30)}`, token(rsa, claims), { set })
}
refuse('a key set without keys', token(rsa, claims), { set: '{"keys":[]}' })

test('what is wrong reads the same, whatever it is', async () => {
  const verify = createJwtVerifier(terms, { keys: keysOf(usual, true), verified, id: 'same', now: () => now * 1000 })
  const said = new Set<string>()
  for (const credential of [token(other, claims), claim({ aud: 'x' }), token(rsa, claims, { alg: 'RS256', kid: 'x' }), claim({ nbf: now + 100 }), claim({ sub: '' })]) {
    const verdict = await verify({ header: () => `Bearer ${credential}` } as unknown as Exchange)
    assert.ok(verdict !== undefined && 'code' in verdict)
    const { cause, ...told } = verdict
    assert.ok(cause !== undefined && !cause.includes(credential))
    said.add(JSON.stringify(told))
  }
  assert.equal(said.size, 1)
})

test('a token that was let in ends with its time, and with its key', async () => {
  const keys = parseKeySet(usual, true, [])
  assert.ok(typeof keys === 'object')
  const [key] = keys
  assert.ok(key)
  const clock = { now: now * 1000 }
  const verify = createJwtVerifier(terms, { keys: { find: () => key.withdrawn ? [] : [key], freshen() {} }, verified: new Verified(1_000_000), id: 'time', now: () => clock.now })
  const outcome = async (credential: string) => {
    const verdict = await verify({ header: () => `Bearer ${credential}` } as unknown as Exchange)
    return verdict && ('code' in verdict ? verdict.code : verdict.consumer)
  }
  assert.equal(await outcome(inner), 'ann')
  clock.now += 329_999
  assert.equal(await outcome(inner), 'ann')
  clock.now += 1
  assert.equal(await outcome(inner), 'token_expired')
  const longer = claim({ exp: now + 1e6 })
  assert.equal(await outcome(longer), 'ann')
  key.withdrawn = true
  assert.equal(await outcome(longer), 'unauthenticated')
})
