import { lookup as resolve, type LookupAddress, type LookupOptions } from 'node:dns'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'

/**
 * Which addresses a URL may lead to. The name is what a manifest says, but the address is what a resolver says at the
 * moment of connecting (DNS rebinding), so it is the address that is checked, then and not before.
 */
const refused = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24],
  // 168.63.129.16 is a public address on which Azure tells a machine its secrets.
  ['168.63.129.16', 32], ['192.0.2.0', 24], ['192.88.99.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15], ['198.51.100.0', 24],
  ['203.0.113.0', 24], ['224.0.0.0', 4], ['240.0.0.0', 4],
] as const) refused.addSubnet(network, bits, 'ipv4')
for (const [network, bits] of [
  ['::', 128], ['64:ff9b::', 96], ['64:ff9b:1::', 48], ['100::', 64], ['2001::', 23], ['2001:db8::', 32],
  ['2002::', 16], ['3fff::', 20], ['5f00::', 16], ['fc00::', 7], ['fe80::', 10], ['fec0::', 10], ['ff00::', 8],
] as const) refused.addSubnet(network, bits, 'ipv6')

const loopbackOnly = new BlockList()
loopbackOnly.addSubnet('127.0.0.0', 8, 'ipv4')
loopbackOnly.addAddress('::1', 'ipv6')

/** Whether a URL may lead to this address. Private, link-local (cloud metadata) and reserved ones never do. */
export function mayReach(address: string, loopback: boolean): boolean {
  const plain = unmapped(address)
  if (isIP(plain) === 0) return false
  return isLoopback(plain) ? loopback : !refused.check(plain, familyOf(plain))
}

/** Whether an address is one of this machine's own, in whichever form. */
export function leadsHere(address: string): boolean {
  const plain = unmapped(address)
  return isLoopback(plain) || Object.values(networkInterfaces()).some((all) => all?.some((own) => own.address === plain))
}

const familyOf = (address: string) => isIPv6(address) ? 'ipv6' : 'ipv4'
const isLoopback = (address: string) => loopbackOnly.check(address, familyOf(address))

/** An IPv4 address in the clothes of an IPv6 one, without them. */
function unmapped(address: string): string {
  return /^::(?:ffff:(?:0:)?)?(?<v4>\d+\.\d+\.\d+\.\d+)$/i.exec(canonical(address))?.groups?.['v4'] ?? address
}

/** `::ffff:7f00:1` → `::ffff:127.0.0.1`; anything else as it is. */
function canonical(address: string): string {
  if (!isIPv6(address)) return address
  const bare = new URL(`http://[${address.split('%')[0]}]`).hostname.slice(1, -1)
  const hex = /^::(?<head>ffff:(?:0:)?)?(?<high>[0-9a-f]{1,4}):(?<low>[0-9a-f]{1,4})$/.exec(bare)?.groups
  if (!hex) return bare
  const high = Number.parseInt(hex['high'] ?? '', 16)
  const low = Number.parseInt(hex['low'] ?? '', 16)
  return `::${hex['head'] ?? ''}${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
}

export class AddressRefused extends Error {
  readonly code = 'ADDRESS_REFUSED'
}

type Callback = (error: Error | null, address: string | LookupAddress[], family?: number) => void

/** A resolver, as `net.connect` takes one. */
export type Lookup = typeof resolve

/** A `lookup` for `net.connect` that leaves out what a URL may not lead to, and fails when nothing is left. */
export function guardedLookup(loopback: boolean, lookup: Lookup = resolve) {
  return filteredLookup((address) => mayReach(address, loopback), lookup)
}

/** A `lookup` that leaves out every address but those that are allowed. */
export function filteredLookup(allowed: (address: string) => boolean, lookup: Lookup) {
  return (hostname: string, options: LookupOptions, callback: Callback): void => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) {
        callback(error, [])
        return
      }
      const left = addresses.filter(({ address }) => allowed(address))
      const [first] = left
      if (first === undefined) {
        callback(new AddressRefused(`${hostname} resolves to an address that a URL may not lead to`), [])
      } else if (options.all) callback(null, left)
      else callback(null, first.address, first.family)
    })
  }
}
