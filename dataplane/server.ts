import { createServer, IncomingMessage, ServerResponse, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import express from 'express'
import { randomUUID } from 'node:crypto'
import type { SecureContext, TLSSocket } from 'node:tls'
import type { Admission } from './door/admission.ts'
import { tlsFloor } from './door/certificates.ts'
import { createHttp2Door, type Http2Door } from './door/http2.ts'
import type { Pace } from './door/pace.ts'
import { divertHttp2 } from './door/preface.ts'
import type { ServedCertificates } from './door/served.ts'
import { failure, type Failure } from './pipeline/errors.ts'
import type { Gateway } from './pipeline/gateway.ts'
import { rawError } from './pipeline/reply.ts'
import { acceptTunnels, wantsTunnel } from './upgrade.ts'

/** Bytes of a request's head; more is answered with 431. */
const headBytesMax = 16_384

/** What the public ports are made of. */
export type DoorOptions = Readonly<{
  gateway: Gateway
  admission: Admission
  pace: Pace
  /** With it the port speaks TLS, HTTP/2 by ALPN; without it HTTP/2 with prior knowledge. */
  certificates?: ServedCertificates | undefined
}>

/** HTTP/1.1 connections are the server's own to count and close; those of HTTP/2 are apart. */
export type Door = Readonly<{ server: Server; http2: Http2Door }>

/**
 * A public port: for HTTP/1.1 one Express app with the gateway as its first handler, for HTTP/2 the gateway itself.
 *
 * Express sets the prototype of each request and response to its own, which makes every later property access slow. The
 * server is therefore given classes whose prototypes are the app's already, so that setting it changes nothing.
 */
export function createDoor({ gateway, admission, pace, certificates }: DoorOptions): Door {
  class Request extends IncomingMessage {}
  class Response extends ServerResponse {}
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  adopt(Request.prototype, express.request, app)
  adopt(Response.prototype, express.response, app)
  Object.assign(app, { request: Request.prototype, response: Response.prototype })
  app.use((request, response) => gateway(request, response))

  const options = {
    IncomingMessage: Request,
    ServerResponse: Response,
    maxHeaderSize: headBytesMax,
    // A missing Host is answered by the gateway, like everything else that is wrong with a request.
    requireHostHeader: false,
    // Checked every second: a head that dribbles in is cut off before 10 s.
    headersTimeout: 9000,
    // A body may take as long as its rule allows.
    requestTimeout: 0,
    connectionsCheckingInterval: 1000,
    // Above the 60 s of the usual load balancers, which must be the ones to close.
    keepAliveTimeout: 75_000,
    noDelay: true,
    shouldUpgradeCallback: wantsTunnel,
  }
  const server = certificates === undefined ? createServer(options, app) : createTlsServer({ ...options, ...tlsOptions(certificates) }, app)
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => gateway(request, response, true))
  // The answer of node:http would pass by the log. An expectation that nobody knows may be disregarded (RFC 9110, 10.1.1).
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => gateway(request, response))
  acceptTunnels(server, gateway, (request) => new Response(request))
  server.on('clientError', refuseUnparsed)
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    endWith(socket, failure('method_not_allowed', 'CONNECT is not served here.'))
  })

  const http2 = createHttp2Door(gateway, pace)
  server.on(certificates === undefined ? 'connection' : 'secureConnection', pace.watch)
  if (certificates === undefined || !('setSecureContext' in server)) divertHttp2(server, http2.take)
  else {
    divertByAlpn(server, http2.take)
    certificates.onFallback((next) => server.setSecureContext({ ...tlsFloor, ...next }))
  }
  admission.guard(server, certificates !== undefined)
  return { server, http2 }
}

function tlsOptions(certificates: ServedCertificates) {
  const options = certificates.fallback()
  return {
    ...tlsFloor,
    ...options,
    // Without a context of its own, a name gets the fallback.
    SNICallback: (name: string, done: (error: null, context?: SecureContext) => void) => done(null, certificates.of(name)),
    ALPNProtocols: ['h2', 'http/1.1'],
    handshakeTimeout: 9000,
    ...(options.ca !== undefined && { requestCert: true, rejectUnauthorized: true }),
  }
}

/** The listener that node:https put there is for those that did not ask for HTTP/2. */
function divertByAlpn(server: Server, take: (socket: TLSSocket) => void): void {
  const http1 = server.listeners('secureConnection')
  server.removeAllListeners('secureConnection')
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.alpnProtocol === 'h2') take(socket)
    else for (const listener of http1) Reflect.apply(listener, server, [socket])
  })
}

/** Puts Express's request or response methods on a prototype of our own. */
function adopt(prototype: object, methods: object, app: object): void {
  const { constructor: _, ...properties } = Object.getOwnPropertyDescriptors(methods)
  Object.defineProperties(prototype, properties)
  Object.defineProperty(prototype, 'app', { value: app, configurable: true, enumerable: true, writable: true })
}

/** What Node's parser gave up on. Nothing that follows on such a connection can be trusted. */
function refuseUnparsed(error: NodeJS.ErrnoException, socket: Socket): void {
  // Where node:http keeps the answer that a connection is waiting for.
  const current: unknown = Reflect.get(socket, '_httpMessage')
  const resets = !socket.writable || error.code === 'ECONNRESET'
  if (!resets && current instanceof ServerResponse && current.req.complete && !current.headersSent) {
    // The request before was whole. It has its answer, and the connection ends with it (RFC 9112, 9.6).
    current.shouldKeepAlive = false
    return
  }
  // An answer would be read as part of, or in place of, the one to the request before.
  const answerable = !(current instanceof ServerResponse) || (!current.headersSent && !current.req.complete)
  if (resets || !answerable) {
    socket.destroy()
    return
  }
  endWith(socket, faultOf(error.code))
}

function faultOf(code: string | undefined): Failure {
  if (code === 'HPE_HEADER_OVERFLOW') return failure('headers_too_large', `The head of the request has more than ${headBytesMax} bytes.`)
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return failure('invalid_request', 'The head of the request did not arrive in time.')
  return failure('invalid_request', 'The request is not valid HTTP.')
}

/** A client that keeps its side open is not waited for longer than this. */
const lingerMax = 1000

function endWith(socket: Duplex, why: Failure): void {
  socket.end(rawError(why, randomUUID()))
  // Closing at once would reset the connection, and the answer would be lost with it.
  socket.resume()
  setTimeout(() => socket.destroy(), lingerMax).unref()
}

/** Starts listening; port 0 takes a free one. */
export async function listen(server: Server, host: string, port: number): Promise<{ url: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, () => {
    server.off('error', reject)
    resolve()
  })
  await promise
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('not bound to a port')
  const { address, family, port: taken } = bound
  const scheme = 'setSecureContext' in server ? 'https' : 'http'
  return { url: `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${taken}` }
}
