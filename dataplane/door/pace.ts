import { randomUUID } from 'node:crypto'
import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { cutOff } from '../pipeline/cut.ts'
import { failure } from '../pipeline/errors.ts'
import { rawError } from '../pipeline/reply.ts'
import { isGrpc } from '../protocols/grpc.ts'
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
  /** Watches an HTTP/1.1 connection, for as long as it lasts. */
  watch(socket: Socket): void
  /** Watches a stream of HTTP/2. */
  watchStream(request: Http2Request, response: Http2Response): void
  close(): void
}>

/** `performance.now()` since when something has been waited for, and how many bytes had moved by then. */
type Since = { at: number; bytes: number }
type Watched = { body: Since | undefined; reading: Since | undefined; idleAt: number | undefined }

/** Cuts off clients that hold a connection by sending or reading too slowly. What we or a backend make wait costs nobody. */
export function createPace(crowded: () => boolean, limits: PaceLimits = paceLimits): Pace {
  const sockets = new Map<Socket, Watched>()
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

  function look(socket: Socket, watched: Watched, now: number): void {
    // Where node:http keeps the answer that a connection is busy with.
    const current: unknown = Reflect.get(socket, '_httpMessage')
    if (!(current instanceof ServerResponse)) {
      watched.body = watched.reading = undefined
      // Before the first request, its own time for a head is running.
      if (socket.bytesWritten === 0) return
      watched.idleAt ??= now
      if (crowded() && now - watched.idleAt >= limits.soon) socket.destroy()
      return
    }
    watched.idleAt = undefined
    const { req: request } = current
    const waits = !request.complete && request.readableFlowing === true && !isGrpc(request.headers['content-type'])
    if (lags(watched, waits, socket.bytesRead, now)) {
      tooSlow(socket, current)
      return
    }
    if (stalls(watched, socket.writableLength > 0, takenFrom(socket), now)) {
      cutOff(current, notTaken)
      // Otherwise the kernel would go on offering what it holds.
      if ('encrypted' in socket) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  function lookAtStream(response: Http2Response, watched: Watched & { request: Http2Request }, now: number): void {
    const { request } = watched
    if (lags(watched, request.waits && !isGrpc(request.headers['content-type']), request.bytesRead, now)) {
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
    for (const [socket, watched] of sockets) look(socket, watched, now)
    for (const [response, watched] of streams) lookAtStream(response, watched, now)
  }, limits.every).unref()

  return {
    watch(socket) {
      sockets.set(socket, { body: undefined, reading: undefined, idleAt: undefined })
      socket.once('close', () => sockets.delete(socket))
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
/** A client that keeps its side open after it was answered is not waited for longer than this. */
const lingerMax = 1000

function tooSlow(socket: Socket, response: ServerResponse): void {
  cutOff(response, notSent)
  if (response.headersSent) {
    socket.destroy()
    return
  }
  socket.end(rawError(late, randomUUID()))
  setTimeout(() => socket.destroy(), lingerMax).unref()
}

/** Bytes that the kernel has taken. Of TLS, those of the connection below it: a record is taken as a whole or not at all. */
function takenFrom(socket: Socket): number {
  const below: unknown = Reflect.get(socket, '_parent') ?? socket
  const handle: unknown = typeof below === 'object' && below !== null ? Reflect.get(below, '_handle') : undefined
  if (typeof handle !== 'object' || handle === null) return 0
  return Number(Reflect.get(handle, 'bytesWritten')) - Number(Reflect.get(handle, 'writeQueueSize'))
}
