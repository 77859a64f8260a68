import type { DoorRequest } from '../pipeline/door.ts'
import type { Received } from '../pipeline/exchange.ts'
import { Kind } from '../pipeline/headers.ts'

/**
 * Only a GET of HTTP/1.1 without a body may become a WebSocket tunnel (RFC 6455 section 4.1). Whatever else asks for
 * an upgrade is an ordinary request, and its Upgrade ends here (RFC 9110 section 7.8), or is refused by the screen.
 */
export function asksForTunnel({ method, httpVersion, rawHeaders }: DoorRequest, { seen }: Received): boolean {
  if ((seen & upgrades) === 0 || method !== 'GET' || httpVersion !== '1.1' || (seen & framed) !== 0) return false
  const named = { upgrade: '', connection: '' }
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase()
    if (name === 'upgrade' || name === 'connection') named[name] += `,${rawHeaders[i + 1] ?? ''}`
  }
  return named.upgrade.toLowerCase() === ',websocket'
    && named.connection.toLowerCase().split(',').some((word) => word.trim() === 'upgrade')
}

const upgrades = 1 << Kind.upgrade
const framed = (1 << Kind.contentLength) | (1 << Kind.transferEncoding)
