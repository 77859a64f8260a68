/** Where Redis is: `redis[s]://`, `redis[s]+sentinel://` or `redis[s]+cluster://`, as docs/limits.md lists them. */
export type RedisUrl = Readonly<{
  mode: 'standalone' | 'sentinel' | 'cluster'
  hosts: readonly Readonly<{ host: string; port: number }>[]
  username: string | undefined
  password: string | undefined
  /** Number of the database; standalone and sentinel only. */
  database: number
  /** What sentinels call the master. */
  master: string
  sentinel: Readonly<{ username: string | undefined; password: string | undefined }>
  /** How long a request waits for a server that says nothing. Milliseconds. */
  patience: number
  /** The same for one that could be answered from the cache. Milliseconds. */
  cachePatience: number
  /** Files (PEM); undefined: no TLS. */
  tls: Readonly<{ ca?: string | undefined; cert?: string | undefined; key?: string | undefined; servername?: string | undefined }> | undefined
}>

const form = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/
/** Far more than a round trip within a zone, and little enough to be added to a request. Milliseconds. */
const PATIENCE = 25
/** Who waits for an answer that was kept could have one from a backend: with what a timer is late, five milliseconds at most. */
const CACHE_PATIENCE = 3
const knownParameters = ['patience', 'cache-patience', 'ca', 'cert', 'key', 'servername', 'sentinel-username', 'sentinel-password']

/** Reads a URL. @returns what is wrong with it, as a sentence without the credentials, where it is none */
export function parseRedisUrl(text: string): RedisUrl | string {
  const [, s, kind, credentials = '', list = '', path = '', query = ''] = form.exec(text) ?? []
  if (list === '') return 'must be redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// over TLS, redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST'
  const mode = kind === 'sentinel' || kind === 'cluster' ? kind : 'standalone'
  const hosts = list.split(',').map((each) => /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(each))
    .map((match) => ({ host: (match?.[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(match?.[2] ?? (mode === 'sentinel' ? 26_379 : 6379)) }))
  if (hosts.some(({ host, port }) => host === '' || port > 65_535)) return 'must name its hosts as HOST or HOST:PORT'
  if (mode === 'standalone' && hosts.length > 1) return 'names several hosts: say redis+cluster:// or redis+sentinel://'
  const [master = '', database = mode === 'sentinel' ? '' : master] = path.split('/')
  if (mode === 'sentinel' && master === '') return 'must name the master: redis+sentinel://HOST,HOST/MASTER'
  if (!/^\d{0,4}$/.test(database)) return 'must have the number of a database after the host'
  if (mode === 'cluster' && Number(database) > 0) return 'names a database, and Redis Cluster has only one'
  const parameters = new URLSearchParams(query)
  const unknown = [...parameters.keys()].find((name) => !knownParameters.includes(name))
  if (unknown !== undefined) return `has an unknown parameter; known are ${knownParameters.join(', ')}`
  const parameter = (name: string) => parameters.get(name) ?? undefined
  const times = [parameter('patience') ?? `${PATIENCE}ms`, parameter('cache-patience') ?? `${CACHE_PATIENCE}ms`].map((text) => Number(/^([1-9]\d{0,4})ms$/.exec(text)?.[1]))
  const [patience = Number.NaN, cachePatience = Number.NaN] = times
  if (times.some(Number.isNaN)) return 'must have a patience in whole milliseconds, such as 25ms'
  const colon = credentials.indexOf(':')
  try {
    return {
      mode, hosts, master,
      username: decodeURIComponent(colon < 0 ? '' : credentials.slice(0, colon)) || undefined,
      password: decodeURIComponent(credentials.slice(colon + 1)) || undefined,
      database: Number(database),
      patience, cachePatience,
      sentinel: { username: parameter('sentinel-username'), password: parameter('sentinel-password') },
      tls: s === 's' ? { ca: parameter('ca'), cert: parameter('cert'), key: parameter('key'), servername: parameter('servername') } : undefined,
    }
  } catch {
    return 'has credentials that are not percent-encoded'
  }
}
