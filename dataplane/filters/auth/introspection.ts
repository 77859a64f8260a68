import type { Credential } from '../../../table/principal.ts'
import type { Answered, Outgoing, Unanswered } from '../../../outgoing/call.ts'
import type { Verdict } from '../../pipeline/principal.ts'
import { bearerOf, isToken } from './bearer.ts'
import { identify } from './identity.ts'
import { parseObject } from './strict_json.ts'
import { timeOf } from './times.ts'
import { keyOf, Verified } from './verified.ts'
import { expired, rejected, untold, type Verifier } from './verifier.ts'

export type IntrospectionTerms = Extract<Credential, { kind: 'introspection' }>

export type IntrospectionDeps = Readonly<{
  outgoing: Outgoing
  /** A value of the secret that the terms name. */
  secret: (id: string, key: string) => Buffer | undefined
  /** Shared by one tenant's verifiers. */
  verified: Verified
  /** Tells these terms from others in `verified`. */
  id: string
  now: () => number
}>

const answerMax = 65_536
const timeout = 3000
const tokenMax = 8192
/** Questions under way at once; a request beyond them is refused rather than kept waiting. */
const askingMax = 64
/** How long a token that is not active is remembered, at most: nobody makes it active, but somebody sends it again. */
const inactiveMax = 10_000
const inactiveBytes = 1_048_576
/** After an answer that did not come: how long nobody asks again. */
const backoff = { first: 1000, most: 10_000 }

/** Opaque tokens, checked with the server that made them (RFC 7662). */
export function createIntrospectionVerifier(terms: IntrospectionTerms, { outgoing, secret, verified, id, now }: IntrospectionDeps): Verifier {
  /** One question a token, whoever else asks meanwhile. */
  const asking = new Map<string, Promise<Verdict>>()
  /** Apart from the others, so that made-up tokens push none of those out. */
  const inactive = new Verified(inactiveBytes)
  let failures = 0
  let quietUntil = 0

  async function ask(token: string, key: string): Promise<Verdict> {
    const [client, password] = [secret(terms.client, 'client_id'), secret(terms.client, 'client_secret')]
    if (client === undefined || password === undefined) return untold('the secret with the client credentials is not here')
    const asked = now()
    const answer = await outgoing({
      to: terms.endpoint,
      method: 'POST',
      headers: {
        accept: 'application/json',
        authorization: basic(client.toString(), password.toString()),
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
      maxBytes: answerMax,
      timeout,
    })
    const claims = claimsOf(answer)
    if (typeof claims === 'string') {
      // What a caller can bring about with a token of its own must not keep the others out.
      if (!('status' in answer && answer.status === 400)) {
        quietUntil = now() + Math.min(backoff.first * 2 ** failures++, backoff.most)
      }
      return untold(`introspection failed: ${claims}`)
    }
    failures = 0
    const verdict = judge(terms, claims, now())
    const until = asked + terms.cache
    if ('code' in verdict) inactive.set(key, verdict, 0, Math.min(until, asked + inactiveMax))
    else verified.set(key, verdict, answerSize(answer), Math.min(until, timeOf(claims.get('exp')) ?? until))
    return verdict
  }

  return function introspect(exchange) {
    const token = bearerOf(exchange)
    if (token === undefined || token.length > tokenMax) return undefined
    const key = keyOf(id, token)
    const time = now()
    const known = verified.get(key, time) ?? inactive.get(key, time) ?? asking.get(key)
    if (known !== undefined) return known
    if (!isToken(token)) return rejected('it is not one token')
    if (time < quietUntil) return untold('introspection failed just now')
    // After a failure one question at a time, until one is answered.
    if (asking.size >= (failures > 0 ? 1 : askingMax)) return untold('introspection is under way for too many tokens')
    const asked = ask(token, key).finally(() => asking.delete(key))
    asking.set(key, asked)
    return asked
  }
}

const answerSize = (answer: Answered | Unanswered) => 'body' in answer ? answer.body.length : 0

/** RFC 6749 section 2.3.1: both are put in the form of a URL's query first. */
function basic(client: string, password: string): string {
  const form = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
  return `Basic ${Buffer.from(`${form(client)}:${form(password)}`).toString('base64')}`
}

/** What a server says of a token that is none of its own (RFC 7009 section 2.2.1, RFC 6750 section 3.1). */
const notItsOwn: readonly unknown[] = ['unsupported_token_type', 'invalid_token']

/** The members of an answer that is one; or what is wrong with it. */
function claimsOf(answer: Answered | Unanswered): ReadonlyMap<string, unknown> | string {
  if ('failed' in answer) return `${answer.failed}, ${answer.why}`
  if (answer.status === 400 && notItsOwn.includes(parseObject(answer.body.toString())?.get('error'))) return new Map([['active', false]])
  if (answer.status !== 200) return `status ${answer.status}`
  const claims = parseObject(answer.body.toString())
  return typeof claims?.get('active') === 'boolean' ? claims : 'the answer is not one of RFC 7662'
}

function judge(terms: IntrospectionTerms, claims: ReadonlyMap<string, unknown>, now: number): Verdict {
  if (claims.get('active') !== true) return rejected('the token is not active')
  const begins = claims.has('nbf') ? timeOf(claims.get('nbf')) : 0
  const ends = claims.has('exp') ? timeOf(claims.get('exp')) : Number.POSITIVE_INFINITY
  if (begins === undefined || ends === undefined) return rejected('its times are no times')
  if (begins > now) return rejected('it is not valid yet')
  const principal = identify('introspection', claims, terms.claims)
  if (typeof principal === 'string') return rejected(principal)
  return now >= ends ? expired : principal
}
