import cluster from 'node:cluster'
import type { DrainOptions } from '../drain.ts'
import type { RotateKey } from '../portal/portal.ts'
import type { Activate, Active } from '../store.ts'
import type { Limiter } from '../limits/limiter.ts'
import { changed } from './change.ts'
import type { Asked, ToPrimary, ToWorker } from './messages.ts'
import { closedVariable } from './primary.ts'
import { relayedLimiter } from './relay.ts'

/** The primary, as a worker sees it. */
export type Primary = Readonly<{
  /** Puts what it sends in force; resolves once it has said what there is to begin with. */
  feed(activate: Activate): Promise<void>
  /** Ports of the primary, which no call of this process may lead to. */
  closed: readonly number[]
  /** A public port is open. */
  announce(name: string, url: string): void
  /** Counts limits for all workers. */
  limiter: Limiter
  /** To be called when there is something to ask and to end. */
  serve(answer: (what: Asked) => Promise<unknown>, drain: (options: DrainOptions) => Promise<boolean>): void
  /** Has it ask the controller. */
  rotate: RotateKey
  /** Resolves when it has had this process drained. */
  ended: Promise<void>
}>

/** Of the process that this is a worker of; undefined where it is none. Without its primary a worker ends at once. */
export function primaryOf(): Primary | undefined {
  if (!cluster.isWorker) return undefined
  const listeners = new Set<(message: ToWorker) => void>()
  process.on('message', (message: ToWorker) => {
    for (const listener of listeners) listener(message)
  })
  process.on('disconnect', () => process.exit(1))
  const ended = Promise.withResolvers<void>()
  const send = (message: ToPrimary, done?: () => void): void => {
    process.send?.(message, undefined, undefined, done)
  }
  const limits = relayedLimiter(send)
  listeners.add((message) => {
    if (message.type === 'decision') limits.hear(message)
  })
  let asked = 0
  return {
    closed: (process.env[closedVariable] ?? '').split(',').filter((port) => port !== '').map(Number),
    announce: (name, url) => send({ type: 'port', name, url }),
    limiter: limits.limiter,
    ended: ended.promise,
    rotate(key) {
      const id = asked++
      return new Promise((resolve) => {
        const listen = (message: ToWorker): void => {
          if (message.type !== 'rotated' || message.id !== id) return
          listeners.delete(listen)
          resolve(message.outcome)
        }
        listeners.add(listen)
        send({ type: 'rotate', id, key })
      })
    },
    feed(activate) {
      let held: Active | undefined
      const told = Promise.withResolvers<void>()
      listeners.add((message) => {
        if (message.type !== 'table') return
        if (message.change !== undefined) {
          held = changed(held, message.change)
          // The primary has built it before, so nothing of it is refused here.
          activate(held)
          send({ type: 'active', seq: message.seq })
        }
        told.resolve()
      })
      send({ type: 'hello' })
      return told.promise
    },
    serve(answer, drain) {
      listeners.add((message) => {
        if (message.type === 'ask') void answer(message.what).then((value) => send({ type: 'answer', id: message.id, value }))
        if (message.type === 'drain') void drain(message.options).then((clean) => send({ type: 'drained', clean }, ended.resolve))
      })
      send({ type: 'serving' })
    },
  }
}
