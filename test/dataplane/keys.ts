import { createHash, createHmac } from 'node:crypto'
import type { KeySet } from '../../table/credentials.ts'
import type { Secret } from '../../table/secrets.ts'
import type { Active } from '../../dataplane/store.ts'

const pepper = Buffer.from('pepper')

type Holder = Partial<Omit<KeySet['keys'][number], 'digest'>>

/** A key set as a controller makes it: who holds which key. */
export function keySet(id: string, keys: Readonly<Record<string, Holder>>): KeySet {
  return {
    id,
    keys: Object.entries(keys).map(([key, holder]) => ({
      digest: createHmac('sha256', pepper).update(createHash('sha256').update(key).digest()).digest('hex'),
      name: `key-of-${holder.consumer ?? 'ann'}`, consumer: 'ann', groups: [], ...holder,
    })),
  }
}

/** The same table with these keys. */
export function withKeys(table: Active, ...sets: readonly KeySet[]): Active {
  const secret: Secret = { id: 'pepper', data: { pepper: pepper.toString('base64') } }
  return { ...table, credentials: new Map(sets.map((set) => [set.id, set])), secrets: new Map([[secret.id, secret]]) }
}
