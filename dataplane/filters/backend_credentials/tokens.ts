import type { BackendCredentials } from '../../../table/backend.ts'
import type { Secret } from '../../../table/secrets.ts'
import type { Answered, Outgoing, Unanswered } from '../../../outgoing/call.ts'
import type { Vault } from '../../vault.ts'

export type TokenTerms = Extract<BackendCredentials, { kind: 'oauth2' }>

/** `why`: for the log. */
export type Token = Readonly<{ token: string }> | Readonly<{ why: string }>

/** Tokens for backends, by tenant and terms: at once where there is one. */
export type BackendTokens = (tenant: string, terms: TokenTerms) => Token | Promise<Token>

/** Where nothing is called. */
export const noTokens: BackendTokens = () => ({ why: 'no tokens are fetched here' })

type Deps = Readonly<{ outgoing: Outgoing; vault: Vault; now?: () => number }>

type Kept = {
  /** What it was fetched with; another one fetches anew. */
  client: Secret
  token: string | undefined
  /** Milliseconds: from then on it is renewed beside being used, and from then on it is not used. */
  renewAt: number
  until: number
  asking: Promise<Token> | undefined
  failures: number
  quietUntil: number
  last: string
  usedAt: number
}

const timeout = 5000
const answerMax = 65_536
/** Of a token whose endpoint does not say how long it holds (RFC 6749 section 5.1 only recommends it). */
const lifetimeDefault = 60_000
/** Nobody is made to wait for a token that is renewed in its last fifth; the last seconds are for the way to the backend. */
const renewAfter = 0.8
const margin = 5000
const backoff = { first: 1000, most: 30_000 }
/** Terms come and go with routes; those not asked for are forgotten first. */
const keptMax = 1000

export function createBackendTokens({ outgoing, vault, now = Date.now }: Deps): BackendTokens {
  const all = new Map<string, Kept>()

  async function fetchToken(kept: Kept, terms: TokenTerms): Promise<Token> {
    const text = (key: string) => vault.secret(terms.client, key)?.toString().trim()
    const [client, password] = [text('client_id'), text('client_secret')]
    if (!client || !password) return { why: 'the secret with the client credentials is not here' }
    const asked = now()
    const answer = await outgoing({
      to: terms.token,
      method: 'POST',
      headers: {
        accept: 'application/json',
        authorization: basic(client, password),
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        ...(terms.scopes.length > 0 && { scope: terms.scopes.join(' ') }),
      }).toString(),
      maxBytes: answerMax,
      timeout,
    })
    const granted = grantOf(answer)
    if (typeof granted === 'string') {
      kept.quietUntil = now() + Math.min(backoff.first * 2 ** kept.failures++, backoff.most)
      kept.last = `no token: ${granted}`
      return { why: kept.last }
    }
    kept.failures = 0
    kept.quietUntil = 0
    kept.token = granted.token
    kept.renewAt = asked + granted.lifetime * renewAfter
    kept.until = asked + Math.max(granted.lifetime - margin, granted.lifetime / 2)
    return { token: granted.token }
  }

  function ask(kept: Kept, terms: TokenTerms): Promise<Token> {
    const failed = (error: unknown): Token => ({ why: `no token: ${error instanceof Error ? error.message : String(error)}` })
    return (kept.asking ??= fetchToken(kept, terms).catch(failed).finally(() => { kept.asking = undefined }))
  }

  return function tokenOf(tenant, terms) {
    const client = vault.secrets.get(terms.client)
    if (client === undefined) return { why: 'the secret with the client credentials has not arrived' }
    const key = JSON.stringify([tenant, terms])
    const time = now()
    let kept = all.get(key)
    if (kept?.client !== client) {
      kept = { client, token: undefined, renewAt: 0, until: 0, asking: undefined, failures: 0, quietUntil: 0, last: '', usedAt: time }
      all.set(key, kept)
      if (all.size > keptMax) forget(all)
    }
    kept.usedAt = time
    const quiet = time < kept.quietUntil
    if (kept.token !== undefined && time < kept.until) {
      if (time >= kept.renewAt && !quiet) void ask(kept, terms)
      return { token: kept.token }
    }
    return quiet && kept.asking === undefined ? { why: kept.last } : ask(kept, terms)
  }
}

function forget(all: Map<string, Kept>): void {
  const [oldest] = [...all].sort(([, a], [, b]) => a.usedAt - b.usedAt)
  if (oldest) all.delete(oldest[0])
}

/** RFC 6749 section 2.3.1: both are put in the form of a URL's query first. */
function basic(client: string, password: string): string {
  const form = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
  return `Basic ${Buffer.from(`${form(client)}:${form(password)}`).toString('base64')}`
}

/** What stands in the answer's body is told in no log: it may be the token. */
function grantOf(answer: Answered | Unanswered): Readonly<{ token: string; lifetime: number }> | string {
  if ('why' in answer) return answer.why
  if (answer.status !== 200) return `the token endpoint answered ${answer.status}`
  let body: unknown
  try {
    body = JSON.parse(answer.body.toString())
  } catch {
    return 'the token endpoint answered with no JSON'
  }
  if (typeof body !== 'object' || body === null) return 'the token endpoint answered with no object'
  const [token, type, expires] = ['access_token', 'token_type', 'expires_in'].map((field): unknown => Reflect.get(body, field))
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) return 'the answer of the token endpoint has no token'
  if (typeof type === 'string' && type.toLowerCase() !== 'bearer') return 'the token is of a type that is no bearer token'
  const seconds = Number(expires)
  return { token, lifetime: Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : lifetimeDefault }
}
