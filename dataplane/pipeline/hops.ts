import { isIP } from 'node:net'
import { Kind, valueOf, type FlatHeaders } from './headers.ts'
import { plainAddress, type Networks } from './networks.ts'

/** Where a request came from, as far as the hops that brought it are trusted. */
export type Trail = Readonly<{
  /** Addresses from the caller's to that of the hop before us. */
  addresses: readonly string[]
  /** Of Forwarded (RFC 7239), the elements of these hops as they came; empty where they do not write it. */
  elements: readonly string[]
}>

/** One hop as the next one wrote it down. */
type Told = Readonly<{ address: string | undefined; element: string }>

/**
 * Walks from the hop before us towards the caller. Each address was written by the hop after it, so it is believed as
 * long as that one is trusted; the first that is not is the caller's. What cannot be read ends the walk too.
 * X-Forwarded-For is what is read; Forwarded only where there is none of it.
 * @returns undefined: the hop before us is not trusted, and is the caller
 */
export function trailOf(peer: string, headers: FlatHeaders, seen: number, trusted: Networks): Trail | undefined {
  if (!trusted(peer)) return undefined
  const addresses = [peer]
  const elements: string[] = []
  if ((seen & (1 << Kind.forwarded)) === 0) return { addresses, elements }
  const list = valueOf(headers, 'x-forwarded-for')
  const forwarded = list === undefined ? valueOf(headers, 'forwarded') : undefined
  const told = list === undefined ? elementsOf(forwarded ?? '') : list.split(',').map((one) => ({ address: nodeOf(one.trim()), element: '' }))
  for (const { address, element } of told.reverse()) {
    if (address === undefined) break
    addresses.unshift(address)
    if (element !== '') elements.unshift(element)
    if (!trusted(address)) break
  }
  return { addresses, elements }
}

/** Longer ones are not read: what takes quotes apart takes longer than the text grows. */
const forwardedMax = 2048

function elementsOf(forwarded: string): Told[] {
  if (forwarded.length > forwardedMax) return []
  // An element ends at a comma that is not within quotes; where the quotes do not match, what is left can't be read.
  const elements = forwarded.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []
  return elements.map((element) => {
    const value = /(?:^|;)\s*for\s*=\s*(?<value>"[^"]*"|[^;"\s]*)\s*(?:;|$)/i.exec(element)?.groups?.['value'] ?? ''
    return { address: nodeOf(value.replaceAll('"', '')), element: element.trim() }
  })
}

/** The address of `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`. */
function nodeOf(text: string): string | undefined {
  const bracketed = /^\[(?<address>[0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(text)?.groups?.['address']
  const address = bracketed ?? text.replace(/^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/, '$1')
  return isIP(address) === 0 || address.includes('%') ? undefined : plainAddress(address)
}

/** How an address is written in Forwarded. */
export function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address
}
