import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { Agent } from '../http.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'
import { guardedLookup } from '../../outgoing/guard.ts'
import type { Upstream } from './pool.ts'
import type { TlsTerms } from './tls.ts'

/** What a request for a tunnel lacks to be one (RFC 6455 section 4.2.1). */
export function tunnelFault({ received }: Exchange): Failure | undefined {
  const { headers } = received
  if (valueOf(headers, 'sec-websocket-version') !== '13') {
    return failure('invalid_request', 'The only version of WebSocket served here is 13.')
  }
  return /^[A-Za-z0-9+/]{21}[AQgw]==$/.test(valueOf(headers, 'sec-websocket-key') ?? '')
    ? undefined
    : failure('invalid_request', 'The Sec-WebSocket-Key is not 16 bytes in base64.')
}

/** The screened headers in the form that node:http takes, and the two that ask for the tunnel. */
export function headersOf(flat: readonly string[]): Record<string, string | string[]> {
  const all = new Map<string, string[]>()
  for (let i = 0; i < flat.length; i += 2) {
    const [name = '', value = ''] = flat.slice(i, i + 2)
    all.set(name, [...(all.get(name) ?? []), value])
  }
  const headers = [...all].map(([name, values]): [string, string | string[]] => [name, values.length === 1 ? values[0] ?? '' : values])
  return { ...Object.fromEntries(headers), connection: 'Upgrade', upgrade: 'websocket' }
}

/** Where an origin is; the host as it is connected to, without brackets. */
export function placeOf(origin: string): Readonly<{ protocol: string; host: string; port: string }> {
  const { protocol, hostname, port } = new URL(origin)
  return { protocol, host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? (protocol === 'https:' ? '443' : '80') : port }
}

const agents = new Map<string, Agent>()

/** Never one that keeps connections; a URL's address is checked when connecting. */
export function agentOf(protocol: string, guard: Upstream['address']['guard'], terms: TlsTerms | undefined): Agent {
  const options = { keepAlive: false, allowHalfOpen: true, ...(guard && { lookup: guardedLookup(guard) }) }
  if (terms) return new TlsAgent({ ...options, ...terms, ALPNProtocols: ['http/1.1'], maxCachedSessions: 0 })
  const key = `${protocol} ${guard?.loopback} ${guard?.private}`
  let agent = agents.get(key)
  if (agent === undefined) {
    agent = protocol === 'https:' ? new TlsAgent(options) : new Agent(options)
    agents.set(key, agent)
  }
  return agent
}

/** A 101 opens the tunnel only when it is the answer to our very request (RFC 6455 section 4.1). */
export function opens(answer: IncomingHttpHeaders, asked: Readonly<FlatHeaders>): boolean {
  return answer.upgrade?.toLowerCase() === 'websocket'
    && (answer.connection ?? '').toLowerCase().split(',').some((name) => name.trim() === 'upgrade')
    && answer['sec-websocket-accept'] === acceptOf(valueOf(asked, 'sec-websocket-key') ?? '')
}

/** What a backend answers to this key when it opens the tunnel (RFC 6455 section 4.2.2). */
const acceptOf = (key: string) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

/** What a tunnel that ended in this way says about its endpoint. */
export const failedBy = ({ code }: Failure) =>
  code === 'timeout' ? 'timeout' : code === 'upstream_protocol' ? 'protocol' : code === 'upstream_connect_failed' ? 'connect' : 'reset'
