import { hostname } from 'node:os'
import { startController } from '../controller/main.ts'
import { boundYoung, collectGarbage, keepYoung } from '../dataplane/garbage.ts'
import { startDataplane, type DataplaneOptions } from '../dataplane/main.ts'
import { createLog, type Log } from '../dataplane/telemetry/log.ts'
import { linkPair } from '../table/link.ts'
import type { Options } from './flags.ts'
import { edgeOf, type EdgeOptions } from './edge.ts'
import { ledgerOf, pricesOf } from './ledger.ts'
import { untilEnd } from './lifetime.ts'
import { redisOf } from './redis.ts'
import { workerRun } from './worker.ts'

/** The only fleet that a single process can be. */
const GATEWAY = 'default'

/** What `serve` and `start` have in common. */
type Optional = 'allowUrl' | 'ledger' | 'prices' | 'stateDir' | 'httpsPort' | 'consoleActions' | 'consoleTokenFile' | 'consoleHost' | 'audit' | 'predictions' | 'portal' | 'redis' | keyof EdgeOptions
export type ServeOptions = Omit<Options<'serve'>, Optional> & Partial<EdgeOptions> & {
  readonly allowUrl?: readonly string[]
  readonly httpsPort?: number
  readonly stateDir?: string
  readonly consoleActions?: boolean
  readonly consoleTokenFile?: string
  readonly consoleHost?: readonly string[]
  readonly audit?: string
  readonly predictions?: string
  readonly ledger?: string
  readonly prices?: string
  readonly redis?: string
  readonly portal?: boolean
}

export type Served = Readonly<{ url: string; admin: string | undefined; control: string; end(): Promise<void>; started: Promise<void> }>

/** File source, controller and data plane in one process, the two halves speaking the same protocol as ever. */
export async function startServing(options: ServeOptions): Promise<Served> {
  const log = createLog({ level: options.logLevel })
  const [controllerEnd, proxyEnd] = linkPair()
  const { adminHost } = options
  const controller = await startController({
    source: { files: options.filename, stateDir: options.stateDir },
    control: { host: adminHost, port: options.controlPort },
    actions: options.consoleActions ? { tokenFile: options.consoleTokenFile } : undefined,
    consoleHosts: options.consoleHost,
    allowUrls: options.allowUrl ?? [],
    allowUnmanagedEndpointSlices: true,
    gateways: [GATEWAY],
    log: (level, message, fields) => log.write(level, message, fields),
    listening: (name, url) => log.announce('listening', { name, url }),
  })
  controller.accept(controllerEnd)
  const proxy = await startDataplane({ ...await proxyOf(options, log), feed: { link: proxyEnd } })
  return {
    url: proxy.urls.http,
    admin: proxy.urls.admin,
    control: controller.urls.control,
    started: controller.started,
    async end() {
      await proxy.drain({ delay: options.drainDelay, timeout: options.drainTimeout })
      await controller.close()
      await log.flush()
    },
  }
}

async function proxyOf(options: ServeOptions, log: Log): Promise<Omit<DataplaneOptions, 'feed'>> {
  const prices = await pricesOf(options)
  const { host, adminHost, healthPort, httpsPort, tlsCert, tlsKey, clientCa } = options
  return {
    http: { host, port: options.httpPort },
    https: httpsPort === undefined ? undefined : {
      bind: { host, port: httpsPort },
      ...(tlsCert !== undefined && tlsKey !== undefined ? { files: { cert: tlsCert, key: tlsKey, clientCa } } : { wait: true }),
    },
    admin: { host: adminHost, port: options.adminPort },
    health: healthPort === undefined ? undefined : { host, port: healthPort },
    ...edgeOf(options),
    gateway: GATEWAY,
    node: hostname(),
    redis: redisOf(options),
    portal: options.portal,
    audit: options.audit === 'stdout' ? undefined : options.audit,
    predictions: options.predictions,
    ledger: ledgerOf(options),
    prices,
    log,
  }
}

export async function serve(options: Options<'serve'>): Promise<number> {
  collectGarbage()
  boundYoung()
  keepYoung()
  const work = workerRun()
  if (work !== undefined) return work(await proxyOf(options, createLog({ level: options.logLevel })))
  const served = await startServing(options)
  return untilEnd(served.end, served.started)
}
