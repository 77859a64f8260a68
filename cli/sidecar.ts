import { boundYoung, collectGarbage } from '../dataplane/garbage.ts'
import { createLog } from '../dataplane/telemetry/log.ts'
import type { Options } from './flags.ts'
import { untilEnd } from './lifetime.ts'

/** The proxy beside one application, or beside one model server. */
export async function sidecar(options: Options<'sidecar'>): Promise<number> {
  return options.injectMode === 'server' ? (await import('./sidecar-server.ts')).server(options) : client(options)
}

async function client(options: Options<'sidecar'>): Promise<number> {
  const log = createLog({ level: options.logLevel })
  const { startClient } = await import('../dataplane/sidecar/main.ts')
  const { fleet = '', tlsCert: cert = '', tlsKey: key = '', clientCa: ca = '' } = options
  const url = new URL(fleet)
  const running = await startClient({
    bind: { host: '127.0.0.1', port: options.httpPort },
    health: { host: options.host, port: options.healthPort },
    fleet: { url, serverName: options.fleetName ?? url.hostname, tls: { cert, key, ca } },
    log,
  })
  collectGarbage()
  boundYoung()
  // The application has ended by then: Kubernetes ends sidecars after what they serve.
  return untilEnd(async () => {
    await running.drain(options.drainTimeout)
    await log.flush()
  })
}
