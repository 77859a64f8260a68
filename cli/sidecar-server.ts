import { hostname } from 'node:os'
import { startDataplane } from '../dataplane/main.ts'
import { boundYoung, collectGarbage } from '../dataplane/garbage.ts'
import { createLog } from '../dataplane/telemetry/log.ts'
import { edgeOf } from './edge.ts'
import type { Options } from './flags.ts'
import { untilEnd } from './lifetime.ts'
import { snapshotFile } from './snapshot-file.ts'

/** The guard of a model server: a proxy of the fleet, for what is of its namespace, with one backend. */
export async function server(options: Options<'sidecar'>): Promise<number> {
  const log = createLog({ level: options.logLevel })
  const { file, forget } = await snapshotFile(options)
  const proxy = await startDataplane({
    http: { host: options.host, port: options.httpPort },
    admin: { host: '127.0.0.1', port: options.adminPort },
    health: { host: options.host, port: options.healthPort },
    guard: { port: options.injectPort ?? 0, service: options.injectService },
    ...edgeOf({ trustedHops: options.trustedHops }),
    gateway: options.gateway,
    // In a pod, its name.
    node: hostname(),
    feed: { controllers: options.controller, tls: { cert: options.tlsCert, key: options.tlsKey, ca: options.clientCa }, insecure: false },
    snapshot: file,
    log,
  })
  collectGarbage()
  boundYoung()
  // No delay: the model server has ended by then, and there is nothing more to take.
  return untilEnd(async () => {
    await proxy.drain({ delay: 0, timeout: options.drainTimeout })
    await forget()
    await log.flush()
  })
}
