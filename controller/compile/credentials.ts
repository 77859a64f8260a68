import { createHash, createHmac } from 'node:crypto'
import type { ApiKey, KeySet } from '../../table/credentials.ts'
import type { Problem, Secret, Snapshot } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { invalid } from './problems.ts'

/** How a key set is made: the API keys of one namespace that carry these labels. */
export type KeySetSource = Readonly<{ id: string; namespace: string; labels: Readonly<Record<string, string>> }>

/** What makes a Secret an API key. */
const LABEL = 'modelroute.io/credential'
const API_KEY = 'api-key'

/** `ml?modelroute.io/consumer-group=acme`; the labels sorted, so that equal selectors share a set. */
export function keySetOf(namespace: string, labels: Readonly<Record<string, string>>): KeySetSource {
  const asked = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return { id: `${namespace}?${asked.map(([name, value]) => `${name}=${value}`).join('&')}`, namespace, labels }
}

/** An API key, or what is wrong with it. */
type ReadKey = Readonly<{ key?: ApiKey; problems: readonly Problem[] }>

type Keys = Readonly<{
  set(source: KeySetSource): KeySet
  /** By `namespace/name`: what is wrong with Secrets that are meant to be API keys. */
  problems: ReadonlyMap<string, readonly Problem[]>
}>

/**
 * Reads the API keys among the Secrets. A digest is made once in the life of a Secret.
 * @param pepper of the installation: who has the table but not this cannot try keys against it
 */
export function createKeys(pepper: Uint8Array | undefined): (secrets: Snapshot['secrets']) => Keys {
  const known = new WeakMap<Secret, ReadKey>()
  const read = (secret: Secret): ReadKey => {
    let found = known.get(secret)
    if (!found) known.set(secret, (found = readKey(secret, pepper)))
    return found
  }
  let before: Snapshot['secrets'] | undefined
  let keys: Keys | undefined
  return (secrets) => {
    if (keys && secrets === before) return keys
    before = secrets
    const byNamespace = new Map<string, Secret[]>()
    for (const secret of secrets.values()) {
      const { namespace, labels } = secret.metadata
      if (labels?.[LABEL] !== API_KEY) continue
      const there = byNamespace.get(namespace)
      if (there) there.push(secret)
      else byNamespace.set(namespace, [secret])
    }
    for (const there of byNamespace.values()) there.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    const ends = replacements(byNamespace)
    return (keys = {
      set: ({ id, namespace, labels }) => ({
        id,
        keys: (byNamespace.get(namespace) ?? []).filter((secret) => carries(secret, labels)).flatMap((secret) => endedBy(read(secret).key, ends.get(secret)) ?? []),
      }),
      problems: new Map([...byNamespace.values()].flat().flatMap((secret) => {
        const { problems } = read(secret)
        const { namespace, name } = secret.metadata
        return problems.length > 0 ? [[`${namespace}/${name}`, problems] as const] : []
      })),
    })
  }
}

/** When a key ends because another Secret of its consumer, by `modelroute.io/replaces`, takes its place. */
function replacements(byNamespace: ReadonlyMap<string, readonly Secret[]>): ReadonlyMap<Secret, number> {
  const ends = new Map<Secret, number>()
  for (const there of byNamespace.values()) {
    const byName = new Map(there.map((secret) => [secret.metadata.name, secret]))
    for (const { metadata: { annotations = {} } } of there) {
      const old = byName.get(annotations['modelroute.io/replaces'] ?? '')
      const from = instant(annotations['modelroute.io/replaces-from'] ?? '')
      if (old === undefined || from === undefined) continue
      const consumer = old.metadata.annotations?.['modelroute.io/consumer']
      if (consumer === annotations['modelroute.io/consumer']) ends.set(old, Math.min(from, ends.get(old) ?? Number.POSITIVE_INFINITY))
    }
  }
  return ends
}

/** A key that has been replaced ends with that, and is not replaced once more. */
function endedBy(key: ApiKey | undefined, end: number | undefined): ApiKey | undefined {
  if (key === undefined || end === undefined) return key
  const { rotates: _, ...rest } = key
  return { ...rest, expires: Math.min(end, key.expires ?? end) }
}

function carries({ metadata }: Secret, labels: Readonly<Record<string, string>>): boolean {
  const has = metadata.labels ?? {}
  return Object.entries(labels).every(([name, value]) => Object.hasOwn(has, name) && has[name] === value)
}

function readKey(secret: Secret, pepper: Uint8Array | undefined): ReadKey {
  const { name, annotations = {} } = secret.metadata
  const problems: Problem[] = []
  const note = (annotation: string) => {
    const value = annotations[`modelroute.io/${annotation}`]?.trim()
    return value === '' ? undefined : value
  }
  const hash = hashOf(secret, problems)
  const consumer = note('consumer')
  if (consumer === undefined) {
    problems.push(invalid('metadata.annotations', 'an API key needs the annotation modelroute.io/consumer'))
  }
  const until = note('expires')
  const expires = until === undefined ? undefined : instant(until)
  if (until !== undefined && expires === undefined) {
    const message = `modelroute.io/expires is no time of RFC 3339, such as 2027-01-31T00:00:00Z`
    problems.push(invalid('metadata.annotations', message))
  }
  // A key whose end nobody can read must not be one that never ends.
  if (!pepper || !hash || consumer === undefined || problems.length > 0) return { problems }
  const groups = (note('groups') ?? '').split(',').map((group) => group.trim()).filter((group) => group !== '')
  const tier = note('tier')
  const digest = createHmac('sha256', pepper).update(hash).digest('hex')
  const who = { digest, name, consumer, groups: [...new Set(groups)].sort(), ...(tier !== undefined && { tier }) }
  const overlap = note('self-service-rotation')
  if (overlap !== undefined && parseDuration(overlap) === null) {
    const message = 'modelroute.io/self-service-rotation is no duration, such as 24h'
    return { problems: [invalid('metadata.annotations', message)] }
  }
  return { key: { ...who, ...(expires !== undefined && { expires }), ...(overlap !== undefined && { rotates: true }) }, problems }
}

/** RFC 3339: a date, a time and an offset. Milliseconds since the epoch. */
function instant(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/.test(text)) return undefined
  const at = Date.parse(text.toUpperCase().replace(' ', 'T'))
  return Number.isNaN(at) ? undefined : at
}

/** SHA-256 of the key: the bytes of `key` as they are, or what `keySha256` says. Its value is never told. */
function hashOf({ data }: Secret, problems: Problem[]): Buffer | undefined {
  const [key, sum] = [data.get('key'), data.get('keySha256')]
  if (key !== undefined && sum !== undefined) {
    problems.push(invalid('data', 'holds both key and keySha256; remove one of them'))
    return undefined
  }
  if (sum !== undefined) {
    const hex = Buffer.from(sum, 'base64').toString().trim()
    if (/^[0-9a-fA-F]{64}$/.test(hex)) return Buffer.from(hex, 'hex')
    problems.push(invalid('data.keySha256', 'is no SHA-256 in hexadecimal, 64 digits'))
    return undefined
  }
  const bytes = key === undefined ? undefined : Buffer.from(key, 'base64')
  if (bytes !== undefined && bytes.length > 0) return createHash('sha256').update(bytes).digest()
  problems.push(invalid('data', 'an API key needs key, or keySha256 with its digest'))
  return undefined
}
