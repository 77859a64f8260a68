/** Who called, as far as a record says: `untold` where it says nothing of callers, `unasked` where nobody asked. */
export type RecordedCaller =
  | 'untold' | 'unasked'
  | Readonly<{ via: 'apiKey' | 'jwt' | 'introspection' | 'anonymous'; consumer: string; groups: readonly string[]; tier: string | undefined; credential: string | undefined }>

/** One request as it was recorded, and what was decided then. Times are milliseconds since the epoch. */
export type Recorded = Readonly<{
  id: string
  /** Of its arrival, and of its end. */
  at: number
  until: number
  method: string
  host: string
  path: string
  /** Of headers and query parameters that were kept; null: it had none. Of others nothing is known. */
  headers: ReadonlyMap<string, string | null>
  parameters: ReadonlyMap<string, string | null>
  client: string | undefined
  caller: RecordedCaller
  /** What it named, as far as somebody asked. */
  model: string | undefined
  modelVersion: string | undefined
  bucket: number | undefined
  route: string | undefined
  rule: string | undefined
  variant: string | undefined
  /** Another variant stood in for the one that was chosen. */
  fellBack: boolean
  code: string | undefined
  /** Why the caller was refused. */
  cause: string | undefined
}>

/** A line of a record: a request, nothing about a request, or what is wrong with it. */
export type Line = Readonly<{ request: Recorded; from: 'audit' | 'access' }> | 'other' | Readonly<{ fault: string }>

/**
 * Reads one line of the audit log or of the access log. Other lines of the log say nothing of a request; nor do those of
 * the usage ledger and of the prediction log say enough of one, since they have no path.
 */
export function readLine(text: string): Line {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { fault: 'is not JSON' }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { fault: 'is not an object' }
  const members = new Map<string, unknown>(Object.entries(value))
  const from = members.get('msg') === 'audit' ? 'audit' : members.get('msg') === 'request' ? 'access' : undefined
  if (from === undefined || members.has('dropped')) return 'other'
  const until = Date.parse(textOf(members, 'time') ?? '')
  if (Number.isNaN(until)) return { fault: 'has no time' }
  const [method, path] = [textOf(members, 'method'), textOf(members, 'path')]
  if (method === undefined || path === undefined) return { fault: 'has no method, or no path' }
  // A request that could not be read has neither.
  if (!path.startsWith('/') || method === '') return 'other'
  const took = members.get(from === 'audit' ? 'latency_ms' : 'duration_ms')
  return {
    from,
    request: {
      id: textOf(members, 'request_id') ?? '',
      at: until - (typeof took === 'number' && took > 0 ? took : 0), until, method, path,
      host: textOf(members, 'host') ?? '',
      headers: valuesOf(members.get('headers')), parameters: valuesOf(members.get('query')),
      client: textOf(members, 'client'),
      caller: from === 'access' ? 'untold' : callerOf(members),
      model: textOf(members, 'model'), modelVersion: textOf(members, 'model_version'),
      bucket: bucketOf(members.get('bucket')),
      route: textOf(members, 'route'), rule: textOf(members, 'rule'), variant: textOf(members, 'variant'),
      fellBack: members.has('fallback') && members.get('fallback') !== 'static',
      code: textOf(members, 'code'), cause: textOf(members, 'cause'),
    },
  }
}

function textOf(members: ReadonlyMap<string, unknown>, name: string): string | undefined {
  const value = members.get(name)
  return typeof value === 'string' ? value : undefined
}

const bucketOf = (value: unknown) => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32 ? value : undefined

function valuesOf(value: unknown): ReadonlyMap<string, string | null> {
  const found = new Map<string, string | null>()
  if (typeof value !== 'object' || value === null) return found
  for (const [name, one] of Object.entries<unknown>({ ...value })) if (typeof one === 'string' || one === null) found.set(name.toLowerCase(), one)
  return found
}

const ways = ['apiKey', 'jwt', 'introspection', 'anonymous'] as const

function callerOf(members: ReadonlyMap<string, unknown>): RecordedCaller {
  const via = ways.find((way) => way === members.get('via'))
  if (via === undefined) return 'unasked'
  const groups = members.get('groups')
  return {
    via, consumer: textOf(members, 'consumer') ?? '', tier: textOf(members, 'tier'), credential: textOf(members, 'credential'),
    groups: Array.isArray(groups) ? groups.filter((group) => typeof group === 'string') : [],
  }
}
