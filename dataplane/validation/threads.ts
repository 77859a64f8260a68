import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { inSlices, type Sliced } from '../sliced.ts'
import type { By } from './check.ts'
import type { FromThread, ToThread } from './messages.ts'
import type { Verdict } from './verdict.ts'

/** One core is left to those who answer requests. */
const threadsMax = Math.max(1, Math.min(4, availableParallelism() - 1))
/** Of all bodies that wait or are checked; and of one tenant's. */
const bytesMax = 536_870_912
/** Schemas that a thread keeps. */
const schemasMax = 256
/** Milliseconds: a thread that nobody needs ends after the first, one that does not come back after the second. */
const idleMax = 30_000
const hungMax = 20_000
/** Copied in one go. */
const pieceLength = 262_144

/** A check that is to be done. `schema`: where it is by one. */
export type Asked = Readonly<{ tenant: string; by: By; schema?: string; json: Buffer }>

type Job = Readonly<{ asked: Asked; done(verdict: Verdict): void }>
type Thread = { readonly worker: Worker; readonly known: Set<string>; job: Job | undefined; timer: NodeJS.Timeout | undefined }

/** Threads that check bodies. Tenants take turns: one who has much to check does not keep the others waiting. */
export class CheckThreads {
  readonly #threads: Thread[] = []
  /** By tenant, in the order in which it is their turn. */
  readonly #queues = new Map<string, Job[]>()
  readonly #held = new Map<string, number>()
  #bytes = 0
  #closed = false

  /** Never rejects. The bytes must stay as they are meanwhile. */
  check(asked: Asked): Promise<Verdict> {
    const { tenant, json } = asked
    const held = this.#held.get(tenant) ?? 0
    if (this.#closed || this.#bytes + json.length > bytesMax || (held > 0 && held + json.length > bytesMax / 2)) return Promise.resolve('busy')
    this.#bytes += json.length
    this.#held.set(tenant, held + json.length)
    return new Promise((resolve) => {
      const queue = this.#queues.get(tenant) ?? []
      queue.push({
        asked,
        done: (verdict) => {
          this.#bytes -= json.length
          const left = (this.#held.get(tenant) ?? 0) - json.length
          if (left > 0) this.#held.set(tenant, left)
          else this.#held.delete(tenant)
          resolve(verdict)
        },
      })
      this.#queues.set(tenant, queue)
      this.#serve()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
    for (const queue of this.#queues.values()) for (const { done } of queue) done('busy')
    this.#queues.clear()
  }

  #serve(): void {
    while (this.#queues.size > 0 && !this.#closed) {
      const thread = this.#threads.find(({ job }) => job === undefined) ?? (this.#threads.length < threadsMax ? this.#start() : undefined)
      if (thread === undefined) return
      for (const [tenant, queue] of this.#queues) {
        const job = queue.shift()
        this.#queues.delete(tenant)
        if (queue.length > 0) this.#queues.set(tenant, queue)
        if (job !== undefined) this.#give(thread, job)
        break
      }
    }
  }

  #give(thread: Thread, job: Job): void {
    clearTimeout(thread.timer)
    thread.job = job
    const { by, schema, json } = job.asked
    const say = (message: ToThread, moved: readonly ArrayBuffer[] = []) => thread.worker.postMessage(message, [...moved])
    if (by.by === 'schema' && schema !== undefined && !thread.known.has(by.key)) {
      if (thread.known.size >= schemasMax) {
        thread.known.clear()
        say({ type: 'forget' })
      }
      thread.known.add(by.key)
      say({ type: 'learn', key: by.key, schema })
    }
    void inSlices(copied(json), () => {}).then((pieces) => {
      if (thread.job !== job) return
      say({ type: 'check', by, pieces }, pieces.map(({ buffer }) => buffer))
      // What it is given is bounded: this is for what nobody thought of.
      thread.timer = setTimeout(() => void thread.worker.terminate(), hungMax).unref()
    })
  }

  #start(): Thread {
    // The compiled package has it as JavaScript.
    const worker = new Worker(new URL(`./thread${extname(import.meta.filename)}`, import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: 1024 } })
    const thread: Thread = { worker, known: new Set(), job: undefined, timer: undefined }
    this.#threads.push(thread)
    worker.on('message', (verdict: FromThread) => {
      this.#finish(thread, verdict)
      thread.timer = setTimeout(() => void worker.terminate(), idleMax).unref()
      this.#serve()
    })
    worker.on('error', () => {})
    worker.on('exit', () => {
      this.#threads.splice(this.#threads.indexOf(thread), 1)
      // It took more memory than there is for a check, or did not come back.
      this.#finish(thread, 'costly')
      this.#serve()
    })
    // It keeps no process alive.
    worker.unref()
    return thread
  }

  #finish(thread: Thread, verdict: Verdict): void {
    clearTimeout(thread.timer)
    const { job } = thread
    thread.job = undefined
    job?.done(verdict)
  }
}

function* copied(json: Buffer): Sliced<Uint8Array<ArrayBuffer>[]> {
  const pieces: Uint8Array<ArrayBuffer>[] = []
  for (let at = 0; at < json.length; at += pieceLength) {
    pieces.push(new Uint8Array(json.subarray(at, at + pieceLength)))
    yield
  }
  return pieces
}
