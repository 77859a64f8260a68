import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { failure } from '../pipeline/errors.ts'
import { asBuffer, resultWith, taskWith, type Result, type Task } from './tasks.ts'

/** One core is left to those who answer requests. */
const threadsMax = Math.max(1, Math.min(4, availableParallelism() - 1))
/** Of all that waits or is worked on. */
const bytesMax = 536_870_912
/** A thread that nobody needs ends after this. Milliseconds. */
const idleMax = 30_000

type Job = Readonly<{ task: Task; bytes: number; done(result: Result): void }>
type Thread = { worker: Worker; job: Job | undefined; timer: NodeJS.Timeout | undefined }

const threads: Thread[] = []
const queue: Job[] = []
let bytesHeld = 0

const busy = failure('overloaded', 'The gateway has more to translate than it can at present.')
const broken = failure('overloaded', 'The translation was broken off.')

/** Has a task done in another thread, which gets its bytes for good. Never rejects. @param bytes how many those are, about */
export function inThread(task: Task, bytes: number): Promise<Result> {
  if (bytesHeld + bytes > bytesMax) return Promise.resolve(busy)
  bytesHeld += bytes
  return new Promise((resolve) => {
    queue.push({ task, bytes, done: resolve })
    serve()
  })
}

function serve(): void {
  while (queue.length > 0) {
    const thread = threads.find(({ job }) => job === undefined) ?? (threads.length < threadsMax ? start() : undefined)
    const job = thread && queue.shift()
    if (thread === undefined || job === undefined) return
    give(thread, job)
  }
}

function give(thread: Thread, job: Job): void {
  clearTimeout(thread.timer)
  thread.job = job
  const moved = new Set<ArrayBuffer>()
  taskWith(job.task, (bytes) => {
    if (bytes.buffer instanceof ArrayBuffer) moved.add(bytes.buffer)
    return bytes
  })
  thread.worker.postMessage(job.task, [...moved])
}

function start(): Thread {
  // The compiled package has it as JavaScript. What it parses at once is bounded, so it needs little.
  const worker = new Worker(new URL(`./worker${extname(import.meta.filename)}`, import.meta.url), { resourceLimits: { maxOldGenerationSizeMb: 256 } })
  const thread: Thread = { worker, job: undefined, timer: undefined }
  threads.push(thread)
  // It keeps no process alive.
  worker.unref()
  worker.on('message', (result: Result) => finish(thread, resultWith(result, asBuffer)))
  worker.on('error', () => {})
  worker.on('exit', () => {
    const at = threads.indexOf(thread)
    if (at !== -1) threads.splice(at, 1)
    clearTimeout(thread.timer)
    if (thread.job !== undefined) finish(thread, broken)
    serve()
  })
  return thread
}

function finish(thread: Thread, result: Result): void {
  const { job } = thread
  if (job === undefined) return
  thread.job = undefined
  bytesHeld -= job.bytes
  job.done(result)
  serve()
  // What has been talked to is waited for again.
  thread.worker.unref()
  thread.timer = setTimeout(() => {
    if (thread.job === undefined) void thread.worker.terminate()
  }, idleMax).unref()
}
