import { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Gateway } from '../pipeline/gateway.ts'
import { Http1Connection } from './http1-connection.ts'
import { tellTime } from './http1-response.ts'
import type { Pace } from './pace.ts'
import { beginsHttp2 } from './preface.ts'

/** HTTP/1.1 on connections that somebody else accepted. */
export type Http1Door = Readonly<{
  /** One of a plain port, of which nothing has been read. */
  accept(accepted: Socket): void
  /** One of TLS, after the handshake. */
  take(socket: TLSSocket): void
  /** Closes those that wait for a request. */
  closeIdle(): void
  destroy(): void
}>

/** A connection that says nothing for this long is closed, as one whose head does not arrive is. Seconds. */
const silenceMax = 9

/** What is read of all plain connections goes here first: each read is looked at before the next. */
const shared = Buffer.allocUnsafeSlow(65_536)

/** @param toHttp2 takes a connection that begins as one of HTTP/2 */
export function createHttp1Door(gateway: Gateway, pace: Pace, toHttp2: (socket: Socket) => void): Http1Door {
  const connections = new Set<Http1Connection>()
  /** Plain ones that nobody has spoken on, and the seconds that they have been silent. */
  const silent = new Map<Socket, number>()
  const others = new Set<Socket>()

  function open(socket: Socket, remoteAddress: string): Http1Connection {
    const connection = new Http1Connection(socket, remoteAddress, gateway)
    connections.add(connection)
    pace.watch(connection)
    socket.once('close', () => connections.delete(connection))
    return connection
  }

  tellTime()
  const timer = setInterval(() => {
    tellTime()
    for (const connection of connections) connection.tick()
    for (const [socket, seconds] of silent) {
      if (seconds >= silenceMax) socket.destroy()
      else silent.set(socket, seconds + 1)
    }
  }, 1000).unref()

  function accept(accepted: Socket): void {
    const { remoteAddress = '' } = accepted
    if (remoteAddress === '') {
      // It has gone already.
      accepted.destroy()
      return
    }
    let connection: Http1Connection | undefined
    let begun: Buffer | undefined
    let given = false

    /** What comes first tells what is spoken. */
    function begin(bytes: Buffer): boolean {
      const first = begun === undefined ? bytes : Buffer.concat([begun, bytes])
      const http2 = beginsHttp2(first)
      if (http2 === undefined) begun = Buffer.from(first)
      else {
        begun = undefined
        silent.delete(socket)
        socket.off('error', ignore)
        if (http2) {
          given = true
          others.add(socket)
          socket.once('close', () => others.delete(socket))
          socket.unshift(Buffer.from(first))
          toHttp2(socket)
        } else {
          connection = open(socket, remoteAddress)
          return connection.take(first)
        }
      }
      return true
    }

    const socket = reading(accepted, {
      read: (bytes) => given ? socket.push(Buffer.from(bytes)) : connection === undefined ? begin(bytes) : connection.take(bytes),
      buffer: (last, length) => connection?.buffer(last, length) ?? shared,
    })
    silent.set(socket, 0)
    socket.on('error', ignore)
    socket.once('end', () => { if (connection === undefined && !given) socket.destroy() })
    socket.once('close', () => {
      silent.delete(socket)
      // It is what the server and whoever admitted it count.
      accepted.destroy()
    })
  }

  return {
    accept,
    take(socket) {
      const connection = open(socket, socket.remoteAddress ?? '')
      connection.readStream()
    },
    closeIdle() {
      for (const connection of connections) if (connection.idle) connection.socket.destroy()
      for (const socket of silent.keys()) socket.destroy()
    },
    destroy() {
      clearInterval(timer)
      for (const { socket } of connections) socket.destroy()
      for (const socket of [...silent.keys(), ...others]) socket.destroy()
    },
  }
}

type Reads = Readonly<{
  /** @returns false: no more for the moment */
  read(bytes: Buffer): boolean
  /** The buffer for the next read. */
  buffer(last: Buffer, length: number): Buffer
}>

/**
 * The same connection, read into buffers of ours: a server of Node's makes its sockets itself, and gives no way to say so.
 * The accepted one stays as its shell, without anything in it.
 */
function reading(accepted: Socket, { read, buffer }: Reads): Socket {
  const handle: unknown = Reflect.get(accepted, '_handle')
  Reflect.set(accepted, '_handle', null)
  let next: Buffer = shared
  const options: object = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: () => next,
      callback(length: number, bytes: Buffer): boolean {
        const more = read(length === bytes.length ? bytes : bytes.subarray(0, length))
        next = buffer(bytes, length)
        return more
      },
    },
  }
  return new Socket(options)
}

/** It closes after it, and that is listened to. */
function ignore(): void {}
