import type { Rotate } from '../table/messages.ts'
import { parseDuration } from './compile/durations.ts'
import type { Snapshot } from './sources/snapshot.ts'

/** A Secret to be made, with the digest of a key that nobody but its holder knows. */
export type FreshKey = Readonly<{
  namespace: string
  name: string
  labels: Readonly<Record<string, string>>
  annotations: Readonly<Record<string, string>>
  keySha256: string
}>

/** Where Secrets are made: undefined once it is there, else why it is not. */
export type MakeKey = (key: FreshKey) => Promise<string | undefined>

/** What the administrator allows a holder with it: to replace the key, which then goes on for so long. */
const ALLOWED = 'modelroute.io/self-service-rotation'
/** More keys of one consumer than these are not made by their holder. */
const keysMax = 8

/**
 * The Secret that replaces a key, as its holder may ask; or why it may not. It says itself what it replaces and when,
 * so that one object is all there is to write. It ends when the one before would have ended: a holder does not
 * prolong what the administrator gave for a while.
 */
export function freshKey({ namespace, name, keySha256 }: Rotate, secrets: Snapshot['secrets'], now: number): Readonly<{ key: FreshKey; until: number }> | string {
  const { labels = {}, annotations = {} } = secrets.get(`${namespace}/${name}`)?.metadata ?? {}
  const overlap = parseDuration(annotations[ALLOWED] ?? '')
  if (labels['modelroute.io/credential'] !== 'api-key' || overlap === null) return 'the administrator does not allow it for this key'
  const consumer = annotations['modelroute.io/consumer']
  const own = [...secrets.values()].filter(({ metadata }) =>
    metadata.namespace === namespace && metadata.annotations?.['modelroute.io/consumer'] === consumer)
  if (own.length >= keysMax) return `there are ${own.length} keys of this consumer already; the administrator has to remove old ones`
  if (own.some(({ metadata }) => metadata.annotations?.['modelroute.io/replaces'] === name)) return 'it has been replaced already'
  const kept = Object.entries(annotations).filter(([key]) => key.startsWith('modelroute.io/') && !key.startsWith('modelroute.io/replace'))
  const until = now + overlap
  const base = name.replace(/-[0-9a-f]{8}$/, '').slice(0, 240)
  return {
    until,
    key: {
      namespace,
      name: `${base}-${keySha256.slice(0, 8)}`,
      labels,
      annotations: { ...Object.fromEntries(kept), 'modelroute.io/replaces': name, 'modelroute.io/replaces-from': new Date(until).toISOString() },
      keySha256,
    },
  }
}

/** As a manifest, or as what the API server is sent. */
export function manifestOf({ namespace, name, labels, annotations, keySha256 }: FreshKey) {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels, annotations },
    type: 'Opaque',
    data: { keySha256: Buffer.from(keySha256).toString('base64') },
  }
}
