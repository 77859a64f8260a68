import type { Callee } from '../../../table/principal.ts'
import type { Answered, Outgoing, Unanswered } from '../../../outgoing/call.ts'
import { parseKeySet, type Key } from './jwk.ts'
import { parseObject } from './strict_json.ts'

/** Where an issuer's keys are looked up. */
export interface Keys {
  /** Those that a token of this algorithm and key id may be verified with; a text says why nobody can tell at present. */
  find(algorithm: string, kid: string | undefined): Found | Promise<Found>
  /** Called with each request: notices that keys have been withdrawn, and never waits for it. */
  freshen(): void
}

type Found = readonly Key[] | string

export type KeysDeps = Readonly<{
  outgoing: Outgoing
  /** Milliseconds since the epoch. */
  now: () => number
  log: (level: 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>>) => void
}>

/** Between two fetches, also after one that failed: neither an issuer in trouble nor a stranger's key ids make more. */
const cooldown = 30_000
/** After which keys are fetched again, so that one that was withdrawn is noticed. Nobody waits for it. */
const refreshAfter = 300_000
/** How long keys outlive an outage of their issuer. */
const staleMax = 86_400_000
const fetchTimeout = 5000
const bytesMax = 262_144
/** Requests that may wait for one fetch. */
const waitersMax = 1024
/** Keys that one token is tried with, where it does not say which. */
const triesMax = 8

/** Of a token without a key id, any key may be the one (RFC 7515 section 4.1.4: it is a hint). */
function select(keys: readonly Key[], algorithm: string, kid: string | undefined): readonly Key[] {
  return keys
    .filter((key) => !key.withdrawn && key.algorithms.includes(algorithm) && (kid === undefined || key.kid === kid))
    .slice(0, triesMax)
}

function withdraw(before: readonly Key[], after: readonly Key[]): void {
  for (const key of before) if (!after.includes(key)) key.withdrawn = true
}

type Source = Callee & Readonly<{ from: 'uri' | 'discover' }>

/** A key set at an address, or the one that an issuer's metadata name. */
export class FetchedKeys implements Keys {
  readonly #from: Source
  readonly #deps: KeysDeps
  #keys: readonly Key[] = []
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #failed: string | undefined
  #fetching: Promise<void> | undefined
  #waiters = 0

  constructor(from: Source, deps: KeysDeps) {
    this.#from = from
    this.#deps = deps
  }

  find(algorithm: string, kid: string | undefined): Found | Promise<Found> {
    this.freshen()
    const found = select(this.#keys, algorithm, kid)
    if (found.length > 0) return found
    const fetching = this.#fetching ?? this.#fetch()
    if (fetching === undefined) return this.#unfound(algorithm, kid)
    if (this.#waiters >= waitersMax) return 'too many requests wait for the keys of the issuer'
    this.#waiters++
    return fetching.then(() => {
      this.#waiters--
      return this.#unfound(algorithm, kid)
    })
  }

  freshen(): void {
    const age = this.#deps.now() - this.#fetchedAt
    if (age < refreshAfter || this.#keys.length === 0) return
    if (age > staleMax) {
      withdraw(this.#keys, [])
      this.#keys = []
    }
    void this.#fetch()
  }

  /** No such key is a verdict only where the keys are as the issuer has them. */
  #unfound(algorithm: string, kid: string | undefined): Found {
    const found = select(this.#keys, algorithm, kid)
    return found.length === 0 && this.#failed !== undefined ? this.#failed : found
  }

  /** One at a time; undefined while it is too soon for another. It never rejects. */
  #fetch(): Promise<void> | undefined {
    const now = this.#deps.now()
    if (this.#fetching !== undefined || now - this.#triedAt < cooldown) return this.#fetching
    this.#triedAt = now
    this.#fetching = this.#load().then((outcome) => {
      this.#fetching = undefined
      if (typeof outcome === 'string') {
        this.#failed = `the keys of the issuer cannot be had: ${outcome}`
        this.#deps.log('warn', 'keys not fetched', { url: this.#from.url, cause: outcome, keys: this.#keys.length })
        return
      }
      this.#failed = undefined
      this.#fetchedAt = this.#deps.now()
      withdraw(this.#keys, outcome)
      this.#keys = outcome
    })
    return this.#fetching
  }

  async #load(): Promise<readonly Key[] | string> {
    const { url, from } = this.#from
    const address = from === 'uri' ? url : await this.#discover(url)
    if (typeof address === 'object') return address.wrong
    const text = await this.#get({ ...this.#from, url: address })
    if (typeof text === 'object') return text.wrong
    const keys = parseKeySet(text, false, this.#keys)
    return typeof keys === 'object' && keys.length === 0 ? 'a key set without a key that can be used' : keys
  }

  /** OpenID Connect Discovery 1.0 sections 4.1 and 4.3: the metadata must be of this issuer, to the letter. */
  async #discover(issuer: string): Promise<string | Wrong> {
    const text = await this.#get({ ...this.#from, url: `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration` })
    if (typeof text === 'object') return text
    const metadata = parseObject(text)
    if (metadata?.get('issuer') !== issuer) return { wrong: 'the metadata are of another issuer' }
    const uri = metadata.get('jwks_uri')
    if (typeof uri !== 'string') return { wrong: 'the metadata name no jwks_uri' }
    if (issuer.startsWith('https:') && !uri.startsWith('https:')) return { wrong: 'the metadata name a jwks_uri that is not https' }
    return uri
  }

  async #get(to: Callee): Promise<string | Wrong> {
    const answer = await this.#deps.outgoing({
      to, method: 'GET', headers: { accept: 'application/json' }, maxBytes: bytesMax, timeout: fetchTimeout,
    })
    const wrong = wrongOf(answer)
    return wrong === undefined && 'body' in answer ? answer.body.toString() : { wrong: wrong ?? '' }
  }
}

type Wrong = Readonly<{ wrong: string }>

function wrongOf(answer: Answered | Unanswered): string | undefined {
  if ('failed' in answer) return `${answer.failed}, ${answer.why}`
  return answer.status === 200 ? undefined : `status ${answer.status}`
}

/** A key set in a secret, read again whenever the secret changes. Only here keys may be shared ones (HS). */
export class SecretKeys implements Keys {
  readonly #read: () => Buffer | undefined
  readonly #identity: () => unknown
  #seen: unknown
  #keys: readonly Key[] = []
  #wrong: string | undefined

  /** @param identity changes with the secret */
  constructor(read: () => Buffer | undefined, identity: () => unknown) {
    this.#read = read
    this.#identity = identity
  }

  find(algorithm: string, kid: string | undefined): Found {
    this.freshen()
    return this.#wrong ?? select(this.#keys, algorithm, kid)
  }

  freshen(): void {
    const identity = this.#identity()
    if (identity !== undefined && identity === this.#seen) return
    this.#seen = identity
    const text = this.#read()?.toString()
    const keys = text === undefined ? 'the secret with the keys is not here' : parseKeySet(text, true, this.#keys)
    this.#wrong = typeof keys === 'string' ? keys : undefined
    const next = typeof keys === 'string' ? [] : keys
    withdraw(this.#keys, next)
    this.#keys = next
  }
}
