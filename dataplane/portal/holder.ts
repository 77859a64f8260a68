import { createHmac, hash } from 'node:crypto'
import type { ApiKey, KeySet } from '../../table/credentials.ts'
import type { Principal } from '../pipeline/principal.ts'

/** Who has signed in: the holder of one key of one tenant. */
export type Holder = Readonly<{ tenant: string; key: ApiKey }>

/** Where the keys of the table in force are found, and what they are digested with. */
export type Keys = Readonly<{ credentials: ReadonlyMap<string, KeySet>; pepper: Buffer | undefined }>

const indexes = new WeakMap<KeySet, ReadonlyMap<string, ApiKey>>()

function keysOf(set: KeySet): ReadonlyMap<string, ApiKey> {
  let index = indexes.get(set)
  if (index === undefined) indexes.set(set, (index = new Map(set.keys.map((key) => [key.digest, key]))))
  return index
}

/** As in the table: which digest is looked up cannot be chosen without the pepper. */
export function digestOf(key: string, pepper: Buffer): string {
  return createHmac('sha256', pepper).update(hash('sha256', Buffer.from(key, 'utf8'), 'buffer')).digest('hex')
}

/** The holder of the key with this digest, as long as there is one. @param of the tenant to look at; absent: any */
export function holderOf({ credentials }: Keys, digest: string, of: string | undefined, now: number): Holder | undefined {
  for (const set of credentials.values()) {
    const tenant = set.id.slice(0, set.id.indexOf('?'))
    const key = of === undefined || of === tenant ? keysOf(set).get(digest) : undefined
    if (key !== undefined && (key.expires ?? Number.POSITIVE_INFINITY) > now) return { tenant, key }
  }
  return undefined
}

/** Whether a rule that takes keys of this set takes this one. */
export function admits({ credentials }: Keys, set: string, { key }: Holder): boolean {
  const found = credentials.get(set)
  return found !== undefined && keysOf(found).has(key.digest)
}

export function principalOf({ key: { consumer, groups, tier, name } }: Holder): Principal {
  return { via: 'apiKey', consumer, groups, tier, scopes: [], claims: new Map(), credential: name }
}
