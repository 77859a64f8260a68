import { randomUUID } from 'node:crypto'
import { MINOR, type Ack, type FromController, type FromProxy, type Link, type Measurements } from '../table/messages.ts'
import type { Look } from '../table/console.ts'
import { keepClock } from './clock.ts'
import { forFleet } from './console/told.ts'
import type { ConnectionLimits } from './door/admission.ts'
import type { DrainOptions } from './drain.ts'
import { connectLimiter } from './limits/create.ts'
import type { RedisUrl } from './limits/redis/url.ts'
import { reportMeasured } from './measured.ts'
import type { Networks } from './pipeline/networks.ts'
import { openPlugins } from './plugins/plugins.ts'
import { startProxy, type Proxy } from './proxy.ts'
import type { Bind, ProxyOptions } from './proxy_options.ts'
import { converse } from './receive/conversation.ts'
import type { ClientTls } from './receive/dial.ts'
import { openDisk, type DiskFile } from './receive/disk.ts'
import type { RotateKey } from './portal/portal.ts'
import { startReceiver } from './receive/stream.ts'
import { guarding, type Guard } from './sidecar/guard.ts'
import { followPort } from './sidecar/listening.ts'
import { createStore, type Store } from './store.ts'
import type { Kept } from './telemetry/kept.ts'
import type { Log } from './telemetry/log.ts'
import { tracingSettings } from './telemetry/tracing_settings.ts'
import { pepperFrom, Vault } from './vault.ts'
import { createWorkers } from './workers/primary.ts'
import type { Primary } from './workers/worker.ts'

export type DataplaneOptions = Readonly<{
  http: Bind
  https?: ProxyOptions['https'] | undefined
  sidecars?: ProxyOptions['sidecars']
  /** It stands before one model server, and answers for it alone. */
  guard?: Guard | undefined
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
  /** Where proxies share the counts of limits, and answers that they keep; without it each counts for itself. */
  redis?: RedisUrl | undefined
  /** File of the audit log; without it, its records stand in the log. */
  audit?: string | undefined
  /** Where the log of predictions goes: a file or a URL. */
  predictions?: string | undefined
  /** Where usage records go, and the folder where they wait for that; without it there are none. */
  ledger?: Omit<NonNullable<ProxyOptions['ledger']>, 'delivers'> | undefined
  /** What requests cost. */
  prices?: ProxyOptions['prices']
  /** What its records have beside. */
  kept?: Kept | undefined
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
  /** What it shows of itself, once there is something. */
  let seen: Proxy['look'] = () => Promise.reject(new Error('it is starting'))
  const show = async (look: Look) => forFleet(await seen(look), node)
  function listenTo(source: Exclude<Feed, { primary: Primary }>, store: Store, settled: Settled): () => void {
    if (!('link' in source)) {
      const receiver = startReceiver({ ...source, store, gateway, node, log: say, settled, show })
      ;({ rotate, tell } = receiver)
      return () => receiver.close()
    }
    // Whoever is in the same process is of the same release.
    ;({ rotate, tell } = converse(source.link, { store, identity: { node, instance: randomUUID(), gateway }, minor: MINOR, subscribe: true, log: say, settled, show }))
    return () => source.link.close()
  }

  const vault = new Vault(options.pepper === undefined ? undefined : await pepperFrom(options.pepper, say))
  let disk: DiskFile | undefined
  let store: Store | undefined
  const shared = options.redis && !('primary' in feed) ? await connectLimiter({ redis: options.redis, fleet: gateway, say }) : undefined
  const tracing = tracingSettings(process.env, (message, fields) => say('warn', message, fields))
  const plugins = options.plugins === undefined ? undefined : await openPlugins({ folder: options.plugins, log: say, checked: 'primary' in feed })
  const limiter = 'primary' in feed ? feed.primary.limiter : shared
  const behind = options.guard && followPort(options.guard.port)
  const proxy = await startProxy({
    http: options.http,
    ...(!('primary' in feed) && { admin: options.admin }),
    ...(options.https && { https: options.https }),
    sidecars: options.sidecars,
    // A guard is ready once there is somebody to guard.
    ...(behind && { waits: () => !behind.open() }),
    ...(options.health && !('primary' in feed) && { health: options.health }),
    ...(limiter && { limiter }),
    ...(plugins && { plugins }),
    ...(options.redis && { answers: await (await import('./cache/redis/connect.ts')).connectAnswers({ redis: options.redis, say }) }),
    ...(options.connections && { connections: options.connections }),
    tracing,
    zone: options.zone,
    trusted: options.trusted,
    geo: options.geo,
    vault,
    audit: options.audit,
    predictions: options.predictions,
    ledger: options.ledger && { ...options.ledger, delivers: !('primary' in feed) },
    prices: options.prices,
    kept: options.kept,
    portal: options.portal,
    rotate: (key) => ('primary' in feed ? feed.primary.rotate(key) : rotate(key)),
    log,
    ...('primary' in feed && { announce: feed.primary.announce, closed: feed.primary.closed }),
    processes: 'primary' in feed ? options.workers : 1,
    workers: options.workers !== undefined && options.workers > 1 ? createWorkers({ count: options.workers, log, rotate: (key) => rotate(key) }) : undefined,
    async boot(activate, settled, prepare) {
      if ('primary' in feed) {
        await feed.primary.feed(activate)
        return
      }
      disk = options.snapshot === undefined ? undefined : await openDisk({ file: options.snapshot, gateway, log: say })
      store = createStore({ ...(options.guard ? { activate: guarding(options.guard, activate) } : { activate, prepare }), disk, log: say })
      hangUp = listenTo(feed, store, settled)
      const { line } = store
      plugins?.onChange(() => line.join(() => {
        const healed = store?.retry()
        if (healed !== undefined) void (settled?.() ?? Promise.resolve()).then(() => tell(healed))
        return undefined
      }))
    },
    // A controller in this process is never behind.
    tableAge: () => ('controllers' in feed ? (Date.now() - (store?.confirmedAt ?? Date.now())) / 1000 : 0),
  })

  seen = proxy.look
  // What a worker counts, its primary tells.
  const reporter = 'primary' in feed ? undefined : reportMeasured({ take: proxy.measured, tell: (message) => tell(message) })
  const end = async () => {
    await reporter?.close()
    behind?.close()
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
