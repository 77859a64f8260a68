import { lookup as resolve, type LookupAddress, type LookupOptions } from 'node:dns'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Reach } from '../table/reach.ts'

/**
 * Which addresses a URL may lead to. The name is what a manifest says, but the address is what a resolver says at the
 * moment of connecting (DNS rebinding), so it is the address that is checked, then and not before.
 */
const refused = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8], ['169.254.0.0', 16], ['192.0.0.0', 24],
  // 168.63.129.16 is a public address on which Azure tells a machine its secrets.
  ['168.63.129.16', 32], ['192.0.2.0', 24], ['192.88.99.0', 24], ['198.18.0.0', 15], ['198.51.100.0', 24],
  ['203.0.113.0', 24], ['224.0.0.0', 4], ['240.0.0.0', 4],
] as const) refused.addSubnet(network, bits, 'ipv4')
for (const [network, bits] of [
  ['::', 128], ['64:ff9b::', 96], ['64:ff9b:1::', 48], ['100::', 64], ['2001::', 23], ['2001:db8::', 32],
  ['2002::', 16], ['3fff::', 20], ['5f00::', 16], ['fe80::', 10], ['fec0::', 10], ['ff00::', 8],
] as const) refused.addSubnet(network, bits, 'ipv6')

/** RFC 1918, RFC 6598, RFC 4193. */
const privateOnly = new BlockList()
for (const [network, bits] of [['10.0.0.0', 8], ['100.64.0.0', 10], ['172.16.0.0', 12], ['192.168.0.0', 16]] as const) {
  privateOnly.addSubnet(network, bits, 'ipv4')
}
privateOnly.addSubnet('fc00::', 7, 'ipv6')
/** Where clouds tell a machine its secrets, within the private networks. */
const metadata = new BlockList()
metadata.addAddress('100.100.100.200', 'ipv4')
metadata.addAddress('fd00:ec2::254', 'ipv6')
metadata.addAddress('fd20:ce::254', 'ipv6')

const loopbackOnly = new BlockList()
loopbackOnly.addSubnet('127.0.0.0', 8, 'ipv4')
loopbackOnly.addAddress('::1', 'ipv6')

/**
 * Whether a URL may lead to this address. Link-local ones (cloud metadata), reserved ones and the API server of the
 * cluster never do; this machine and private networks where that is said.
 */
export function mayReach(address: string, reach: Reach): boolean {
  const plain = unmapped(address)
  if (isIP(plain) === 0) return false
  if (isLoopback(plain)) return reach.loopback
  const family = familyOf(plain)
  if (refused.check(plain, family) || metadata.check(plain, family) || plain === apiServer) return false
  return reach.private === true || !privateOnly.check(plain, family)
}

/** What a pod is told of the API server, whose word opens the cluster. */
const apiServer = process.env['KUBERNETES_SERVICE_HOST']

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
export type Lookup = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => void

/** A `lookup` for `net.connect` that leaves out what a URL may not lead to, and fails when nothing is left. */
export function guardedLookup(reach: Reach, lookup: Lookup = resolve) {
  return filteredLookup((address) => mayReach(address, reach), lookup)
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
