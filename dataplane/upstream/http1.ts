import type { Socket } from 'node:net'
import { madeBuffers } from '../garbage.ts'
import type { Connect } from './connect.ts'
import { ConnectionLost, type Handler, type Sent } from './dispatch.ts'
import { Connection } from './http1-connection.ts'

type Waiting = Readonly<{ sent: Sent; handler: Handler }>

/** What reads of a plain connection go into: one buffer each, which grows with what comes, instead of a new one a read. */
const bufferMin = 16_384
const bufferMax = 262_144
const sweepEvery = 1000

/** Connections of HTTP/1.1 to one endpoint: each has one request at a time, and is kept for the next. */
export class Http1Pool {
  readonly #origin: URL
  readonly #connect: Connect
  readonly #max: number
  /** The one used last is used next, so that the others can go. */
  readonly #idle: Connection[] = []
  readonly #open = new Set<Connection>()
  readonly #queue: Waiting[] = []
  #connecting = 0
  #closed = false
  #sweeper: NodeJS.Timeout | undefined

  constructor(origin: string, connectionsMax: number, connector: Connect) {
    this.#origin = new URL(origin)
    this.#max = connectionsMax
    this.#connect = connector
  }

  /** Requests without a connection. */
  get waiting(): number {
    return this.#queue.length
  }

  dispatch(sent: Sent, handler: Handler): void {
    const connection = this.#queue.length === 0 ? this.#takeIdle(handler.startedAt ?? performance.now()) : undefined
    if (connection !== undefined) {
      connection.send(sent, handler)
      return
    }
    this.#queue.push({ sent, handler })
    this.#grow()
  }

  #takeIdle(now: number): Connection | undefined {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.alive && now < last.usableUntil) return last
      last.destroy()
    }
    return undefined
  }

  #grow(): void {
    while (this.#connecting < this.#queue.length && this.#open.size + this.#connecting < this.#max) this.#dial()
  }

  #dial(): void {
    this.#connecting++
    this.#connect(this.#origin, (error, socket) => {
      this.#connecting--
      if (error !== null) {
        // Each dials for itself; who finds another connection meanwhile leaves its dialling to who comes after.
        if (this.#queue.length > this.#connecting) this.#queue.shift()?.handler.onResponseError(error)
        this.#grow()
        return
      }
      const connection = new Connection(socket, this.#origin.host, this.#next, (closed) => {
        this.#open.delete(closed)
        const at = this.#idle.indexOf(closed)
        if (at !== -1) this.#idle.splice(at, 1)
        this.#grow()
      })
      this.#open.add(connection)
      read(socket, connection)
      this.#next(connection)
    })
  }

  /** What a connection does that has nothing to do. */
  readonly #next = (connection: Connection): void => {
    const waiting = this.#queue.shift()
    if (waiting !== undefined) connection.send(waiting.sent, waiting.handler)
    else if (this.#closed) connection.destroy()
    else {
      this.#idle.push(connection)
      this.#sweeper ??= setInterval(() => this.#sweep(), sweepEvery).unref()
    }
  }

  #sweep(): void {
    const now = performance.now()
    for (const connection of this.#idle.filter(({ usableUntil }) => usableUntil <= now)) connection.destroy()
    if (this.#idle.length > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  /** Finishes what is in flight. */
  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  /** At once. */
  destroy(): void {
    this.close()
    for (const { handler } of this.#queue.splice(0)) handler.onResponseError(new ConnectionLost('the gateway ends', false))
    for (const connection of this.#open) connection.destroy()
  }
}

const readers = new WeakMap<Socket, Connection>()

/** The buffer that the connection read last goes on with: node asks for it right after each read. */
let next: Buffer | undefined

/** What makes `net.connect` read into a buffer of ours. */
export const intoBuffer = {
  buffer(): Buffer {
    const buffer = next ?? Buffer.allocUnsafeSlow(bufferMin)
    next = undefined
    return buffer
  },
  callback(this: Socket, length: number, buffer: Buffer): boolean {
    const kept = readers.get(this)?.take(buffer.subarray(0, length)) ?? false
    const size = length === buffer.length ? Math.min(buffer.length * 4, bufferMax) : buffer.length
    const renewed = kept || size > buffer.length
    if (renewed) madeBuffers(size)
    next = renewed ? Buffer.allocUnsafeSlow(size) : buffer
    return true
  },
}

/** TLS brings its own buffers. */
function read(socket: Socket, connection: Connection): void {
  if ('encrypted' in socket) socket.on('data', (chunk: Buffer) => { connection.take(chunk) })
  else readers.set(socket, connection)
}
