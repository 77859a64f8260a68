import { BlockList, isIP, isIPv6 } from 'node:net'

/** Whether an address is in one of some networks. */
export type Networks = (address: string) => boolean

/** Bounded, because callers choose the addresses. */
const rememberedMax = 4096

/**
 * @param list `10.0.0.0/8`, `2001:db8::/32`, or an address by itself
 * @returns why one of them is none, as a string
 */
export function parseNetworks(list: readonly string[]): Networks | string {
  const block = new BlockList()
  for (const text of list) {
    const [address = '', prefix, more] = text.split('/')
    const family = isIP(address)
    const bits = family === 6 ? 128 : 32
    const length = prefix === undefined ? bits : Number(prefix)
    if (family === 0 || address.includes('%') || more !== undefined || !/^\d{1,3}$/.test(prefix ?? '0') || length > bits) {
      return `${text} is no network such as 10.0.0.0/8 or 2001:db8::/32`
    }
    block.addSubnet(address, length, family === 6 ? 'ipv6' : 'ipv4')
  }
  const remembered = new Map<string, boolean>()
  return (address) => {
    const known = remembered.get(address)
    if (known !== undefined) return known
    const within = isIP(address) !== 0 && block.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
    if (remembered.size >= rememberedMax) remembered.clear()
    remembered.set(address, within)
    return within
  }
}

/** An IPv4 address as itself, also where a socket that takes both families tells it as IPv6. */
export function plainAddress(address: string): string {
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address
}
