import type { DataplaneOptions } from '../dataplane/main.ts'
import { parseNetworks } from '../dataplane/pipeline/networks.ts'

/** The flags of `serve` and `dataplane` that say where it stands, who may connect, and who is believed. */
export type EdgeOptions = Readonly<{
  trustedHops: readonly string[]
  geo?: string
  geoHeader?: string
  maxConnections: number
  maxConnectionsPerAddress: number
  workers: number
  zone?: string
  plugins?: string
  auditHeader: readonly string[]
  auditParameter: readonly string[]
}>

export function edgeOf(options: Partial<EdgeOptions>): Pick<DataplaneOptions, 'trusted' | 'geo' | 'connections' | 'workers' | 'zone' | 'plugins' | 'kept'> {
  const { trustedHops = [], geo, geoHeader, maxConnections, maxConnectionsPerAddress, workers = 1, zone, plugins, auditHeader = [], auditParameter = [] } = options
  // Connections are dealt out in turn, so a part of them is a part of each address's too.
  const part = (all: number) => Math.ceil(all / workers)
  const networks = parseNetworks(trustedHops)
  if (typeof networks === 'string') throw new Error(`--trusted-hops: ${networks}`)
  return {
    workers,
    zone,
    plugins,
    ...(auditHeader.length + auditParameter.length > 0 && { kept: { headers: auditHeader.map((name) => name.toLowerCase()), parameters: auditParameter } }),
    ...((geo !== undefined || geoHeader !== undefined) && { geo: { file: geo, header: geoHeader?.toLowerCase() } }),
    ...(trustedHops.length > 0 && { trusted: networks }),
    ...(maxConnections !== undefined && maxConnectionsPerAddress !== undefined && {
      connections: { connections: part(maxConnections), perAddress: part(maxConnectionsPerAddress) },
    }),
  }
}
