import type { Socket } from 'node:net'
import { cutOff } from '../pipeline/cut.ts'
import { rawHeader, type DoorRequest } from '../pipeline/door.ts'
import { failure } from '../pipeline/errors.ts'
import { isGrpc } from '../protocols/grpc.ts'
import type { Http1Connection } from './http1-connection.ts'
import type { Http2Request } from './http2-request.ts'
import type { Http2Response } from './http2-response.ts'

/**
 * What a client owes once it has begun. A body that is waited for brings `bodyRate` bytes a second over any `bodyOver`;
 * of an answer that waits to be taken, some is taken within `readWithin`, or within `soon` while places are scarce; a
 * connection that is not used gives its place back then, too, whatever the kernel may still hold of its last answer.
 * Kernels take megabytes before a slow reader shows, and then in steps, so that reading has no rate that could be asked.
 * All in milliseconds.
 */
export type PaceLimits = Readonly<{ bodyRate: number; bodyOver: number; readWithin: number; soon: number; every: number }>

const paceLimits: PaceLimits = { bodyRate: 240, bodyOver: 5000, readWithin: 60_000, soon: 8000, every: 1000 }

export type Pace = Readonly<{
  /** Watches a connection of HTTP/1.1, for as long as it lasts. */
  watch(connection: Http1Connection): void
  /** Watches a stream of HTTP/2. */
  watchStream(request: Http2Request, response: Http2Response): void
  close(): void
}>

/** `performance.now()` since when something has been waited for, and how many bytes had moved by then. */
type Since = { at: number; bytes: number }
type Watched = { body: Since | undefined; reading: Since | undefined; idleAt: number | undefined }

/** Cuts off clients that hold a connection by sending or reading too slowly. What we or a backend make wait costs nobody. */
export function createPace(crowded: () => boolean, limits: PaceLimits = paceLimits): Pace {
  const connections = new Map<Http1Connection, Watched>()
  const streams = new Map<Http2Response, Watched & { request: Http2Request }>()

  /** True: less came than is owed. */
  function lags(watched: Watched, waits: boolean, bytes: number, now: number): boolean {
    const { body } = watched
    if (!waits || body === undefined) {
      watched.body = waits ? { at: now, bytes } : undefined
      return false
    }
    const elapsed = now - body.at
    if (elapsed < limits.bodyOver) return false
    watched.body = { at: now, bytes }
    return bytes - body.bytes < (elapsed / 1000) * limits.bodyRate
  }

  /** True: nothing was taken for too long. */
  function stalls(watched: Watched, waits: boolean, bytes: number, now: number): boolean {
    const { reading } = watched
    if (!waits || reading === undefined || bytes !== reading.bytes) {
      watched.reading = waits ? { at: now, bytes } : undefined
      return false
    }
    return now - reading.at >= (crowded() ? limits.soon : limits.readWithin)
  }

  function look(connection: Http1Connection, watched: Watched, now: number): void {
    const { current, socket } = connection
    if (current === undefined) {
      watched.body = watched.reading = undefined
      // Before the first request, its own time for a head is running.
      if (!connection.unused) return
      watched.idleAt ??= now
      if (crowded() && now - watched.idleAt >= limits.soon) socket.destroy()
      return
    }
    watched.idleAt = undefined
    const { request } = current
    if (lags(watched, request.waits && !isGrpcCall(request), request.bytesRead, now)) {
      connection.refuse(late, notSent)
      return
    }
    if (stalls(watched, socket.writableLength > 0, takenFrom(socket), now)) {
      cutOff(current, notTaken)
      // Otherwise the kernel would go on offering what it holds.
      if (connection.encrypted) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  function lookAtStream(response: Http2Response, watched: Watched & { request: Http2Request }, now: number): void {
    const { request } = watched
    if (lags(watched, request.waits && !isGrpcCall(request), request.bytesRead, now)) {
      cutOff(response, notSent)
      response.destroy()
      return
    }
    if (stalls(watched, response.writableLength > 0, response.bytesTaken, now)) {
      cutOff(response, notTaken)
      response.destroy()
    }
  }

  const timer = setInterval(() => {
    const now = performance.now()
    for (const [connection, watched] of connections) look(connection, watched, now)
    for (const [response, watched] of streams) lookAtStream(response, watched, now)
  }, limits.every).unref()

  return {
    watch(connection) {
      connections.set(connection, { body: undefined, reading: undefined, idleAt: undefined })
      connection.socket.once('close', () => connections.delete(connection))
    },
    watchStream(request, response) {
      streams.set(response, { request, body: undefined, reading: undefined, idleAt: undefined })
      response.once('close', () => streams.delete(response))
    },
    close: () => clearInterval(timer),
  }
}

const notSent = { code: 'invalid_request', cause: 'the body came too slowly' } as const
const notTaken = { code: 'client_closed', cause: 'the answer was taken too slowly' } as const

const late = failure('invalid_request', 'The body of the request did not arrive in time.')
/** Its streams may be silent. */
const isGrpcCall = (request: DoorRequest) => isGrpc(rawHeader(request, 'content-type'))

/** Bytes that the kernel has taken. Of TLS, those of the connection below it: a record is taken as a whole or not at all. */
function takenFrom(socket: Socket): number {
  const below: unknown = Reflect.get(socket, '_parent') ?? socket
  const handle: unknown = typeof below === 'object' && below !== null ? Reflect.get(below, '_handle') : undefined
  if (typeof handle !== 'object' || handle === null) return 0
  return Number(Reflect.get(handle, 'bytesWritten')) - Number(Reflect.get(handle, 'writeQueueSize'))
}
