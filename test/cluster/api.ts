// A very small Kubernetes API client for tests: JSON in, JSON out, and a watch that never gives up. It shares no code
// with the client under test, so that a bug there cannot hide itself here.
import { Agent, request } from 'node:https'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { pause } from './wait.ts'

/** What every Kubernetes object has; tests read the rest untyped, as the API server wrote it. */
export type KubeObject = {
  apiVersion?: string
  kind?: string
  metadata: {
    name: string
    namespace?: string
    uid?: string
    resourceVersion?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    deletionTimestamp?: string
    deletionGracePeriodSeconds?: number
    [field: string]: unknown
  }
  // oxlint-disable-next-line typescript/no-explicit-any
  [field: string]: any
}

/** An answer of the API server outside 2xx: its `Status` message, and the code. */
export class ApiError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export type Access = Readonly<{ url: string, ca: string, token: string }>

const patchTypes = {
  strategic: 'application/strategic-merge-patch+json',
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const

export class Api {
  #access: Access
  #agent: Agent

  constructor(access: Access) {
    this.#access = access
    this.#agent = new Agent({ ca: access.ca, keepAlive: true })
  }

  /** A second client on the same server with another bearer token. */
  as(token: string): Api {
    return new Api({ ...this.#access, token })
  }

  /** `path` is everything after the host, such as `/api/v1/namespaces/default/pods?labelSelector=a%3Db`. */
  async request<T = KubeObject>(method: string, path: string, body?: unknown, type = 'application/json'): Promise<T> {
    const { response } = await this.#send(method, path, body, type)
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const status = response.statusCode ?? 0
    if (status < 200 || status > 299) {
      let message = text
      try {
        message = (JSON.parse(text) as { message?: string }).message ?? text
      } catch {
        // Not a Status object: the plain text is the message.
      }
      throw new ApiError(status, `${method} ${path}: ${status} ${message}`)
    }
    return (response.headers['content-type']?.startsWith('application/json') ? JSON.parse(text) : text) as T
  }

  get<T = KubeObject>(path: string): Promise<T> {
    return this.request<T>('GET', path)
  }

  /** The object, or undefined where the server answers 404. */
  async find<T = KubeObject>(path: string): Promise<T | undefined> {
    try {
      return await this.get<T>(path)
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return undefined
      throw error
    }
  }

  async list<T = KubeObject>(path: string): Promise<T[]> {
    return (await this.get<{ items: T[] }>(path)).items
  }

  create<T = KubeObject>(path: string, object: unknown): Promise<T> {
    return this.request<T>('POST', path, object)
  }

  patch<T = KubeObject>(path: string, patch: unknown, type: keyof typeof patchTypes = 'merge'): Promise<T> {
    return this.request<T>('PATCH', path, patch, patchTypes[type])
  }

  async delete(path: string, options?: unknown): Promise<void> {
    await this.request('DELETE', path, options)
  }

  /**
   * Lists, then follows changes until `signal` aborts. `changed` gets each object as it is, or as it last was when
   * it is gone. After any failure it lists again, and what vanished meanwhile is reported as gone.
   */
  async follow(
    path: string,
    changed: (object: KubeObject, gone: boolean) => void,
    signal: AbortSignal,
    onSync?: () => void,
  ): Promise<void> {
    const known = new Map<string, KubeObject>()
    const key = ({ metadata }: KubeObject) => `${metadata.namespace ?? ''}/${metadata.name}/${metadata.uid}`
    const see = (object: KubeObject, gone: boolean) => {
      if (gone) known.delete(key(object))
      else known.set(key(object), object)
      changed(object, gone)
    }
    while (!signal.aborted) {
      try {
        const list = await this.get<{ items: KubeObject[], metadata: { resourceVersion: string } }>(path)
        const now = new Set(list.items.map(key))
        for (const [old, object] of known) if (!now.has(old)) see(object, true)
        for (const object of list.items) {
          if (known.get(key(object))?.metadata.resourceVersion !== object.metadata.resourceVersion) see(object, false)
        }
        onSync?.()
        await this.#watch(path, list.metadata.resourceVersion, see, signal)
      } catch {
        // The server is away or the version is too old: look again from the beginning.
      }
      if (!signal.aborted) await pause(100)
    }
  }

  async #watch(
    path: string,
    version: string,
    see: (object: KubeObject, gone: boolean) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const query = `${path.includes('?') ? '&' : '?'}watch=1&resourceVersion=${version}&allowWatchBookmarks=true`
    const { response, sent } = await this.#send('GET', path + query)
    const stop = () => sent.destroy()
    signal.addEventListener('abort', stop)
    try {
      if (response.statusCode !== 200) return
      let rest = ''
      for await (const chunk of response.setEncoding('utf8')) {
        const lines = (rest + (chunk as string)).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          const event = JSON.parse(line) as { type: string, object: KubeObject }
          if (event.type === 'ERROR') return
          if (event.type !== 'BOOKMARK') see(event.object, event.type === 'DELETED')
        }
      }
    } finally {
      signal.removeEventListener('abort', stop)
      sent.destroy()
    }
  }

  #send(
    method: string,
    path: string,
    body?: unknown,
    type = 'application/json',
  ): Promise<{ response: IncomingMessage, sent: ClientRequest }> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const sent = request(new URL(path, this.#access.url), {
        method,
        agent: this.#agent,
        headers: {
          authorization: `Bearer ${this.#access.token}`,
          accept: 'application/json',
          ...(text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) }),
        },
      }, (response) => resolve({ response, sent }))
      sent.once('error', reject)
      sent.end(text)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
