import { randomUUID } from 'node:crypto'
import type { Ack, FromController, FromProxy, Link, Measurements } from '../table/messages.ts'
import { keepClock } from './clock.ts'
import type { ConnectionLimits } from './door/admission.ts'
import type { DrainOptions } from './drain.ts'
import { connectLimiter } from './limits/create.ts'
import type { RedisUrl } from './limits/redis/url.ts'
import { reportMeasured } from './measured.ts'
import type { Networks } from './pipeline/networks.ts'
import { openPlugins } from './plugins/plugins.ts'
import { startProxy, type Bind, type ProxyOptions } from './proxy.ts'
import { converse } from './receive/conversation.ts'
import type { ClientTls } from './receive/dial.ts'
import { openDisk, type DiskFile } from './receive/disk.ts'
import type { RotateKey } from './portal/portal.ts'
import { startReceiver } from './receive/stream.ts'
import { createStore, type Store } from './store.ts'
import type { Log } from './telemetry/log.ts'
import { pepperFrom, Vault } from './vault.ts'
import { createWorkers } from './workers/primary.ts'
import type { Primary } from './workers/worker.ts'

export type DataplaneOptions = Readonly<{
  http: Bind
  https?: ProxyOptions['https'] | undefined
  admin: Bind
  health?: Bind | undefined
  connections?: ConnectionLimits
  /** Where it is. */
  zone?: string | undefined
  /** Hops whose word is taken for where a request came from. */
  trusted?: Networks
  /** Where callers are. */
  geo?: ProxyOptions['geo']
  /** Processes that share the public ports, where there is more than this one. */
  workers?: number | undefined
  /** Where tables come from: controllers to dial, the one in this process, or the process that this is a worker of. */
  feed:
    | Readonly<{ controllers: readonly string[]; tls?: ClientTls | undefined; insecure: boolean }>
    | Readonly<{ link: Link<FromProxy, FromController> }>
    | Readonly<{ primary: Primary }>
  gateway: string
  /** What this proxy is called in statuses and logs: its pod's name. */
  node: string
  /** File of the last good table; without it a proxy starts empty. */
  snapshot?: string | undefined
  /** File with what API keys are digested with, for while no controller has told it. */
  pepper?: string | undefined
  /** Where proxies share the counts of limits; without it each counts for itself. */
  redis?: RedisUrl | undefined
  /** File of the audit log; without it, its records stand in the log. */
  audit?: string | undefined
  /** Folder of the operator's own filters. */
  plugins?: string | undefined
  /** The pages of a key's holder, at /portal. */
  portal?: boolean | undefined
  log: Log
}>

type Feed = DataplaneOptions['feed']
type Settled = (() => Promise<void>) | undefined

export type Dataplane = Readonly<{
  urls: Readonly<{ http: string; https: string | undefined; admin: string | undefined; health: string | undefined }>
  /** Ends it so that nobody notices. False: something in flight had to be cut. */
  drain(options: DrainOptions): Promise<boolean>
  /** At once. */
  close(): Promise<void>
}>

/** receive → store → runtime → the public port. */
export async function startDataplane(options: DataplaneOptions): Promise<Dataplane> {
  keepClock()
  const { log, gateway, node, feed } = options
  const say = (level: 'info' | 'warn' | 'error', message: string, fields?: Readonly<Record<string, unknown>>) =>
    log.write(level, message, fields)
  let hangUp = () => {}
  let tell: (message: Ack | Measurements) => void = () => {}
  let rotate: RotateKey = () => Promise.resolve({ problem: 'no controller is connected' })
  function listenTo(source: Exclude<Feed, { primary: Primary }>, store: Store, settled: Settled): () => void {
    if (!('link' in source)) {
      const receiver = startReceiver({ ...source, store, gateway, node, log: say, settled })
      ;({ rotate, tell } = receiver)
      return () => receiver.close()
    }
    ;({ rotate, tell } = converse(source.link, { store, identity: { node, instance: randomUUID(), gateway }, subscribe: true, log: say, settled }))
    return () => source.link.close()
  }

  const vault = new Vault(options.pepper === undefined ? undefined : await pepperFrom(options.pepper, say))
  let disk: DiskFile | undefined
  let store: Store | undefined
  const shared = options.redis && !('primary' in feed) ? await connectLimiter({ redis: options.redis, fleet: gateway, say }) : undefined
  const plugins = options.plugins === undefined ? undefined : await openPlugins({ folder: options.plugins, log: say, checked: 'primary' in feed })
  const limiter = 'primary' in feed ? feed.primary.limiter : shared
  const proxy = await startProxy({
    http: options.http,
    ...(!('primary' in feed) && { admin: options.admin }),
    ...(options.https && { https: options.https }),
    ...(options.health && !('primary' in feed) && { health: options.health }),
    ...(limiter && { limiter }),
    ...(plugins && { plugins }),
    ...(options.connections && { connections: options.connections }),
    zone: options.zone,
    trusted: options.trusted,
    geo: options.geo,
    vault,
    audit: options.audit,
    portal: options.portal,
    rotate: (key) => ('primary' in feed ? feed.primary.rotate(key) : rotate(key)),
    log,
    ...('primary' in feed && { announce: feed.primary.announce, closed: feed.primary.closed }),
    processes: 'primary' in feed ? options.workers : 1,
    workers: options.workers !== undefined && options.workers > 1 ? createWorkers({ count: options.workers, log, rotate: (key) => rotate(key) }) : undefined,
    async boot(activate, settled) {
      if ('primary' in feed) {
        await feed.primary.feed(activate)
        return
      }
      disk = options.snapshot === undefined ? undefined : await openDisk({ file: options.snapshot, gateway, log: say })
      store = createStore({ activate, disk, log: say })
      hangUp = listenTo(feed, store, settled)
      plugins?.onChange(() => {
        const healed = store?.retry()
        if (healed !== undefined) void (settled?.() ?? Promise.resolve()).then(() => tell(healed))
      })
    },
    // A controller in this process is never behind.
    tableAge: () => ('controllers' in feed ? (Date.now() - (store?.confirmedAt ?? Date.now())) / 1000 : 0),
  })

  // What a worker counts, its primary tells.
  const reporter = 'primary' in feed ? undefined : reportMeasured({ take: proxy.measured, tell: (message) => tell(message) })
  const end = async () => {
    await reporter?.close()
    hangUp()
    await disk?.close()
  }
  async function drain(drainOptions: DrainOptions): Promise<boolean> {
    // Until the last request is done the table must follow its endpoints.
    const clean = await proxy.drain(drainOptions)
    await end()
    return clean
  }
  if ('primary' in feed) feed.primary.serve(proxy.answer, drain)
  return {
    urls: proxy.urls,
    drain,
    async close() {
      await Promise.all([proxy.close(), end()])
    },
  }
}
