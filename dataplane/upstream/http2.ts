import { connect, type ClientHttp2Session } from 'node:http2'
import type { Connect } from './connect.ts'
import type { Handler, Sent } from './dispatch.ts'
import { Call, StreamRefused } from './http2-call.ts'
import { noticeSilence, type Silence } from './silence.ts'

/** Calls on one connection, whatever more the server would take: more are spread over several. */
const streamsMax = 100
/** A connection without a call is closed after so long, before a server or what stands between does it. Milliseconds. */
const idleMax = 60_000
/** Of a call that servers refuse again and again. */
const refusalsMax = 3

type Waiting = { call: Call; refusals: number }
type Connection = { session: ClientHttp2Session; streams: number; lastStream: number; /** `performance.now()` of the end of its last call. */ usedAt: number }

/**
 * Connections of HTTP/2 to one endpoint: h2c by prior knowledge, or TLS with ALPN. A call goes to the first with room;
 * there is another as soon as none has any.
 */
export class Http2Pool {
  readonly #origin: URL
  readonly #connect: Connect
  readonly #timeout: number
  readonly #connectionsMax: number
  readonly #silence: Silence
  readonly #idle: number
  readonly #connections = new Set<Connection>()
  readonly #queue: Waiting[] = []
  #connecting = 0
  #closed = false

  constructor(origin: string, timeout: number, connectionsMax: number, silence: Silence, connector: Connect, idle = idleMax) {
    this.#origin = new URL(origin)
    this.#timeout = timeout
    this.#connectionsMax = connectionsMax
    this.#silence = silence
    this.#idle = idle
    this.#connect = connector
  }

  /** Requests without a connection. */
  get waiting(): number {
    return this.#queue.length
  }

  dispatch(sent: Sent, handler: Handler): void {
    this.#queue.push({ call: new Call(sent, handler), refusals: 0 })
    this.#serve()
  }

  #serve(): void {
    for (const connection of this.#connections) {
      while (this.#queue.length > 0 && hasRoom(connection)) {
        const waiting = this.#queue.shift()
        if (waiting) this.#start(waiting, connection)
      }
    }
    while (this.#queue.length > this.#connecting * streamsMax && this.#connections.size + this.#connecting < this.#connectionsMax) this.#open()
  }

  #start(waiting: Waiting, connection: Connection): void {
    connection.streams++
    const done = (): void => {
      connection.streams--
      connection.usedAt = performance.now()
      if (this.#closed && connection.streams === 0) connection.session.close()
      if (this.#queue.length > 0) this.#serve()
    }
    const again = (): void => {
      if (++waiting.refusals > refusalsMax) {
        waiting.call.fail(new StreamRefused('the backend refuses the request'))
        return
      }
      this.#queue.unshift(waiting)
      this.#serve()
    }
    waiting.call.start(connection.session, this.#origin.protocol.slice(0, -1), done, () => connection.lastStream, again)
  }

  #open(): void {
    this.#connecting++
    const { protocol } = this.#origin
    let settled = false
    const settle = (error: Error | undefined): void => {
      if (settled) return
      settled = true
      this.#connecting--
      // Those that wait for a place beside others go on waiting.
      if (error && this.#connections.size + this.#connecting === 0) {
        for (const { call } of this.#queue.splice(0)) call.fail(error)
      } else this.#serve()
    }
    this.#connect(this.#origin, (error, socket) => {
      if (error !== null) {
        settle(error)
        return
      }
      if (protocol === 'https:' && 'alpnProtocol' in socket && socket.alpnProtocol !== 'h2') {
        socket.destroy()
        settle(new Error('the backend does not speak HTTP/2'))
        return
      }
      const session = connect(this.#origin, {
        createConnection: () => socket,
        settings: { enablePush: false, initialWindowSize: 262_144 },
        maxSessionMemory: 100,
      })
      const connection: Connection = { session, streams: 0, lastStream: Number.POSITIVE_INFINITY, usedAt: performance.now() }
      const late = setTimeout(() => session.destroy(new Error('the backend did not begin with its settings')), this.#timeout)
      // The settings say how much the server takes, and that it speaks HTTP/2 at all; until then nothing is sent.
      session.once('remoteSettings', () => {
        clearTimeout(late)
        session.setLocalWindowSize(4_194_304)
        if (session.remoteSettings.maxConcurrentStreams === 0) session.destroy(new Error('the backend takes no requests'))
        else {
          this.#connections.add(connection)
          this.#closeIdle(connection)
          noticeSilence(session, socket, () => connection.streams > 0, this.#silence)
          settle(undefined)
        }
      })
      session.on('goaway', (_code, lastStream: number) => {
        connection.lastStream = lastStream
        this.#connections.delete(connection)
      })
      session.on('error', (failed) => settle(failed))
      session.on('close', () => {
        clearTimeout(late)
        this.#connections.delete(connection)
        settle(new Error('the backend closed the connection'))
        if (this.#queue.length > 0) this.#serve()
      })
      if (this.#closed) session.close()
    })
  }

  #closeIdle(connection: Connection): void {
    const { session } = connection
    const timer = setInterval(() => {
      if (connection.streams > 0 || performance.now() - connection.usedAt < this.#idle) return
      this.#connections.delete(connection)
      session.close()
    }, this.#idle / 4).unref()
    session.once('close', () => clearInterval(timer))
  }

  /** Finishes what is in flight. */
  close(): Promise<void> {
    this.#closed = true
    for (const { session, streams } of this.#connections) if (streams === 0) session.close()
    return Promise.resolve()
  }

  destroy(): Promise<void> {
    this.#closed = true
    for (const { session } of this.#connections) session.destroy()
    return Promise.resolve()
  }
}

function hasRoom({ session, streams }: Connection): boolean {
  return !session.closed && !session.destroyed && streams < Math.min(session.remoteSettings.maxConcurrentStreams ?? streamsMax, streamsMax)
}
