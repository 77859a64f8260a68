import { lookup as resolve } from 'node:dns'
import { isIP } from 'node:net'
import type { buildConnector } from 'undici'
import type { Reach } from '../table/reach.ts'
import type { Callee } from '../table/principal.ts'
import { AddressRefused, filteredLookup, leadsHere, mayReach, type Lookup } from './guard.ts'

/**
 * Calls that the gateway makes of its own: for key sets, introspection, tokens, and the gates of rollouts. Whoever writes a route
 * chooses where they lead, so what they may reach is checked on the address, when connecting; a redirect is no answer; and an answer is
 * bounded in bytes and time.
 */
export type OutgoingCall = Readonly<{
  to: Callee
  method: 'GET' | 'POST'
  headers?: Readonly<Record<string, string>>
  body?: string
  /** Bytes that the body of the answer may have. */
  maxBytes: number
  /** Milliseconds for all of it. */
  timeout: number
}>

export type Answered = Readonly<{
  status: number
  /** Of a name in lower case; of several, the first. */
  header(name: string): string | undefined
  body: Buffer
}>

/** `why` is for the log of the operator, never for a caller. */
export type Unanswered = Readonly<{
  failed: 'refused' | 'redirected' | 'too_large' | 'timeout' | 'unreachable'
  why: string
}>

export type Outgoing = (call: OutgoingCall) => Promise<Answered | Unanswered>

export type OutgoingDeps = Readonly<{
  /** Where no call may lead, whatever a route says: see `ownPorts`. */
  closed?: (address: string, port: number) => boolean
  lookup?: Lookup
}>

export function createOutgoing({ closed = () => false, lookup = resolve }: OutgoingDeps = {}): Outgoing {
  const mayCall = (address: string, port: number, reach: Reach) => mayReach(address, reach) && !closed(address, port)
  /** By port too, since the resolver is not told the port. They keep TLS sessions, and no connections. */
  const connectors = new Map<string, buildConnector.connector>()
  function connectorFor(build: typeof buildConnector, port: number, reach: Reach, timeout: number): buildConnector.connector {
    const key = `${port} ${reach.loopback} ${reach.private} ${timeout}`
    let connector = connectors.get(key)
    if (connector === undefined) {
      const allowed = (address: string) => mayCall(address, port, reach)
      connector = build({ timeout, allowH2: false, lookup: filteredLookup(allowed, lookup) })
      if (connectors.size >= connectorsMax) connectors.clear()
      connectors.set(key, connector)
    }
    return connector
  }

  return async function call({ to, method, headers, body, maxBytes, timeout }) {
    const url = URL.canParse(to.url) ? new URL(to.url) : undefined
    if (url === undefined) return { failed: 'refused', why: 'not a URL' }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return { failed: 'refused', why: `${url.protocol} is not called` }
    if (url.username !== '' || url.password !== '') return { failed: 'refused', why: 'the URL holds credentials' }
    // The parser of URLs has brought every spelling of an address (`0177.1`, `2130706433`) to one.
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
    if (isIP(host) !== 0 && !mayCall(host, port, to)) {
      return { failed: 'refused', why: `${host} is an address that a URL may not lead to` }
    }
    // One connection a call: none that another tenant's call has used, and each is to an address checked just now.
    // Most proxies make no such call, and it is a tenth of what one needs.
    const { buildConnector: build, Client } = await import('undici')
    const client = new Client(url.origin, {
      connect: connectorFor(build, port, to, timeout),
      maxResponseSize: maxBytes,
      headersTimeout: timeout,
      bodyTimeout: timeout,
    })
    try {
      const answer = await client.request({
        method,
        path: url.pathname + url.search,
        headers: { 'user-agent': 'modelroute', 'accept-encoding': 'identity', ...headers },
        body: body ?? null,
        reset: true,
        signal: AbortSignal.timeout(timeout),
      })
      if (answer.statusCode >= 300 && answer.statusCode < 400) return { failed: 'redirected', why: 'redirects are not followed' }
      const bytes = Buffer.from(await answer.body.bytes())
      return {
        status: answer.statusCode,
        header(name) {
          const value = answer.headers[name]
          return typeof value === 'string' ? value : value?.[0]
        },
        body: bytes,
      }
    } catch (error) {
      return unanswered(error)
    } finally {
      // Nothing waits for it: the answer is here, or nobody wants it.
      client.destroy().catch(() => {})
    }
  }
}

/** Ports are few; a tenant that makes up many gets new connectors, and no more memory. */
const connectorsMax = 256

const timeouts: ReadonlySet<string | undefined> = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

function unanswered(error: unknown): Unanswered {
  if (!(error instanceof Error)) return { failed: 'unreachable', why: String(error) }
  if (error instanceof AddressRefused) return { failed: 'refused', why: error.message }
  const code = 'code' in error ? String(error.code) : undefined
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return { failed: 'too_large', why: 'the answer is too large' }
  if (error.name === 'TimeoutError' || timeouts.has(code)) return { failed: 'timeout', why: 'no answer in time' }
  return { failed: 'unreachable', why: code === undefined ? error.message : `${code}: ${error.message}` }
}

/** For `closed`: these ports of this machine, under whichever of its addresses. */
export function ownPorts(ports: () => readonly number[]): (address: string, port: number) => boolean {
  return (address, port) => ports().includes(port) && leadsHere(address)
}
