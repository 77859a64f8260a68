/** The Kubernetes API as the rest of the controller sees it: paths in, JSON out. `connect.ts` is the real one. */
export interface Api {
  /** The namespace that the credentials live in: the pod's own, or the kubeconfig context's. */
  readonly namespace: string
  /** Never throws for what the network or the server does: see `Answer`. */
  call(call: Call): Promise<Answer>
  /** Resolves when the stream ends: status 200 after a clean end, 0 after a broken one, the server's own otherwise. */
  stream(call: Call, onData: (chunk: Buffer) => void): Promise<Answer>
  close(): void
}

export type Call = Readonly<{
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  query?: Readonly<Record<string, string | number | boolean>>
  body?: unknown
  contentType?: string
  signal?: AbortSignal
  /** Milliseconds until the whole answer must be there (a stream: its headers). Default 30 s. */
  deadline?: number
}>

export type Answer = Readonly<{
  /** 0: there was no (whole) answer, and `message` says why. */
  status: number
  body: unknown
  /** The server's own words, or the network's. */
  message: string
  /** The answer was cut because it was larger than we hold in memory. */
  tooLarge?: true
}>

/** A kind, by the group, version and plural name of its REST path. */
export type Kind = Readonly<{ group: string; version: string; plural: string }>

/** What every object of the API has. Anything else in it is checked where it is read. */
export type RawObject = Readonly<{
  apiVersion?: string
  kind?: string
  metadata: Readonly<{
    name: string
    namespace?: string
    uid: string
    resourceVersion: string
    generation?: number
    creationTimestamp?: string
    labels?: Readonly<Record<string, string>>
    annotations?: Readonly<Record<string, string>>
    ownerReferences?: readonly Readonly<{ kind: string; name: string; uid: string }>[]
  }>
  [field: string]: unknown
}>

/** `namespace/name`: how objects are called in every map of ours. */
export const keyOf = (namespace: string, name: string) => `${namespace}/${name}`

/** `/apis/apps/v1/namespaces/ml/controllerrevisions/x`, every part escaped. */
export function pathOf(kind: Kind, namespace?: string, name?: string, subresource?: string): string {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`
  const parts = [
    ...(namespace === undefined ? [] : ['namespaces', namespace]),
    kind.plural,
    ...(name === undefined ? [] : [name]),
    ...(subresource === undefined ? [] : [subresource]),
  ]
  return `${root}/${parts.map(encodeURIComponent).join('/')}`
}

/** Whether a value is an object of the API at all; the server is trusted to be well-meaning, not to be well. */
export function isObject(value: unknown): value is RawObject {
  if (!isRecord(value) || !isRecord(value['metadata'])) return false
  const { name, uid, resourceVersion } = value['metadata']
  return typeof name === 'string' && typeof uid === 'string' && typeof resourceVersion === 'string'
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
