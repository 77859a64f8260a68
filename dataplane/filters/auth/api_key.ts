import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { ApiKey, KeySet } from '../../../table/credentials.ts'
import type { Credential } from '../../../table/principal.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { unavailable, type Principal, type Verdict } from '../../pipeline/principal.ts'
import { bearerOf, looksLikeJwt } from './bearer.ts'
import { unauthenticated, type Verifier } from './verifier.ts'

type ApiKeyCredential = Extract<Credential, { kind: 'apiKey' }>

/** Where the key sets of the table in force are found, and what keys are digested with. */
export type KeyVault = Readonly<{ credentials: ReadonlyMap<string, KeySet>; pepper: Buffer | undefined }>

type Holder = Readonly<{ principal: Principal; expires: number }>
/** A set is replaced whole whenever one of its keys is, so what is made of each key is made when it is used. */
type Index = Readonly<{ keys: ReadonlyMap<string, ApiKey>; recent: Map<string, Holder> }>

const recentMax = 10_000
/** Longer than any key: no hash is taken of it. */
const keyMax = 4096

/**
 * Verifies API keys. What is known of a key is HMAC-SHA-256(pepper, SHA-256(key)); which one is looked up cannot be
 * chosen without the pepper, so the time that it takes says nothing about the keys there are.
 */
export function createApiKeys(vault: KeyVault, now: () => number = Date.now): (tenant: string, credential: ApiKeyCredential) => Verifier {
  const indexes = new WeakMap<KeySet, Index>()
  /** Of this process alone: keys that were seen are remembered under a digest that is of no use anywhere else. */
  const salt = randomBytes(32).toString('base64')

  function indexOf(set: KeySet): Index {
    let index = indexes.get(set)
    if (index === undefined) {
      index = { keys: new Map(set.keys.map((key) => [key.digest, key])), recent: new Map() }
      indexes.set(set, index)
    }
    return index
  }

  function find({ keys, recent }: Index, key: string, pepper: Buffer): Holder | undefined {
    const alias = hash('sha256', salt + key, 'base64')
    const seen = recent.get(alias)
    if (seen !== undefined) return seen
    const digest = createHmac('sha256', pepper).update(hash('sha256', Buffer.from(key, 'latin1'), 'buffer')).digest()
    const found = keys.get(digest.toString('hex'))
    if (found === undefined || !timingSafeEqual(Buffer.from(found.digest, 'hex'), digest)) return undefined
    const holder = holderOf(found)
    // Only keys that exist are remembered, so guesses push nothing out.
    if (recent.size >= recentMax) recent.clear()
    recent.set(alias, holder)
    return holder
  }

  /** By whom the same bytes were sent before on a connection: a digest for each request would find the same again. */
  const known = new WeakMap<object, Readonly<{ set: KeySet; key: string; holder: Holder }>>()

  const live = ({ expires }: Holder) => expires === Number.POSITIVE_INFINITY || expires > now()

  function verify(id: string, key: string, again: object | undefined): Verdict {
    const set = vault.credentials.get(id)
    const { pepper } = vault
    // A proxy that has its table from disk cannot tell one key from another before it has met a controller.
    if (set === undefined || pepper === undefined) return unavailable
    if (key.length > keyMax) return unauthenticated
    const before = again === undefined ? undefined : known.get(again)
    // Its own key is what is compared with: how long that takes tells nobody anything.
    const same = before !== undefined && before.set === set && before.key === key
    const holder = same ? before.holder : find(indexOf(set), key, pepper)
    if (!same && again !== undefined && holder !== undefined) known.set(again, { set, key, holder })
    return holder !== undefined && live(holder) ? holder.principal : unauthenticated
  }

  return (_, credential) => function apiKey(exchange) {
    const key = presented(exchange, credential)
    return key === undefined ? undefined : verify(credential.set, key, exchange.received.again)
  }
}

function holderOf({ name, consumer, groups, tier, expires }: ApiKey): Holder {
  return {
    expires: expires ?? Number.POSITIVE_INFINITY,
    principal: { via: 'apiKey', consumer, groups, tier, scopes: [], claims: new Map(), credential: name },
  }
}

/** The key in the request, each character a byte: as such, in ISO 8859-1, headers are read. */
function presented(exchange: Exchange, { in: place, name }: ApiKeyCredential): string | undefined {
  if (place === 'Query') {
    const value = exchange.parameter(name)
    return value ? Buffer.from(value).toString('latin1') : undefined
  }
  const value = place === 'Header' ? exchange.header(name) : bearerOf(exchange)
  return !value || (place === 'Bearer' && looksLikeJwt(value)) ? undefined : value
}
