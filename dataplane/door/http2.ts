import { createServer, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Gateway } from '../pipeline/gateway.ts'
import { screen } from '../pipeline/screen.ts'
import { headOf, Http2Request } from './http2-request.ts'
import { Http2Response } from './http2-response.ts'
import type { Pace } from './pace.ts'

/** HTTP/2 on connections that somebody else accepted. */
export type Http2Door = Readonly<{
  take(socket: Socket): void
  /** GOAWAY: no more streams, and the client knows which were not taken; each connection ends with its last one. */
  closeGracefully(): void
  destroy(): void
}>

/** Bytes that one stream may send ahead of its backend, and all streams of a connection together. */
const streamWindow = 256 * 1024
const connectionWindow = 4 * 1024 * 1024

/** A connection without a stream for this long is ended, as one without a request is in HTTP/1.1. Milliseconds. */
const idleMax = 75_000

/**
 * What floods a connection ends it (nghttp2): more than 1,000 resets at once or 33 a second from then on
 * (CVE-2023-44487), queues of acknowledgements, empty frames, and more than 8 CONTINUATION frames for one head.
 */
export function createHttp2Door(gateway: Gateway, pace: Pace): Http2Door {
  const sessions = new Map<Http2Session, Session>()
  let accepted: Socket | undefined

  const server = createServer({
    // Beyond what screen.ts answers with 431, so that it is there to answer; beyond this the stream is reset.
    maxHeaderListPairs: 256,
    maxSettings: 32,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    // MiB. What a connection holds in this process, bodies under way included.
    maxSessionMemory: 32,
    settings: {
      enablePush: false,
      enableConnectProtocol: false,
      maxConcurrentStreams: 1000,
      initialWindowSize: streamWindow,
      maxHeaderListSize: 32_768,
    },
  })
  server.on('session', (session) => {
    if (accepted === undefined) return
    const entry: Session = { socket: accepted, streams: 0, idle: undefined }
    sessions.set(session, entry)
    session.setLocalWindowSize(connectionWindow)
    rest(session, entry)
    session.on('error', ignore)
    session.once('close', () => {
      clearTimeout(entry.idle)
      sessions.delete(session)
    })
  })
  server.on('sessionError', ignore)
  server.on('stream', (stream, _headers, flags, rawHeaders: string[]) => {
    // Before anything else: a connection that broke with this very packet has destroyed the stream already.
    stream.on('error', ignore)
    const { session } = stream
    const entry = session && sessions.get(session)
    if (!session || !entry || stream.destroyed) return
    entry.streams++
    clearTimeout(entry.idle)
    stream.once('close', () => {
      entry.streams--
      if (entry.streams === 0) rest(session, entry)
    })
    serve(stream, entry.socket, headOf(rawHeaders, (flags & endStreamFlag) !== 0))
  })

  function serve(stream: ServerHttp2Stream, socket: Socket, head: ReturnType<typeof headOf>): void {
    const request = new Http2Request(stream, socket, head)
    const response = new Http2Response(request)
    pace.watchStream(request, response)
    gateway(request, response, head.fault ?? screen(request))
  }

  return {
    take(socket) {
      // Handled at once, so that a stream finds the socket it came on: the session's own is a stand-in for it.
      // What breaks the connection is told to the session; left to the socket alone it would end the process.
      socket.on('error', ignore)
      // Whoever closes their half says nothing more about any stream: they have left.
      socket.allowHalfOpen = false
      accepted = socket
      server.emit('connection', socket)
      accepted = undefined
    },
    closeGracefully() {
      for (const session of sessions.keys()) if (!session.closed) session.close()
    },
    destroy() {
      for (const session of sessions.keys()) session.destroy()
    },
  }
}

type Session = { readonly socket: Socket; streams: number; idle: NodeJS.Timeout | undefined }

/** END_STREAM on the head: there is no body. */
const endStreamFlag = 0x1

function rest(session: Http2Session, entry: Session): void {
  clearTimeout(entry.idle)
  entry.idle = setTimeout(() => session.close(), idleMax).unref()
}

/** A connection that breaks takes its streams with it, and each says so. */
function ignore(): void {}
