import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { isRecord, keyOf, pathOf, type Api, type Kind, type RawObject } from '../../controller/kubernetes/api.ts'
import type { Clock } from '../../controller/kubernetes/clock.ts'
import { connect } from '../../controller/kubernetes/connect.ts'

export type Request = Readonly<{
  method: string
  path: string
  query: URLSearchParams
  body: Readonly<Record<string, unknown>>
  /** `look`: a list of one object, for the version alone. */
  what: 'list' | 'look' | 'watch' | 'get' | 'write'
}>

type Stored = { metadata: RawObject['metadata']; [field: string]: unknown }
type Event = Readonly<{ type: string; object: Stored; version: number }>
type Collection = { objects: Map<string, Stored>; events: Event[]; watches: Set<Watch> }
type Watch = Readonly<{ namespace: string | undefined; response: ServerResponse }>

/**
 * As much of an API server as a controller sees, over real sockets: lists in pages, watches with history, versions that
 * conflict, server-side apply of a status. `intercept` goes first, and answers true when it took the request.
 */
export class FakeServer {
  readonly requests: Request[] = []
  intercept: ((request: Request, response: ServerResponse) => boolean) | undefined
  /** Objects in a page at most, whatever the client asks for. */
  page = Infinity
  readonly #server: Server
  readonly #kinds = new Map<string, Collection>()
  #version = 100
  #uids = 0

  constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request, response)
    })
  }

  async listen(): Promise<this> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${port}`
  }

  connect(clock?: Clock): Api {
    const config = new KubeConfig()
    const cluster = { name: 'fake', server: this.url, skipTLSVerify: true }
    config.loadFromClusterAndUser(cluster, { name: 'me', token: 'secret' })
    return connect(config, clock)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  /** Cuts every connection, as a crash does. */
  cut(): void {
    this.#server.closeAllConnections()
  }

  install(...kinds: readonly Kind[]): void {
    for (const kind of kinds) this.#kinds.set(pathOf(kind), { objects: new Map(), events: [], watches: new Set() })
  }

  /** As when a CRD is deleted, without the events that a well-behaved server sends first. */
  uninstall(kind: Kind): void {
    for (const { response } of this.#of(kind).watches) response.end()
    this.#kinds.delete(pathOf(kind))
  }

  /** Creates or replaces; an object that is there keeps its uid. `quiet`: no watch hears of it. */
  put(kind: Kind, namespace: string, name: string, fields: Readonly<Record<string, unknown>> = {}, quiet = false): Stored {
    const { metadata, ...rest } = fields
    const before = this.#of(kind).objects.get(keyOf(namespace, name))
    const same = before !== undefined && JSON.stringify(before['spec']) === JSON.stringify(rest['spec'])
    const object: Stored = {
      metadata: {
        uid: before?.metadata.uid ?? `uid-${++this.#uids}`,
        resourceVersion: String(++this.#version),
        generation: before === undefined ? 1 : (before.metadata.generation ?? 0) + (same ? 0 : 1),
        creationTimestamp: before?.metadata.creationTimestamp ?? '2026-01-01T00:00:00Z',
        ...(isRecord(metadata) ? metadata : {}),
        name,
        namespace,
      },
      ...rest,
    }
    this.#of(kind).objects.set(keyOf(namespace, name), object)
    if (!quiet) this.#emit(kind, before === undefined ? 'ADDED' : 'MODIFIED', object)
    return object
  }

  remove(kind: Kind, namespace: string, name: string, quiet = false): void {
    const object = this.#of(kind).objects.get(keyOf(namespace, name))
    if (object === undefined) return
    this.#of(kind).objects.delete(keyOf(namespace, name))
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } }
    if (!quiet) this.#emit(kind, 'DELETED', last)
  }

  get(kind: Kind, namespace: string, name: string): Stored | undefined {
    return this.#of(kind).objects.get(keyOf(namespace, name))
  }

  all(kind: Kind): readonly Stored[] {
    return [...this.#of(kind).objects.values()]
  }

  /** As a restore of etcd does: its objects, versions and history are those of the moment of the copy again. */
  backup(): () => void {
    const version = this.#version
    const kept = [...this.#kinds.values()].map((kind) => ({ kind, objects: new Map(kind.objects), events: [...kind.events] }))
    return () => {
      this.#version = version
      for (const { kind, objects, events } of kept) Object.assign(kind, { objects, events })
    }
  }

  /** Writes to other kinds. */
  advance(to: number): void {
    this.#version = to
  }

  /** How many open watches the kind has. */
  watching(kind: Kind): number {
    return this.#of(kind).watches.size
  }

  /** Writes a line of the test's own to every open watch of the kind. */
  say(kind: Kind, line: string): void {
    for (const { response } of this.#of(kind).watches) response.write(`${line}\n`)
  }

  count(what: Request['what'], kind?: Kind): number {
    return this.requests.filter(request => request.what === what && (kind === undefined || request.path === pathOf(kind))).length
  }

  async #answer(raw: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of raw as AsyncIterable<Buffer>) chunks.push(chunk)
    const url = new URL(raw.url ?? '/', 'http://fake')
    const parsed: unknown = chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString())
    const path = /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(url.pathname)
    const [, root, namespace, plural, name] = path ?? []
    const method = raw.method ?? ''
    const several = url.searchParams.get('limit') === '1' ? 'look' : 'list'
    const read = url.searchParams.has('watch') ? 'watch' : name === undefined ? several : 'get'
    const request: Request = {
      method,
      path: url.pathname,
      query: url.searchParams,
      body: isRecord(parsed) ? parsed : {},
      what: method === 'GET' ? read : 'write',
    }
    this.requests.push(request)
    if (this.intercept?.(request, response)) return
    const collection = this.#kinds.get(`${root}/${plural}`)
    if (raw.headers.authorization !== 'Bearer secret') return status(response, 401, 'Unauthorized')
    if (collection === undefined) return status(response, 404, 'the server could not find the requested resource')
    if (request.what === 'watch') return this.#watch(collection, namespace, request, response)
    if (request.what === 'list' || request.what === 'look') return this.#list(collection, namespace, request, response)
    this.#object(collection, { group: root?.startsWith('/apis/') ? root.split('/')[2] ?? '' : '', version: root?.split('/').at(-1) ?? '', plural: plural ?? '' },
      namespace ?? '', name, request, response)
  }

  #list(collection: Collection, namespace: string | undefined, { query }: Request, response: ServerResponse): void {
    const items = [...collection.objects.values()].filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace)
    const from = Number(query.get('continue') ?? 0)
    const size = Math.min(this.page, Number(query.get('limit') ?? Infinity))
    const more = from + size < items.length
    const metadata = { resourceVersion: String(this.#version), ...(more ? { continue: String(from + size) } : {}) }
    json(response, 200, { metadata, items: items.slice(from, from + size) })
  }

  #watch(collection: Collection, namespace: string | undefined, { query }: Request, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    const watch = { namespace, response }
    for (const event of collection.events) if (event.version > Number(query.get('resourceVersion'))) send(watch, event)
    collection.watches.add(watch)
    response.on('close', () => collection.watches.delete(watch))
  }

  #object(
    collection: Collection,
    kind: Kind,
    namespace: string,
    name: string | undefined,
    { method, body }: Request,
    response: ServerResponse,
  ): void {
    const given: Readonly<Record<string, unknown>> = isRecord(body['metadata']) ? body['metadata'] : {}
    const target = name ?? String(given['name'])
    const before = collection.objects.get(keyOf(namespace, target))
    if (method === 'POST') {
      if (before !== undefined) return status(response, 409, 'already exists')
      return json(response, 201, this.put(kind, namespace, target, body))
    }
    if (before === undefined) return status(response, 404, 'not found')
    if (method === 'GET') return json(response, 200, before)
    if (given['uid'] !== undefined && given['uid'] !== before.metadata.uid) return status(response, 409, 'uid mismatch')
    if (method === 'DELETE') {
      this.remove(kind, namespace, target)
      return json(response, 200, { kind: 'Status' })
    }
    const stale = given['resourceVersion'] !== undefined && given['resourceVersion'] !== before.metadata.resourceVersion
    if (stale) return status(response, 409, 'the object has been modified')
    const next = { ...before, ...body, metadata: { ...before.metadata, ...given } }
    if (JSON.stringify({ ...next, metadata: before.metadata }) === JSON.stringify(before)) return json(response, 200, before)
    const { resourceVersion: _version, ...metadata } = next.metadata
    json(response, 200, this.put(kind, namespace, target, { ...next, metadata: { ...metadata, resourceVersion: String(this.#version + 1) } }))
  }

  #of(kind: Kind): Collection {
    const collection = this.#kinds.get(pathOf(kind))
    if (collection === undefined) throw new Error(`${kind.plural} is not installed`)
    return collection
  }

  #emit(kind: Kind, type: string, object: Stored): void {
    const event = { type, object, version: this.#version }
    this.#of(kind).events.push(event)
    for (const watch of this.#of(kind).watches) send(watch, event)
  }
}

function send({ namespace, response }: Watch, { type, object }: Event): void {
  if (namespace === undefined || namespace === object.metadata.namespace) response.write(`${JSON.stringify({ type, object })}\n`)
}

/** An answer as the API server words its own. */
export function status(response: ServerResponse, code: number, message: string, more: object = {}): void {
  json(response, code, { kind: 'Status', status: 'Failure', code, message, ...more })
}

export function json(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
