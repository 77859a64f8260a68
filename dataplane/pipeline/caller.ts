import { isIPv6 } from 'node:net'
import type { Exchange } from './exchange.ts'
import { plainAddress } from './networks.ts'
import { recalled } from './recalled.ts'

/** Who calls; a caller nobody knows is their address. What stands before the colon keeps the two apart. */
export function callerOf({ principal, clientAddress }: Pick<Exchange, 'principal' | 'clientAddress'>): string {
  return principal === undefined || principal.consumer === '' ? `ip:${networkOf(clientAddress)}` : `c:${principal.consumer}`
}

/** One subscriber has a whole /64 of IPv6 to call from (RFC 6177), so all of it is one address here. */
export const networkOf = recalled((told) => {
  const address = plainAddress(told)
  if (!isIPv6(address)) return address
  const [head = '', tail] = (address.split('%', 1)[0] ?? '').split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  const groups = [...left, ...zeros, ...right].slice(0, 4).map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
  return `${groups.join(':')}::/64`
})
