import type { DataplaneOptions } from '../dataplane/main.ts'
import { parseNetworks } from '../dataplane/pipeline/networks.ts'

/** The flags of `serve` and `dataplane` that say who may connect, and who is believed. */
export type EdgeOptions = Readonly<{
  trustedHops: readonly string[]
  maxConnections: number
  maxConnectionsPerAddress: number
}>

export function edgeOf(options: Partial<EdgeOptions>): Pick<DataplaneOptions, 'trusted' | 'connections'> {
  const { trustedHops = [], maxConnections, maxConnectionsPerAddress } = options
  const networks = parseNetworks(trustedHops)
  if (typeof networks === 'string') throw new Error(`--trusted-hops: ${networks}`)
  return {
    ...(trustedHops.length > 0 && { trusted: networks }),
    ...(maxConnections !== undefined && maxConnectionsPerAddress !== undefined && {
      connections: { connections: maxConnections, perAddress: maxConnectionsPerAddress },
    }),
  }
}
