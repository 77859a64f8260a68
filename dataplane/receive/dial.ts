import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp, isIP, isIPv6 } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { heartbeat } from '../../table/heartbeat.ts'
import { CONTROLLER_LINE, streamLink } from '../../table/link.ts'
import { isLoopback } from '../../table/loopback.ts'
import type { FromController, FromProxy, Link } from '../../table/messages.ts'
import { FromController as FromControllerSchema, MINOR, MINOR_HEADER, minorOf } from '../../table/messages.ts'
import { pemFault } from '../../table/pem.ts'

/** Files in PEM, read anew for each connection. `ca` is what the controller's certificate must be signed by. */
export type ClientTls = Readonly<{ cert?: string | undefined; key?: string | undefined; ca?: string | undefined }>

export type DialOptions = {
  tls?: ClientTls | undefined
  /** Allows a plain connection beyond loopback. */
  insecure?: boolean | undefined
  /** A controller is dead after three of these without an answer, in milliseconds. */
  pingMs: number
  /** `minor`: what the controller speaks beside the schema. */
  onOpen: (minor: number) => void
  /** It answered a ping. */
  onAlive: () => void
}

/** One address of one controller. */
export type Target = Readonly<{ url: URL; address: string }>

/** Bytes under way: one round trip of 100 ms must not slow a large table down. */
const WINDOW = 4 * 1024 * 1024

const hostOf = (url: URL) => url.hostname.replace(/^\[|\]$/g, '')

/** Refuses a URL that could not be used safely, before anything is dialled. */
export function controllerUrl(text: string, insecure: boolean): URL {
  const fault = (why: string) => new Error(`--controller ${text}: ${why}`)
  if (!URL.canParse(text)) throw fault('not a URL; it looks like https://modelroute-controller:9902')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw fault('the scheme is https, or http on loopback')
  if (url.pathname !== '/' || url.search !== '' || url.username !== '') throw fault('scheme, host and port only')
  if (url.protocol === 'http:' && !insecure && !isLoopback(url.hostname)) {
    throw fault('plain beyond loopback; use https, or allow it with --insecure')
  }
  return url
}

/** Every address of the controller's name: the replicas behind a headless Service. */
export async function targetsOf(url: URL): Promise<Target[]> {
  const host = hostOf(url)
  if (isIP(host) !== 0) return [{ url, address: host }]
  const addresses = await lookup(host, { all: true, order: 'verbatim' })
  return addresses.map(({ address }) => ({ url, address }))
}

async function pem(tls: ClientTls) {
  const read = (file: string | undefined) => (file === undefined ? undefined : readFile(file))
  const [cert, key, ca] = await Promise.all([read(tls.cert), read(tls.key), read(tls.ca)])
  if (tls.cert !== undefined && tls.key !== undefined) {
    const fault = pemFault({ cert: tls.cert, key: tls.key, clientCa: tls.ca }, { cert: String(cert), key: String(key), clientCa: ca?.toString() })
    if (fault !== undefined) throw new Error(fault)
  }
  return { ...(cert && { cert }), ...(key && { key }), ...(ca && { ca }) }
}

/** Connects; the link can be used at once, and closes with the reason when the connection cannot be made. */
export async function dial(target: Target, options: DialOptions): Promise<Link<FromProxy, FromController>> {
  const { url, address } = target
  const { tls = {}, insecure = false, pingMs, onOpen, onAlive } = options
  const host = hostOf(url)
  const secure = url.protocol === 'https:'
  if (!secure && !insecure && !isLoopback(address)) {
    throw new Error(`${host} is ${address}, not loopback: not dialled plain`)
  }
  const port = Number(url.port === '' ? (secure ? 443 : 80) : url.port)
  const files = secure ? await pem(tls) : {}
  const session = connectHttp2(url.origin, {
    settings: { enablePush: false, initialWindowSize: WINDOW },
    createConnection: () =>
      secure
        ? connectTls({
            host: address,
            port,
            minVersion: 'TLSv1.3',
            ALPNProtocols: ['h2'],
            // RFC 6066: no addresses in SNI; the certificate of a URL with an address is checked against `host`.
            ...(isIP(host) === 0 && { servername: host }),
            ...files,
          })
        : connectTcp({ host: address, port, family: isIPv6(address) ? 6 : 4 }),
  })
  // The stream is destroyed with it, and tells the reason.
  session.on('error', () => {})
  let answered = false
  function lost(): string {
    if (answered) return 'connection lost'
    return `closed before an answer${secure ? ': does the controller trust the certificate of this proxy?' : ''}`
  }
  // A connection that took too long has been given up by then, and says so all the same.
  session.on('connect', () => session.destroyed || session.setLocalWindowSize(WINDOW))
  heartbeat(session, pingMs, onAlive)
  const stream = session.request({
    ':method': 'POST', ':path': '/v1/stream', 'content-type': 'application/x-ndjson', [MINOR_HEADER]: String(MINOR),
  })
  const link = streamLink<FromProxy, FromController>(stream, {
    schema: FromControllerSchema,
    maxLineBytes: CONTROLLER_LINE,
    lost,
  })
  stream.on('response', (headers) => {
    answered = true
    if (headers[':status'] === 200) onOpen(Math.min(MINOR, minorOf(headers[MINOR_HEADER])))
    else link.close(`answered ${headers[':status']}: is this a controller's push port?`)
  })
  link.onClose(() => session.destroy())
  return link
}
