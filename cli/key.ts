import { createHash, randomBytes } from 'node:crypto'
import { fileKeys } from '../controller/sources/files-keys.ts'
import type { KeyManifest, KeyStore } from '../controller/sources/keys.ts'
import type { Options } from './flags.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

type Place = Readonly<{ store: KeyStore | undefined; namespace: string; close: () => void }>

/** Makes, replaces, revokes and lists API keys. A key is said once, on stdout; what is kept is its digest. */
export async function key(options: Options<'key'>, output: Output, now: () => number = Date.now): Promise<number> {
  const [action = ''] = options.operands
  const place = await placeOf(options)
  try {
    switch (action) {
      case 'create':
        return await create(options, place, output, now())
      case 'rotate':
        return await rotate(options, place, output, now())
      case 'revoke':
        return await revoke(options, place, output)
      default:
        return await list(options, place, output)
    }
  } finally {
    place.close()
  }
}

async function placeOf({ out, apply, kubeconfig, namespace: [given] }: Options<'key'>): Promise<Place> {
  if (!apply) return { store: out === undefined ? undefined : fileKeys(out), namespace: given ?? 'default', close: () => {} }
  // The client library costs a second, which only a cluster is worth.
  const [{ connect, loadUserConfig }, { clusterKeys }] = await Promise.all([
    import('../controller/kubernetes/connect.ts'), import('../controller/kubernetes/keys.ts'),
  ])
  const api = connect(loadUserConfig(kubeconfig))
  return { store: clusterKeys(api), namespace: given ?? api.namespace, close: () => api.close() }
}

type Wanted = Readonly<{ consumer: string; tier: string | undefined; groups: string; labels: Readonly<Record<string, unknown>>; expires: string | undefined }>

async function create(options: Options<'key'>, { store, namespace }: Place, output: Output, now: number): Promise<number> {
  const { consumer = '', tier, group, label, expires } = options
  const labels = Object.fromEntries(label.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
  const until = expires === undefined ? undefined : instantOf(expires, now)
  await keep({ consumer, tier, groups: group.join(','), labels, expires: until }, { store, namespace }, output)
  return 0
}

/** A new key for the consumer, with what the last one had; the others end after the overlap. */
async function rotate(options: Options<'key'>, { store, namespace }: Place, output: Output, now: number): Promise<number> {
  const { consumer = '', overlap, expires } = options
  const known = await ofConsumer(store, namespace, consumer)
  const last = known.findLast(({ metadata }) => !isOver(metadata, now))
  if (last === undefined || store === undefined) throw new Error(`${consumer} has no key in namespace ${namespace} that is still good`)
  const { annotations = {}, labels } = last.metadata
  const { 'modelroute.io/credential': _, ...own } = labels
  await keep({
    consumer,
    tier: annotations['modelroute.io/tier'],
    groups: annotations['modelroute.io/groups'] ?? '',
    labels: own,
    expires: expires === undefined ? annotations['modelroute.io/expires'] : instantOf(expires, now),
  }, { store, namespace }, output)
  const end = now + overlap
  for (const { metadata } of known) {
    const ends = metadata.annotations?.['modelroute.io/expires']
    if (ends !== undefined && Date.parse(ends) <= end) continue
    await store.expire(metadata.name, namespace, new Date(end).toISOString())
    output.stderr(`Secret ${namespace}/${metadata.name}: good until ${new Date(end).toISOString()}\n`)
  }
  return 0
}

async function revoke({ consumer = '' }: Options<'key'>, { store, namespace }: Place, output: Output): Promise<number> {
  const known = await ofConsumer(store, namespace, consumer)
  if (known.length === 0) throw new Error(`${consumer} has no key in namespace ${namespace}`)
  for (const { metadata } of known) {
    await store?.remove(metadata.name, namespace)
    output.stderr(`Secret ${namespace}/${metadata.name}: revoked\n`)
  }
  return 0
}

async function list({ consumer }: Options<'key'>, { store, namespace }: Place, output: Output): Promise<number> {
  const known = (await store?.list(namespace)) ?? []
  const rows = known.map(({ metadata: { name, annotations = {} } }) => ['consumer', 'tier', 'groups', 'expires']
    .map((what) => annotations[`modelroute.io/${what}`] || '-').concat(name))
    .filter(([who]) => consumer === undefined || who === consumer)
  if (rows.length === 0) output.stderr(`${consumer === undefined ? 'there is' : `${consumer} has`} no key in namespace ${namespace}\n`)
  const table = [['CONSUMER', 'TIER', 'GROUPS', 'EXPIRES', 'SECRET'], ...rows]
  const widths = table[0]?.map((_, at) => Math.max(...table.map((row) => row[at]?.length ?? 0))) ?? []
  output.stdout(table.map((row) => `${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ').trimEnd()}\n`).join(''))
  return 0
}

async function keep(
  { consumer, tier, groups, labels, expires }: Wanted,
  { store, namespace }: Pick<Place, 'store' | 'namespace'>,
  { stdout, stderr }: Output,
): Promise<void> {
  const secretKey = `mrk_${randomBytes(32).toString('base64url')}`
  const slug = consumer.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-+|-+$/g, '').slice(0, 40)
  const name = ['key', slug, randomBytes(4).toString('hex')].filter((part) => part !== '').join('-')
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace,
      labels: { 'modelroute.io/credential': 'api-key', ...labels },
      annotations: {
        'modelroute.io/consumer': consumer,
        ...(groups !== '' && { 'modelroute.io/groups': groups }),
        ...(tier !== undefined && { 'modelroute.io/tier': tier }),
        ...(expires !== undefined && { 'modelroute.io/expires': expires }),
      },
    },
    stringData: { keySha256: createHash('sha256').update(secretKey).digest('hex') },
  }
  // Without a place to keep it the manifest goes where it can be piped on, and the key beside it.
  if (store === undefined) {
    stdout(`${JSON.stringify(secret, null, 2)}\n`)
    stderr(`${secretKey}\n`)
    return
  }
  await store.create(secret)
  stdout(`${secretKey}\n`)
  stderr(`Secret ${namespace}/${name} holds its digest; the key itself is not shown again\n`)
}

async function ofConsumer(store: KeyStore | undefined, namespace: string, consumer: string): Promise<readonly KeyManifest[]> {
  const known = (await store?.list(namespace)) ?? []
  return known.filter(({ metadata }) => metadata.annotations?.['modelroute.io/consumer'] === consumer)
}

function isOver({ annotations }: KeyManifest['metadata'], now: number): boolean {
  const ends = annotations?.['modelroute.io/expires']
  return ends !== undefined && Date.parse(ends) <= now
}

const units: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 }

/** `90d`, `12h`, or a time of RFC 3339; values.ts has seen that it is one of them. Throws where that is over already. */
function instantOf(text: string, now: number): string {
  const [, amount, unit = ''] = /^([0-9]+)([dhms])$/.exec(text) ?? []
  const instant = amount === undefined ? Date.parse(text) : now + Number(amount) * (units[unit] ?? 0)
  if (instant <= now) throw new Error(`--expires ${text} is in the past: nobody could use the key`)
  return new Date(instant).toISOString()
}
