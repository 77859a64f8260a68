import { hostname } from 'node:os'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'

/** Names that nobody on the internet can own: of this machine, of a cluster, of a private network. */
const privateName = /(?:^|\.)(?:localhost|local|internal|svc|home\.arpa)$|^[^.]+$/

/**
 * Why a request may be the doing of some other web page; undefined: it is not. A page of `evil.example` can have its own
 * name lead here (DNS rebinding) and is then of our origin for the browser, so that only the name in Host gives it away.
 */
export function foreign({ host = '', origin, 'sec-fetch-site': site }: IncomingHttpHeaders, method = 'GET', names: readonly string[] = []): string | undefined {
  const strange = strangeHost(host, names)
  if (strange !== undefined) return strange
  if (method === 'GET' || method === 'HEAD') return undefined
  if (origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host.toLowerCase())) return 'not for other web pages'
  return site === undefined || site === 'same-origin' || site === 'none' ? undefined : 'not for other web pages'
}

/** @param names others that the operator gave this port, in lower case */
export function strangeHost(host: string | undefined, names: readonly string[] = []): string | undefined {
  const name = nameIn(host ?? '')
  if (name === undefined) return 'the Host is no name'
  if (isIP(name) !== 0 || privateName.test(name) || name === hostname().toLowerCase() || names.includes(name)) return undefined
  return `the Host ${name} is neither an address nor a name of this machine or its cluster; a proxy before this port has to set one`
}

/** Without port and brackets; undefined: it is none. */
function nameIn(host: string): string | undefined {
  if (!/^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d+)?$/i.test(host)) return undefined
  return host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '').replace(/\.$/, '').toLowerCase()
}
