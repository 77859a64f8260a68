import type { IncomingMessage } from 'node:http'
import { isLoopback } from '../../table/loopback.ts'

/** The header that the console's page sends with a command. A form cannot send it, nor another site without asking. */
const CONSOLE_HEADER = 'x-modelroute-console'

/** Whether a browser sent it: with a command it says where its page is from (Fetch: Origin; Fetch Metadata). */
export function fromBrowser({ headers }: IncomingMessage): boolean {
  return headers.origin !== undefined || headers['sec-fetch-site'] !== undefined
}

/**
 * Why a command of a browser is not one of our own page; undefined: it is. Each of them alone would keep another site
 * away; a browser may lack one. Over plain HTTP to another machine no browser tells Sec-Fetch-Site.
 */
export function notOurPage({ headers }: IncomingMessage): string | undefined {
  const { origin, host } = headers
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin') return 'not for other web pages'
  if (origin === undefined || !URL.canParse(origin) || new URL(origin).host !== host) return 'not for other web pages'
  if (headers[CONSOLE_HEADER] !== '1') return `a page sends ${CONSOLE_HEADER}: 1 with it`
  return undefined
}

/** Both ends on this machine: what a mesh's sidecar brings from elsewhere knocks at the pod's own address. */
export function isLocal({ socket }: IncomingMessage): boolean {
  return isLoopback(plain(socket.localAddress)) && isLoopback(plain(socket.remoteAddress))
}

/** Without what a socket of both families puts before an address of IPv4. */
export const plain = (address: string | undefined): string => address?.replace(/^::ffff:/, '') ?? ''
