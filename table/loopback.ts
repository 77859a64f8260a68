import { BlockList, isIP, isIPv6 } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** An address that only this machine reaches, or the name that RFC 6761 reserves for one. Other names: false. */
export function isLoopback(host: string): boolean {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  if (bare.toLowerCase() === 'localhost') return true
  return isIP(bare) !== 0 && loopback.check(bare, isIPv6(bare) ? 'ipv6' : 'ipv4')
}
