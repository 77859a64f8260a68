import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type SecureContext, type TLSSocket } from 'node:tls'
import type { Admission } from './admission.ts'
import { tlsFloor } from './certificates.ts'
import { createHttp1Door, type Http1Door } from './http1.ts'
import { createHttp2Door, type Http2Door } from './http2.ts'
import type { Pace } from './pace.ts'
import type { ServedCertificates } from './served.ts'
import type { Gateway } from '../pipeline/gateway.ts'

/** What the public ports are made of. */
export type DoorOptions = Readonly<{
  gateway: Gateway
  admission: Admission
  pace: Pace
  /** With it the port speaks TLS, HTTP/2 by ALPN; without it HTTP/2 with prior knowledge. */
  certificates?: ServedCertificates | undefined
}>

/** The port takes connections; each door counts and closes its own. */
export type Door = Readonly<{ server: Server; http1: Http1Door; http2: Http2Door }>

/** A public port. */
export function createDoor({ gateway, admission, pace, certificates }: DoorOptions): Door {
  const http2 = createHttp2Door(gateway, pace)
  const http1 = createHttp1Door(gateway, pace, http2.take)
  if (certificates === undefined) {
    // Nothing is read before somebody has let it in.
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, http1.accept)
    admission.guard(server, false)
    return { server, http1, http2 }
  }
  const server = createTlsServer({ noDelay: true, allowHalfOpen: true, ...tlsOptions(certificates) })
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.alpnProtocol === 'h2') http2.take(socket)
    else http1.take(socket)
  })
  server.on('tlsClientError', (_error: Error, socket: Socket) => { socket.destroy() })
  certificates.onFallback((next) => server.setSecureContext({ ...tlsFloor, ...next }))
  admission.guard(server, true)
  return { server, http1, http2 }
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
