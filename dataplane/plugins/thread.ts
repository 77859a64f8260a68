import { parentPort, workerData } from 'node:worker_threads'
import * as v from 'valibot'
import type { FromThread, HeaderChanges, Instance, Requested, ToThread, View } from './messages.ts'
import type { PluginExchange, PluginResponse } from './plugin.ts'

/** The thread of one plugin: loads the module, and runs what it exports for one request after another. */

type Filter = (exchange: PluginExchange) => unknown
type Listener = Parameters<PluginExchange['onResponse']>[0]

const instances = new Map<string, Readonly<{ instance: Instance; filter: Filter | undefined }>>()
const exchanges = new Map<number, ThreadExchange>()
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
const say = (message: FromThread): void => parentPort?.postMessage(message)

class ThreadExchange implements PluginExchange {
  readonly #id: number
  readonly #before: Headers
  #body: Promise<Buffer> | undefined
  #arrived: ((bytes: Uint8Array | undefined) => void) | undefined
  readonly #left = new AbortController()
  #timer: NodeJS.Timeout | undefined
  readonly requestId: string
  readonly method: string
  readonly host: string
  readonly path: string
  readonly query: string
  readonly clientAddress: string
  readonly principal: View['principal']
  readonly model: string | undefined
  readonly variants: readonly string[]
  readonly headers: Headers
  body: Uint8Array | undefined
  variant: string | undefined
  listener: Listener | undefined
  watches: Requested['watches'] = 'nothing'

  constructor(id: number, view: View) {
    this.#id = id
    this.requestId = view.requestId
    this.method = view.method
    this.host = view.host
    this.path = view.path
    this.query = view.query
    this.clientAddress = view.clientAddress
    this.principal = view.principal
    this.model = view.model
    this.variants = view.variants
    this.headers = headersOf(view.headers)
    this.#before = headersOf(view.headers)
  }

  get signal(): AbortSignal {
    return this.#left.signal
  }

  /** From now on it has so many milliseconds. */
  clock(timeout: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#left.abort(new Error('the time of the plugin is up')), timeout)
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#left.abort(new Error('the request is over'))
    this.#arrived?.(undefined)
  }

  readBody(): Promise<Buffer> {
    return (this.#body ??= new Promise((resolve, reject) => {
      this.#arrived = (bytes) => {
        if (bytes === undefined) reject(new Error('the body of the request cannot be had'))
        else resolve(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      }
      say({ type: 'read', id: this.#id })
    }))
  }

  arrived(bytes: Uint8Array | undefined): void {
    this.#arrived?.(bytes)
  }

  setBody(body: string | Uint8Array): void {
    this.body = bytesOf(body)
  }

  chooseVariant(name: string): void {
    if (!this.variants.includes(name)) throw new Error(`${name} is no variant of the rule; there are ${this.variants.join(', ')}`)
    this.variant = name
  }

  onResponse(listener: Listener, options?: Readonly<{ body: boolean }>): void {
    this.listener = listener
    this.watches = options?.body === true ? 'body' : 'head'
  }

  changes(): HeaderChanges {
    return changesOf(this.#before, this.headers)
  }
}

function headersOf(flat: readonly string[]): Headers {
  const headers = new Headers()
  for (let i = 0; i + 1 < flat.length; i += 2) headers.append(flat[i] ?? '', flat[i + 1] ?? '')
  return headers
}

function changesOf(before: Headers, after: Headers): HeaderChanges {
  const changes: [string, string[]][] = []
  for (const name of before.keys()) if (!after.has(name)) changes.push([name, []])
  for (const [name, value] of after) {
    if (name === 'set-cookie') continue
    if (before.get(name) !== value) changes.push([name, [value]])
  }
  const cookies = after.getSetCookie()
  if (cookies.join('\n') !== before.getSetCookie().join('\n')) changes.push(['set-cookie', cookies])
  return changes
}

const bytesOf = (body: string | Uint8Array): Uint8Array => typeof body === 'string' ? Buffer.from(body) : body

/** An error of whoever wrote the plugin, with its place, for the log. */
const told = (error: unknown): string => error instanceof Error ? error.stack ?? error.message : String(error)

async function request(id: number, key: string, view: View, timeout: number): Promise<void> {
  const entry = instances.get(key)
  if (entry === undefined) throw new Error('it was not built for this rule')
  const filter = entry.filter ?? build(entry.instance)
  const exchange = new ThreadExchange(id, view)
  exchanges.set(id, exchange)
  exchange.clock(timeout)
  const outcome: unknown = await filter(exchange)
  const { body, variant, watches } = exchange
  say({ type: 'requested', id, result: { outcome, headers: exchange.changes(), body, variant, watches } })
}

function build(instance: Instance): Filter {
  const { key, route, rule, config } = instance
  const filter = v.safeParse(v.function('build() returned no function'), make?.({ route, rule, config }))
  if (!filter.success) throw new Error(filter.issues[0].message)
  instances.set(key, { instance, filter: filter.output })
  return filter.output
}

async function respond({ id, status, headers, body, timeout }: Extract<ToThread, { type: 'response' }>): Promise<void> {
  const exchange = exchanges.get(id)
  if (exchange?.listener === undefined) throw new Error('it waits for no answer')
  exchange.clock(timeout)
  const before = headersOf(headers)
  let replaced: Uint8Array | undefined
  const response: PluginResponse = {
    status,
    headers: headersOf(headers),
    body: body && Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    setBody(next) {
      if (body === undefined) throw new Error('the body is not there to be replaced: onResponse(listener, { body: true })')
      replaced = bytesOf(next)
    },
  }
  await exchange.listener(response)
  say({ type: 'responded', id, result: { headers: changesOf(before, response.headers), body: replaced } })
}

function hear(message: ToThread): void {
  const fail = (id: number) => (error: unknown): void => say({ type: 'failed', id, why: told(error) })
  if (message.type === 'build') instances.set(message.instance.key, { instance: message.instance, filter: undefined })
  else if (message.type === 'drop') instances.delete(message.key)
  else if (message.type === 'request') void request(message.id, message.key, message.view, message.timeout).catch(fail(message.id))
  else if (message.type === 'body') exchanges.get(message.id)?.arrived(message.bytes)
  else if (message.type === 'response') void respond(message).catch(fail(message.id))
  else if (message.type === 'ping') say({ type: 'pong', id: message.id })
  else {
    exchanges.get(message.id)?.end()
    exchanges.delete(message.id)
  }
}

/** What a module must export. A number or a text in it that cannot be is told as such. */
const Exported = v.object({
  name: v.pipe(v.string(), v.regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be at most 63 characters of a-z, 0-9 and -')),
  schema: v.record(v.string(), v.unknown()),
  timeout: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(30_000)), 1000),
  onError: v.optional(v.picklist(['Fail', 'Skip']), 'Fail'),
  build: v.function(),
})

let make: ((...config: unknown[]) => unknown) | undefined

async function load(url: string): Promise<void> {
  const module: unknown = await import(url)
  const read = v.safeParse(v.object({ default: Exported }), module)
  if (!read.success) {
    say({ type: 'unusable', why: read.issues.map(({ message, path }) => `${(path ?? []).map(({ key }) => String(key)).join('.')}: ${message}`).join('; ') })
    return
  }
  const { name, schema, timeout, onError, build: given } = read.output.default
  make = given
  say({ type: 'loaded', name, schema, timeout, onError })
}

parentPort?.on('message', hear)
load(v.parse(v.object({ url: v.string() }), workerData).url).catch((error: unknown) => say({ type: 'unusable', why: told(error) }))
