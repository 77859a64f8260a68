import cluster, { type Worker } from 'node:cluster'
import type { DrainOptions } from '../drain.ts'
import type { RotateKey } from '../portal/portal.ts'
import type { Active } from '../store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Snapshots } from '../telemetry/metrics.ts'
import { changeBetween } from './change.ts'
import type { PublicUrls, ToPrimary, ToWorker } from './messages.ts'
import { relayLines } from './output.ts'
import { afterEnd } from './restart.ts'

/** The processes that share the public ports of this one, which holds the table and has no public port itself. */
export type Workers = Readonly<{
  /** Resolves when all of them listen; rejects when one ends before. */
  start(): Promise<PublicUrls>
  publish(active: Active): void
  /** Resolves once the table published last is in force everywhere. */
  settled(): Promise<void>
  /** All had a table, and one at least has it still. */
  ready(): boolean
  /** Of each that answers in time. */
  metrics(): Promise<Snapshots[]>
  /** True: nothing had to be cut. */
  drain(options: DrainOptions): Promise<boolean>
  close(): Promise<void>
}>

type Entry = {
  readonly worker: Worker
  readonly startedAt: number
  /** The table that it was sent last; undefined before it said hello, or while there is none. */
  sent: Active | undefined
  greeted: boolean
  /** Of the table that it has in force; 0: none. */
  seq: number
  urls: PublicUrls | undefined
  clean: boolean
}

/** How long a worker may take to tell its metrics, and to end after the time of a drain is over. Milliseconds. */
const metricsMax = 1000
const endMax = 5000

/** Workers are this program again, with the same arguments, which finds out by itself that it is one. */
export function createWorkers({ count, log, rotate }: Readonly<{ count: number; log: Log; rotate?: RotateKey }>): Workers {
  const entries = new Set<Entry>()
  const waiting = new Set<() => void>()
  const restarts = new Set<NodeJS.Timeout>()
  let active: Active | undefined
  let seq = 0
  let complete = false
  let ending = false
  let asked = 0

  const send = (entry: Entry, message: ToWorker): void => {
    if (entry.worker.isConnected()) entry.worker.send(message)
  }
  const wake = (): void => { for (const look of waiting) look() }

  /** Resolves when `done` holds, looked at whenever something changed. */
  function until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve()
    return new Promise((resolve) => {
      const look = (): void => {
        if (!done()) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
    })
  }

  function sendTable(entry: Entry): void {
    send(entry, { type: 'table', seq, change: active && changeBetween(entry.sent, active) })
    entry.sent = active
  }

  function fork(failures: number): Entry {
    const worker = cluster.fork()
    const entry: Entry = { worker, startedAt: performance.now(), sent: undefined, greeted: false, seq: 0, urls: undefined, clean: false }
    entries.add(entry)
    relayLines(worker.process, log)
    worker.on('message', (message: ToPrimary) => {
      if (message.type === 'hello') {
        entry.greeted = true
        sendTable(entry)
      } else if (message.type === 'listening') entry.urls = message.urls
      else if (message.type === 'active') entry.seq = message.seq
      else if (message.type === 'rotate') {
        const { id, key } = message
        void rotate?.(key).then((outcome) => send(entry, { type: 'rotated', id, outcome }))
      } else if (message.type === 'drained') entry.clean = message.clean
      wake()
    })
    worker.on('error', (error) => log.write('warn', 'a worker cannot be reached', { pid: worker.process.pid, why: error.message }))
    worker.on('exit', (code, signal) => {
      entries.delete(entry)
      if (!ending && complete) {
        const next = afterEnd(failures, performance.now() - entry.startedAt)
        log.write('error', 'a worker ended; another takes its place', { pid: worker.process.pid, code, signal, wait_ms: next.wait })
        const timer = setTimeout(() => {
          restarts.delete(timer)
          fork(next.failures)
        }, next.wait)
        restarts.add(timer)
      }
      wake()
    })
    return entry
  }

  function stopRestarts(): void {
    ending = true
    for (const timer of restarts) clearTimeout(timer)
  }

  const close = async (): Promise<void> => {
    stopRestarts()
    for (const { worker } of entries) worker.process.kill('SIGKILL')
    await until(() => entries.size === 0)
  }

  return {
    async start() {
      cluster.setupPrimary({ silent: true, serialization: 'advanced' })
      const all = Array.from({ length: count }, () => fork(0))
      await until(() => entries.size < count || all.every(({ urls }) => urls !== undefined))
      const urls = all[0]?.urls
      if (entries.size < count || urls === undefined) {
        await close()
        throw new Error('a worker could not start')
      }
      complete = true
      return urls
    },
    publish(next) {
      active = next
      seq++
      for (const entry of entries) if (entry.greeted) sendTable(entry)
    },
    settled() {
      const wanted = seq
      return until(() => [...entries].every((entry) => entry.sent === undefined || entry.seq >= wanted))
    },
    ready: () => complete && [...entries].some(({ urls, seq: inForce }) => urls !== undefined && inForce > 0),
    async metrics() {
      const id = ++asked
      const all = [...entries].filter(({ urls }) => urls !== undefined).map((entry) => new Promise<Snapshots>((resolve) => {
        const stop = (): void => {
          clearTimeout(timer)
          entry.worker.off('message', hear).off('exit', none)
        }
        const hear = (message: ToPrimary): void => {
          if (message.type !== 'metrics' || message.id !== id) return
          stop()
          resolve(message.metrics)
        }
        const none = (): void => { stop(); resolve([]) }
        const timer = setTimeout(none, metricsMax)
        entry.worker.on('message', hear).on('exit', none)
        send(entry, { type: 'metrics', id })
      }))
      return Promise.all(all)
    },
    async drain(options) {
      stopRestarts()
      const all = [...entries]
      for (const entry of all) send(entry, { type: 'drain', options })
      const late = setTimeout(() => void close(), options.delay + options.timeout + endMax)
      await until(() => entries.size === 0)
      clearTimeout(late)
      return all.every(({ clean }) => clean)
    },
    close,
  }
}
