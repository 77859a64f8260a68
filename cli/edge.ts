import type { DataplaneOptions } from '../dataplane/main.ts'
import { parseNetworks } from '../dataplane/pipeline/networks.ts'

/** The flags of `serve` and `dataplane` that say who may connect, and who is believed. */
export type EdgeOptions = Readonly<{
  trustedHops: readonly string[]
  maxConnections: number
  maxConnectionsPerAddress: number
  workers: number
}>

export function edgeOf(options: Partial<EdgeOptions>): Pick<DataplaneOptions, 'trusted' | 'connections' | 'workers'> {
  const { trustedHops = [], maxConnections, maxConnectionsPerAddress, workers = 1 } = options
  // Connections are dealt out in turn, so a part of them is a part of each address's too.
  const part = (all: number) => Math.ceil(all / workers)
  const networks = parseNetworks(trustedHops)
  if (typeof networks === 'string') throw new Error(`--trusted-hops: ${networks}`)
  return {
    workers,
    ...(trustedHops.length > 0 && { trusted: networks }),
    ...(maxConnections !== undefined && maxConnectionsPerAddress !== undefined && {
      connections: { connections: part(maxConnections), perAddress: part(maxConnectionsPerAddress) },
    }),
  }
}
