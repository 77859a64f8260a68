import { once } from 'node:events'
import type {
  Http2SecureServer,
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2'
import { createSecureServer, createServer } from 'node:http2'
import { isIPv6 } from 'node:net'
import { TLSSocket } from 'node:tls'
import { heartbeat } from '../../table/heartbeat.ts'
import { PROXY_LINE, streamLink } from '../../table/link.ts'
import { isLoopback } from '../../table/loopback.ts'
import type { FromController, FromProxy, Link } from '../../table/messages.ts'
import { encode, FromProxy as FromProxySchema, MINOR, MINOR_HEADER } from '../../table/messages.ts'
import { callerOf } from './caller.ts'
import type { CredentialSource, TlsFiles } from './credentials.ts'
import { fileCredentials } from './credentials.ts'
import type { Log } from '../log.ts'

const STREAM_PATH = '/v1/stream'

export type PushServerOptions = {
  host: string
  /** 0 takes a free one. */
  port: number
  /** Takes a proxy's stream over (`Publisher.accept`); `namespace`: it is a sidecar's, of that namespace. */
  accept: (link: Link<FromController, FromProxy>, confided: boolean, namespace?: string) => void
  /** Namespaces whose sidecars are let in. */
  sidecars?: readonly string[] | undefined
  /** Files, which are watched, or another source of certificates. */
  tls?: TlsFiles | CredentialSource | undefined
  /** Allows a listener beyond loopback that does not ask proxies for a certificate. */
  insecure?: boolean | undefined
  log?: Log | undefined
  /** A peer is dead after three of these without an answer, in milliseconds. */
  pingMs?: number
  /** A connection must have opened its stream by then, in milliseconds. */
  openMs?: number
  /** How often the certificate files are looked at, in milliseconds. */
  reloadMs?: number
  /** Bytes of one line of a proxy's. */
  maxLineBytes?: number
}

export type PushServer = { url: string; close(): Promise<void> }

/** Bytes; what a proxy may send before it is read. It says little. */
const WINDOW = 256 * 1024

function sourceOf({ tls, reloadMs = 5_000, log = () => {} }: PushServerOptions): CredentialSource | undefined {
  return tls === undefined || 'start' in tls ? tls : fileCredentials(tls, reloadMs, log)
}

function admissible({ host, insecure }: PushServerOptions, source: CredentialSource | undefined): void {
  if (insecure === true || isLoopback(host)) return
  if (source === undefined) {
    throw new Error(
      `the push channel would be plain on ${host}: give --tls-cert, --tls-key and --client-ca, ` +
        'listen on 127.0.0.1, or allow it with --insecure',
    )
  }
  if (!source.mutual) {
    throw new Error(
      `the push channel on ${host} would give the table to anyone: give --client-ca, by which proxies' certificates ` +
        'are checked, or allow it with --insecure',
    )
  }
}

function peerOf({ session }: ServerHttp2Stream) {
  const socket = session?.socket
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
}

/** Both ends on this machine: a mesh's sidecar, which brings strangers from loopback, knocks at the pod's address. */
function local({ session }: ServerHttp2Stream): boolean {
  const { localAddress = '', remoteAddress = '' } = session?.socket ?? {}
  return isLoopback(localAddress) && isLoopback(remoteAddress)
}

/**
 * Listens for proxies: HTTP/2, one stream each (`POST /v1/stream`), a JSON document a line in both directions. With
 * TLS it listens once there is a certificate.
 */
export async function listenPush(options: PushServerOptions): Promise<PushServer> {
  const { accept, sidecars = [], log = () => {}, pingMs = 3_000, openMs = 10_000, maxLineBytes = PROXY_LINE } = options
  const settings = { enablePush: false, maxConcurrentStreams: 4, initialWindowSize: WINDOW }
  const sessions = new Set<ServerHttp2Session>()
  const source = sourceOf(options)
  admissible(options, source)
  let server: Http2Server | Http2SecureServer

  if (source === undefined) {
    server = createServer({ settings })
  } else {
    const secure = { minVersion: 'TLSv1.3', requestCert: source.mutual, rejectUnauthorized: true } as const
    const credentials = await source.start((next) => {
      tlsServer.setSecureContext({ ...secure, ...next })
      log('info', 'push: certificate renewed')
    })
    const tlsServer = createSecureServer({ settings, handshakeTimeout: openMs, ...secure, ...credentials })
    tlsServer.on('tlsClientError', (error, socket) => {
      // A certificate that is not accepted shows as a mere hang-up; the reason is with the socket.
      const { authorizationError: refused, remoteAddress: from } = socket
      log('warn', 'push: TLS handshake failed', { from, why: refused ? String(refused) : error.message })
    })
    server = tlsServer
  }

  function open(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const known = headers[':path'] === STREAM_PATH
    if (!known || headers[':method'] !== 'POST') {
      stream.on('error', () => {})
      stream.respond({ ':status': known ? 405 : 404, ...(known && { allow: 'POST' }) }, { endStream: true })
      return void stream.resume()
    }
    const caller = source?.mutual === true ? callerOf(peerOf(stream)) : undefined
    const scope = caller?.kind === 'sidecar' ? caller.namespace : undefined
    if (caller?.kind === 'stranger' || (scope !== undefined && !sidecars.includes(scope))) {
      log('warn', 'push: a sidecar is not let in', { namespace: scope, why: 'its namespace is not one of --sidecar-namespace' })
      stream.on('error', () => {})
      return stream.respond({ ':status': 403 }, { endStream: true })
    }
    stream.respond({ ':status': 200, 'content-type': 'application/x-ndjson', [MINOR_HEADER]: String(MINOR) })
    const farewell = (why: string) => encode<FromController>({ type: 'goodbye', why })
    accept(streamLink(stream, { schema: FromProxySchema, maxLineBytes, farewell }), source?.mutual || local(stream), scope)
  }

  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session)
    let opened = false
    session.once('stream', () => (opened = true))
    const timer = setTimeout(() => opened || session.destroy(), openMs).unref()
    session.once('close', () => {
      clearTimeout(timer)
      sessions.delete(session)
    })
    heartbeat(session, pingMs)
  })
  server.on('sessionError', (error: Error) => log('warn', 'push: connection failed', { why: error.message }))
  server.on('stream', open)
  server.listen(options.port, options.host)
  try {
    await once(server, 'listening')
  } catch (error) {
    source?.close()
    throw error
  }
  server.on('error', (error: Error) => log('error', 'push: listener failed', { why: error.message }))

  const bound = server.address()
  const { address, port } =
    typeof bound === 'object' && bound !== null ? bound : { address: options.host, port: options.port }
  return {
    url: `${source === undefined ? 'http' : 'https'}://${isIPv6(address) ? `[${address}]` : address}:${port}`,
    async close() {
      source?.close()
      const closed = once(server, 'close')
      server.close()
      for (const session of sessions) session.close()
      const timer = setTimeout(() => sessions.forEach((session) => session.destroy()), 1_000)
      await closed
      clearTimeout(timer)
    },
  }
}
