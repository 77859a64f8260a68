import { mkdtemp, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDataplane, type DataplaneOptions } from '../dataplane/main.ts'
import { collectGarbage } from '../dataplane/garbage.ts'
import { createLog } from '../dataplane/telemetry/log.ts'
import type { Options } from './flags.ts'
import { edgeOf } from './edge.ts'
import { untilEnd } from './lifetime.ts'
import { redisOf } from './redis.ts'
import { workerRun } from './worker.ts'

/** Where the last good table is kept; `none` says nowhere. */
async function snapshotFile({ snapshot, stateDir, gateway }: Options<'dataplane'>) {
  if (snapshot === 'none') return { file: undefined, forget: async () => {} }
  if (snapshot !== undefined) return { file: snapshot, forget: async () => {} }
  const folder = stateDir ?? (await mkdtemp(join(tmpdir(), 'modelroute-')))
  const forget = async () => {
    if (stateDir === undefined) await rm(folder, { recursive: true, force: true })
  }
  return { file: join(folder, `table-${gateway}.json`), forget }
}

/** One proxy, fed by controllers elsewhere. */
export async function dataplane(options: Options<'dataplane'>): Promise<number> {
  const log = createLog({ level: options.logLevel })
  const common: Omit<DataplaneOptions, 'feed'> = {
    http: { host: options.host, port: options.httpPort },
    https: options.httpsPort === undefined ? undefined : { bind: { host: options.host, port: options.httpsPort } },
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
    log,
  }
  collectGarbage()
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
