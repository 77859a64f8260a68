import { connect as connectPlain, isIP, type NetConnectOpts, type Socket, type TcpNetConnectOpts } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'

/** An origin in parts, as URL has them. */
export type Place = Readonly<Pick<URL, 'hostname' | 'protocol' | 'port'>>

/** Calls back once: with a connection that is open, or with what was in its way. */
export type Connect = (to: Place, callback: (...outcome: [null, Socket] | [Error, null]) => void) => void

export type ConnectOptions = Readonly<{
  /** Milliseconds for all of it: the name, the connection, the handshake. */
  timeout: number
  /** Over TLS HTTP/2 may be chosen. */
  allowH2: boolean
  lookup?: TcpNetConnectOpts['lookup']
  onread?: NetConnectOpts['onread']
  tls?: ConnectionOptions
}>

class ConnectTimeout extends Error {
  readonly code = 'CONNECT_TIMEOUT'
}

/** A peer that has gone without a word is noticed in the end, also while nothing is asked of it. Milliseconds. */
const keepAliveAfter = 60_000

/** Opens connections to backends, plain or TLS. No session of TLS is resumed: it would go on by what is no longer vouched for. */
export function createConnect({ timeout, allowH2, lookup, onread, tls }: ConnectOptions): Connect {
  return ({ hostname, protocol, port }, callback) => {
    const host = hostname.replace(/^\[|\]$/g, '')
    const secure = protocol === 'https:'
    const to = { host, port: Number(port) || (secure ? 443 : 80), noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveAfter, ...(lookup && { lookup }) }
    const socket = secure
      ? connectTls({ ...to, ...(isIP(host) === 0 && { servername: host }), ...tls, ALPNProtocols: allowH2 ? ['http/1.1', 'h2'] : ['http/1.1'] })
      : connectPlain({ ...to, ...(onread && { onread }) })
    const timer = setTimeout(() => socket.destroy(new ConnectTimeout(`no connection to ${host} within ${timeout} ms`)), timeout)
    let told = false
    const tell = (...outcome: Parameters<typeof callback>): void => {
      clearTimeout(timer)
      if (told) return
      told = true
      callback(...outcome)
    }
    socket.once(secure ? 'secureConnect' : 'connect', () => tell(null, socket))
    // Whoever has it listens to it; until then, and after, nobody's error is no crash.
    socket.on('error', (error) => tell(isLate(error) ? new ConnectTimeout(`no connection to ${host}: ${error.message}`) : error, null))
    socket.once('close', () => tell(new Error(`the connection to ${host} was closed before it was open`), null))
  }
}

/** Of several addresses each may have been tried in vain. */
function isLate(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ETIMEDOUT' || (error instanceof AggregateError && error.errors.some((one: unknown) => one instanceof Error && 'code' in one && one.code === 'ETIMEDOUT'))
}
