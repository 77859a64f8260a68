import { Worker } from 'node:worker_threads'
import { pathToFileURL } from 'node:url'
import type { FromThread, Instance, Requested, Responded, ToThread, View } from './messages.ts'

/** Why a plugin did not do its part. `reason` is for the metric, `why` for the log. */
export type Fault = Readonly<{ reason: 'error' | 'timeout' | 'gone' | 'busy'; why: string }>

/** What a module says of itself. */
export type Declared = Omit<Extract<FromThread, { type: 'loaded' }>, 'type'>

export type ThreadOptions = Readonly<{
  file: string
  /** A line that it wrote. */
  says(line: string): void
  /** It ended by itself, or was ended because it answered no more. */
  ended(why: string): void
}>

type Pending = {
  settle: (result: Requested | Responded | Fault) => void
  /** Gives the body of the request; undefined: it cannot be had. */
  read: (() => Promise<Uint8Array | undefined>) | undefined
  timer: NodeJS.Timeout
}

/** Milliseconds for a module to be loaded, and for a thread that is late to say that it lives. */
export const loadMax = 10_000
const pongMax = 500
const inFlightMax = 1024
/** Megabytes. */
const heapMax = 256
const lineMax = 1000

/**
 * A plugin at work, in a thread of its own: what it does wrong, also that it never comes to an end, costs its own
 * requests and no others.
 */
export class PluginThread {
  readonly #worker: Worker
  readonly #ended: ThreadOptions['ended']
  readonly #pending = new Map<number, Pending>()
  #declared: Declared | undefined
  #load: ((outcome: Declared | string) => void) | undefined
  #ids = 0
  /** Requests that it began and that are not over. */
  readonly #open = new Set<number>()
  #pong: NodeJS.Timeout | undefined
  #over = false

  private constructor({ file, says, ended }: ThreadOptions) {
    this.#ended = ended
    // Of the package, what runs is JavaScript.
    const entry = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url)
    // The gateway's own settings hold passwords.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MODELROUTE_')))
    this.#worker = new Worker(entry, {
      workerData: { url: pathToFileURL(file).href }, env, execArgv: [], stdout: true, stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: heapMax },
    })
    // Nobody waits for its thread to end the process.
    this.#worker.unref()
    this.#worker.on('message', (message: FromThread) => this.#hear(message))
    this.#worker.on('error', (error) => this.#end(error instanceof Error ? error.message : String(error)))
    this.#worker.on('exit', () => this.#end('its thread ended'))
    for (const stream of [this.#worker.stdout, this.#worker.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        for (const line of text.split('\n')) if (line !== '') says(line.slice(0, lineMax))
      })
    }
  }

  /** Loads the module; a text says why it is no plugin. @param within milliseconds; undefined: it was not loaded by then */
  static async open(options: ThreadOptions, within: number): Promise<PluginThread | string | undefined> {
    let loading = true
    const thread = new PluginThread({ ...options, ended: (why) => { if (!loading) options.ended(why) } })
    const outcome = await new Promise<Declared | string | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), within)
      thread.#load = (loaded) => {
        clearTimeout(timer)
        resolve(loaded)
      }
    })
    loading = false
    if (outcome === undefined || typeof outcome === 'string') {
      await thread.close()
      return outcome
    }
    thread.#declared = outcome
    return thread
  }

  get declared(): Declared {
    if (this.#declared === undefined) throw new Error('the plugin is not loaded')
    return this.#declared
  }

  build(instance: Instance): void {
    this.#send({ type: 'build', instance })
  }

  drop(key: string): void {
    this.#send({ type: 'drop', key })
  }

  /** @returns what it makes of a request, and the number by which it knows that */
  async request(key: string, view: View, read: NonNullable<Pending['read']>): Promise<Readonly<{ id: number; result: Requested | Fault }>> {
    const id = this.#ids++
    const { timeout } = this.declared
    this.#open.add(id)
    const result = await this.#ask(id, { type: 'request', id, key, view, timeout }, read)
    return { id, result: 'why' in result || 'watches' in result ? result : confused }
  }

  async respond(id: number, status: number, headers: readonly string[], body: Uint8Array | undefined): Promise<Responded | Fault> {
    const result = await this.#ask(id, { type: 'response', id, status, headers, body, timeout: this.declared.timeout })
    return 'watches' in result ? confused : result
  }

  /** The request is over: to be said once for each. */
  end(id: number): void {
    this.#open.delete(id)
    this.#send({ type: 'end', id })
  }

  async close(): Promise<void> {
    this.#over = true
    clearTimeout(this.#pong)
    for (const { settle } of this.#pending.values()) settle({ reason: 'gone', why: 'the plugin was replaced' })
    await this.#worker.terminate()
  }

  /** Requests that it has, and answers that it waits for. */
  get inFlight(): number {
    return this.#open.size
  }

  #ask(id: number, message: ToThread, read?: Pending['read']): Promise<Requested | Responded | Fault> {
    if (this.#over) return Promise.resolve({ reason: 'gone', why: 'its thread has ended' })
    if (this.#pending.size >= inFlightMax) return Promise.resolve({ reason: 'busy', why: `it has ${inFlightMax} requests already` })
    return new Promise((resolve) => {
      this.#pending.set(id, {
        read,
        timer: this.#clock(id),
        settle: (result) => {
          clearTimeout(this.#pending.get(id)?.timer)
          this.#pending.delete(id)
          resolve(result)
        },
      })
      this.#send(message)
    })
  }

  #clock(id: number): NodeJS.Timeout {
    return setTimeout(() => this.#late(id), this.declared.timeout)
  }

  #late(id: number): void {
    const { timeout } = this.declared
    this.#pending.get(id)?.settle({ reason: 'timeout', why: `it took more than ${timeout} ms` })
    this.#pong ??= setTimeout(() => this.#end(`it does not come to an end: nothing was heard of it for ${timeout + pongMax} ms`), pongMax)
    this.#send({ type: 'ping', id })
  }

  #hear(message: FromThread): void {
    if (message.type === 'loaded') this.#load?.(message)
    else if (message.type === 'unusable') this.#load?.(message.why)
    else if (message.type === 'pong') {
      clearTimeout(this.#pong)
      this.#pong = undefined
    } else if (message.type === 'read') this.#read(message.id)
    else {
      this.#pending.get(message.id)?.settle(message.type === 'failed' ? { reason: 'error', why: message.why } : message.result)
    }
  }

  /** While a caller sends the body, its time stands still. */
  #read(id: number): void {
    const pending = this.#pending.get(id)
    if (pending?.read === undefined) {
      this.#send({ type: 'body', id, bytes: undefined })
      return
    }
    clearTimeout(pending.timer)
    void pending.read().then((bytes) => {
      if (this.#pending.get(id) !== pending) return
      pending.timer = this.#clock(id)
      this.#send({ type: 'body', id, bytes })
    })
  }

  #send(message: ToThread): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    if (!this.#over) this.#worker.postMessage(message)
  }

  #end(why: string): void {
    this.#load?.(why)
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#pong)
    for (const { settle } of this.#pending.values()) settle({ reason: 'gone', why })
    void this.#worker.terminate()
    this.#ended(why)
  }
}

const confused: Fault = { reason: 'error', why: 'its thread gave the answer to another question' }
