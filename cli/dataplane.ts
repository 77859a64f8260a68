import { hostname } from 'node:os'
import { startDataplane, type DataplaneOptions } from '../dataplane/main.ts'
import { boundYoung, collectGarbage, keepYoung } from '../dataplane/garbage.ts'
import { createLog } from '../dataplane/telemetry/log.ts'
import type { Options } from './flags.ts'
import { edgeOf } from './edge.ts'
import { ledgerOf, pricesOf } from './ledger.ts'
import { untilEnd } from './lifetime.ts'
import { redisOf } from './redis.ts'
import { snapshotFile } from './snapshot-file.ts'
import { workerRun } from './worker.ts'

function sidecarsOf({ host, sidecarPort: port, tlsCert: cert, tlsKey: key, clientCa }: Options<'dataplane'>): DataplaneOptions['sidecars'] {
  if (port === undefined || cert === undefined || key === undefined || clientCa === undefined) return undefined
  return { bind: { host, port }, files: { cert, key, clientCa } }
}

/** One proxy, fed by controllers elsewhere. */
export async function dataplane(options: Options<'dataplane'>): Promise<number> {
  const log = createLog({ level: options.logLevel })
  const common: Omit<DataplaneOptions, 'feed'> = {
    http: { host: options.host, port: options.httpPort },
    https: options.httpsPort === undefined ? undefined : { bind: { host: options.host, port: options.httpsPort } },
    sidecars: sidecarsOf(options),
    admin: { host: options.adminHost, port: options.adminPort },
    health: { host: options.host, port: options.healthPort },
    ...edgeOf(options),
    gateway: options.gateway,
    pepper: options.pepper,
    // In a pod, its name.
    node: hostname(),
    redis: redisOf(options),
    portal: options.portal,
    audit: options.audit === 'stdout' ? undefined : options.audit,
    predictions: options.predictions,
    ledger: ledgerOf(options),
    prices: await pricesOf(options),
    log,
  }
  collectGarbage()
  boundYoung()
  keepYoung()
  const work = workerRun()
  if (work !== undefined) return work(common)
  const { file, forget } = await snapshotFile(options)
  const proxy = await startDataplane({
    ...common,
    feed: {
      controllers: options.controller,
      tls: { cert: options.tlsCert, key: options.tlsKey, ca: options.clientCa },
      insecure: options.insecure,
    },
    snapshot: file,
  })
  return untilEnd(async () => {
    await proxy.drain({ delay: options.drainDelay, timeout: options.drainTimeout })
    await forget()
    await log.flush()
  })
}
