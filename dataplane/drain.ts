import { setTimeout as sleep } from 'node:timers/promises'
import type { Door } from './door/port.ts'

export type DrainOptions = Readonly<{
  /** Milliseconds in which it is known not to be ready, and still takes what comes. */
  delay: number
  /** Milliseconds after that for what is in flight, streams too. */
  timeout: number
}>

/** The end of a server's life, in the order in which nobody notices. */
export type Drain = Readonly<{
  /** From the first moment on: `/readyz` says 503 and every answer says `Connection: close`. */
  draining: () => boolean
  /** Resolves when the last connection is gone; true when none had to be cut. */
  drain(options: DrainOptions): Promise<boolean>
}>

/** A client may have sent its next request just before it could see that the connection is idle no more. */
const lingerMax = 500
const every = 50

export function createDrain(): Drain & Readonly<{ add(door: Door): void }> {
  const doors: Door[] = []
  let ending: Promise<boolean> | undefined

  async function run({ delay, timeout }: DrainOptions): Promise<boolean> {
    await sleep(delay)
    const closed = Promise.all(doors.map(stopAccepting))
    const deadline = performance.now() + timeout
    await Promise.race([closed, sleep(Math.min(lingerMax, timeout))])
    for (const { http2 } of doors) http2.closeGracefully()
    const uncut = await whileOpen(closed, deadline)
    for (const { http1, http2 } of doors) {
      http1.destroy()
      http2.destroy()
    }
    await closed
    return uncut
  }

  /** Closes what falls idle, until nothing is left (true) or the deadline. */
  async function whileOpen(closed: Promise<unknown>, deadline: number): Promise<boolean> {
    while (performance.now() < deadline) {
      for (const { http1 } of doors) http1.closeIdle()
      if (await Promise.race([closed.then(() => true), sleep(every, false)])) return true
    }
    return false
  }

  return {
    add: (door) => { doors.push(door) },
    draining: () => ending !== undefined,
    drain: (options) => ending ??= run(options),
  }
}

/** Takes no new connection; resolves when the last one is gone. */
function stopAccepting({ server }: Door): Promise<void> {
  if (!server.listening) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  server.close(() => resolve())
  return promise
}
