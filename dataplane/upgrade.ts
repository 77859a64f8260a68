import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Gateway } from './pipeline/gateway.ts'

/**
 * Only a GET of HTTP/1.1 without a body may become a WebSocket tunnel (RFC 6455 section 4.1). Whatever else asks for
 * an upgrade is an ordinary request, and its Upgrade ends here (RFC 9110 section 7.8), or is refused by the screen.
 */
export function wantsTunnel({ method, httpVersion, headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket' && method === 'GET' && httpVersion === '1.1'
    && headers['content-length'] === undefined && headers['transfer-encoding'] === undefined
}

/** Hands what asks for a tunnel to the gateway, with a response to refuse it by, and ends tunnels with the server. */
export function acceptTunnels(server: Server, gateway: Gateway, respond: (request: IncomingMessage) => ServerResponse): void {
  const open = new Set<Duplex>()
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    open.add(socket)
    socket.on('error', ignore)
    socket.once('close', () => open.delete(socket))
    const response = respond(request)
    response.shouldKeepAlive = false
    // Types know a plain socket only; one of TLS is a Duplex of the same make.
    response.assignSocket(request.socket)
    response.once('finish', () => {
      socket.end()
      socket.resume()
      setTimeout(() => socket.destroy(), lingerMax).unref()
    })
    gateway(request, response, false, undefined, { socket, head })
  })
  const closeAllConnections = server.closeAllConnections.bind(server)
  // node:http knows nothing any more of a connection that it has given away.
  server.closeAllConnections = () => {
    closeAllConnections()
    for (const socket of open) socket.destroy()
  }
}

/** A client that keeps its side open after it was refused is not waited for longer than this. */
const lingerMax = 1000

/** The socket closes after it, and that is listened to. */
function ignore(): void {}
