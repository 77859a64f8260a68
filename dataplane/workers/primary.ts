import cluster, { type Worker } from 'node:cluster'
import type { DrainOptions } from '../drain.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { RotateKey } from '../portal/portal.ts'
import type { Active } from '../store.ts'
import type { Log } from '../telemetry/log.ts'
import { changeBetween } from './change.ts'
import type { Asked, ToPrimary, ToWorker } from './messages.ts'
import { relayLines } from './output.ts'
import { relayTo } from './relay.ts'
import { afterEnd } from './restart.ts'

/** The processes that share the public ports of this one, which holds the table and has no public port itself. */
export type Workers = Readonly<{
  /**
   * Resolves when all of them serve; rejects when one ends before.
   * @param closed ports of this process, which no call of a worker may lead to
   * @param announce told of each public port once
   */
  start(options: Readonly<{ limiter: Limiter; closed: readonly number[]; announce: (name: string, url: string) => void }>): Promise<void>
  /** Of the public port of that name, once it is open. */
  url(name: string): string | undefined
  publish(active: Active): void
  /** Resolves once the table published last is in force everywhere. */
  settled(): Promise<void>
  /** All had a table, and one at least has it still. */
  ready(): boolean
  /** Of each that answers in time. */
  ask(what: Asked): Promise<unknown[]>
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
  serving: boolean
  clean: boolean
}

/** In the environment of a worker. */
export const closedVariable = 'MODELROUTE_WORKER_CLOSED'

/**
 * How long a worker may take to answer, and to end after the time of a drain is over. Milliseconds. Without the answer of
 * one, counters seem to fall: that is for one that hangs, and not for a machine that stood still.
 */
const answerMax = 5000
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
  let started: Parameters<Workers['start']>[0] | undefined
  const ports = new Map<string, string>()

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
    const worker = cluster.fork({ [closedVariable]: started?.closed.join(',') })
    const entry: Entry = { worker, startedAt: performance.now(), sent: undefined, greeted: false, seq: 0, serving: false, clean: false }
    entries.add(entry)
    relayLines(worker.process, log)
    const limits = started && relayTo(started.limiter, (message) => send(entry, message))
    worker.on('message', (message: ToPrimary) => {
      if (message.type === 'hello') {
        entry.greeted = true
        sendTable(entry)
      } else if (message.type === 'serving') entry.serving = true
      else if (message.type === 'port') opened(message.name, message.url)
      else if (message.type === 'active') entry.seq = message.seq
      else if (message.type === 'rotate') {
        const { id, key } = message
        void rotate?.(key).then((outcome) => send(entry, { type: 'rotated', id, outcome }))
      } else if (message.type === 'drained') entry.clean = message.clean
      else if (message.type === 'take' || message.type === 'settle') {
        limits?.hear(message)
        return
      }
      wake()
    })
    worker.on('error', (error) => log.write('warn', 'a worker cannot be reached', { pid: worker.process.pid, why: error.message }))
    worker.on('exit', (code, signal) => {
      entries.delete(entry)
      limits?.gone()
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

  function opened(name: string, url: string): void {
    if (ports.has(name)) return
    ports.set(name, url)
    if (complete) started?.announce(name, url)
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
    async start(options) {
      started = options
      cluster.setupPrimary({ silent: true, serialization: 'advanced' })
      const all = Array.from({ length: count }, () => fork(0))
      await until(() => entries.size < count || all.every(({ serving }) => serving))
      if (entries.size < count) {
        await close()
        throw new Error('a worker could not start')
      }
      complete = true
      for (const [name, url] of ports) options.announce(name, url)
    },
    url: (name) => ports.get(name),
    publish(next) {
      active = next
      seq++
      for (const entry of entries) if (entry.greeted) sendTable(entry)
    },
    settled() {
      const wanted = seq
      return until(() => [...entries].every((entry) => entry.sent === undefined || entry.seq >= wanted))
    },
    ready: () => complete && [...entries].some(({ serving, seq: inForce }) => serving && inForce > 0),
    async ask(what) {
      const id = ++asked
      const all = [...entries].filter(({ serving }) => serving).map((entry) => new Promise<unknown>((resolve) => {
        const stop = (): void => {
          clearTimeout(timer)
          entry.worker.off('message', hear).off('exit', none)
        }
        const hear = (message: ToPrimary): void => {
          if (message.type !== 'answer' || message.id !== id) return
          stop()
          resolve(message.value)
        }
        const none = (): void => { stop(); resolve(undefined) }
        const timer = setTimeout(none, answerMax)
        entry.worker.on('message', hear).on('exit', none)
        send(entry, { type: 'ask', id, what })
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
