import type { Server } from 'node:net'
import { listen } from '../listen.ts'
import { createHealth } from './health.ts'
import { createTunnel, type TunnelOptions } from './tunnel.ts'
import type { Bind } from '../proxy_options.ts'

export type ClientOptions = TunnelOptions & Readonly<{ health: Bind }>

/** A sidecar of an application. */
export type Client = Readonly<{
  urls: Readonly<{ http: string; health: string }>
  /** Milliseconds for what is under way. */
  drain(timeout: number): Promise<void>
}>

/** Loads none of what a proxy is made of: it takes a third less memory than the least that a proxy could. */
export async function startClient(options: ClientOptions): Promise<Client> {
  const { log, bind } = options
  const tunnel = createTunnel(options)
  let ending = false
  const health = createHealth({ ready: () => tunnel.server.listening && !ending, counts: tunnel.counts })
  const open = async (name: string, server: Server, { host, port }: Bind) => {
    const { url } = await listen(server, host, port)
    log.announce('listening', { name, url })
    return url
  }
  const urls = { health: await open('health', health, options.health), http: await open('http', tunnel.server, bind) }
  return {
    urls,
    async drain(timeout) {
      ending = true
      await tunnel.drain(timeout)
      health.close()
      health.closeAllConnections()
    },
  }
}
