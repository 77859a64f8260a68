import type { ClientRequest, IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type httpProxy from 'http-proxy'
import type { Upstream } from './pool.ts'
import { agentOf, headersOf, type placeOf } from './tunnel-request.ts'

export type Asked = Readonly<{
  upstream: Upstream
  place: ReturnType<typeof placeOf>
  path: string
  /** Names and values by turns. */
  headers: readonly string[]
  /** In place of the client's connection. */
  gate: Duplex
  /** Bytes that came with the request. */
  head: Buffer
  /** The request is made: whatever else happens, happens after this. */
  onRequest(request: ClientRequest): void
  onConnect(): void
  /** A 101; nothing of it has been checked. */
  onUpgrade(answer: IncomingMessage, backend: Socket, head: Buffer): void
  /** Anything else. */
  onAnswer(answer: IncomingMessage): void
  onError(error: Error): void
}>

/** Asks a backend for a tunnel, by http-proxy, which joins the two ends once there is one. */
export function askForTunnel({ upstream, place, path, headers, gate, head, onRequest, onConnect, onUpgrade, onAnswer, onError }: Asked): void {
  const { protocol, host, port } = place
  const proxy = library()
  let request: ClientRequest | undefined
  // It tells of the request that it makes by an event, at once, and before it listens to it itself.
  proxy.once('proxyReqWs', (made: ClientRequest) => {
    request = made
    onRequest(made)
    // It would join and mend the path once more; what was matched is what is sent.
    made.path = path
    made.once('socket', (socket: Socket) => socket.once('connect', onConnect))
    made.on('upgrade', onUpgrade)
  })
  const target = { protocol, hostname: host, host, port, path: '' }
  // It reads no more of them than this.
  const bare: object = { method: 'GET', url: '/', headers: headersOf(headers), connection: {}, socket: {} }
  const { noDeprecation } = process
  // It copies options with util._extend, and a warning on stderr is of no use to who runs this.
  process.noDeprecation = true
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
  proxy.ws(bare as IncomingMessage, gate, head, { target, agent: agentOf(protocol, upstream.address.guard, upstream.tlsTerms()) }, onError)
  process.noDeprecation = noDeprecation ?? false
  // Its own listener would write any other answer to the client as it is.
  request?.removeAllListeners('response').on('response', onAnswer)
}

/** Loaded with the first tunnel: most proxies see none. */
let loaded: httpProxy | undefined
function library(): httpProxy {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what import() would give, without waiting
  return (loaded ??= (createRequire(import.meta.url)('http-proxy') as typeof httpProxy).createProxyServer({ ws: true, toProxy: true, xfwd: false }))
}
