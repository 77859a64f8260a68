import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { createAdminServer, createHealthServer } from './admin.ts'
import { Caches } from './cache/caches.ts'
import { createAdmission, type ConnectionLimits } from './door/admission.ts'
import { followCertificate, type CertificateFiles } from './door/certificates.ts'
import { createServedCertificates, type ServedCertificates } from './door/served.ts'
import { createDoor, listen, type Door } from './door/port.ts'
import { createPace, type PaceLimits } from './door/pace.ts'
import { createDrain, type DrainOptions } from './drain.ts'
import { authenticatorsOf } from './filters/auth/create.ts'
import { createBackendTokens } from './filters/backend_credentials/tokens.ts'
import type { FilterDeps } from './filters/filter.ts'
import { proofFor } from './filters/backend_credentials/proof.ts'
import { Checks } from './health/checks.ts'
import { createLimiter } from './limits/create.ts'
import type { Limiter } from './limits/limiter.ts'
import { createMeasuredSum, workerMeasured, type MeasuredReporterOptions } from './measured.ts'
import { Mirrors } from './mirror/mirrors.ts'
import { addReports } from './mirror/tally.ts'
import { createOutgoing, ownPorts } from '../outgoing/call.ts'
import { startShedding } from './overload.ts'
import { createGateway } from './pipeline/gateway.ts'
import { openGeo, type GeoOptions } from './pipeline/geo.ts'
import { plainAddress, type Networks } from './pipeline/networks.ts'
import { noPlugins, type Plugins } from './plugins/plugins.ts'
import { createPortal, type RotateKey } from './portal/portal.ts'
import { Tally } from './portal/tally.ts'
import { createRuntime } from './runtime.ts'
import { createPages } from './server.ts'
import type { Activate, Active } from './store.ts'
import { openAudit } from './telemetry/audit.ts'
import { addUsage, LimitTally } from './telemetry/limits.ts'
import type { Log } from './telemetry/log.ts'
import { Measurements } from './telemetry/measurements.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { createRecorder } from './telemetry/recorder.ts'
import { createReports } from './upstream/load/reports.ts'
import { Names } from './upstream/names.ts'
import { Upstreams, type PoolLimits, type Upstream } from './upstream/pool.ts'
import { reportUpstreams } from './upstream/report.ts'
import { createShielding } from './upstream/shielding.ts'
import { Vault } from './vault.ts'
import type { Asked } from './workers/messages.ts'
import type { Workers } from './workers/primary.ts'

export type Bind = Readonly<{ host: string; port: number }>

/** `files`: what is shown for names whose routes bring no certificate. `wait`: it opens once there is one to show. */
export type HttpsOptions = Readonly<{ bind: Bind; files?: CertificateFiles; wait?: boolean }>

export type ProxyOptions = Readonly<{
  http: Bind
  /** The same over TLS. */
  https?: HttpsOptions
  admin?: Bind
  health?: Bind
  log: Log
  /**
   * Called before the public port opens: a table that is here already is in force for the first request. `settled`
   * resolves once the last one is in force in all workers.
   */
  boot: (activate: Activate, settled?: () => Promise<void>) => Promise<void>
  /** Seconds since a controller last confirmed the table in force. */
  tableAge: () => number
  limits?: PoolLimits
  /** Where the credentials and secrets of the table in force are found. */
  vault?: Vault
  filterDeps?: Partial<FilterDeps>
  /** Follows where the names of URLs lead; it ends with the proxy. */
  names?: Names
  /** Where requests are counted; it ends with the proxy. Without it, in this process. */
  limiter?: Limiter
  /** The operator's own filters; they end with the proxy. */
  plugins?: Plugins
  connections?: ConnectionLimits
  /** Where it is, as the endpoints tell it of themselves. */
  zone?: string | undefined
  /** Hops whose word is taken for where a request came from; they may bring many clients each. */
  trusted?: Networks | undefined
  /** Where callers are: by a database, or by a header of trusted hops. */
  geo?: GeoOptions | undefined
  pace?: PaceLimits
  /** File of the audit log; without it, its records stand in the log. */
  audit?: string | undefined
  /** The pages of a key's holder, at /portal. */
  portal?: boolean | undefined
  /** Gives the holder of a key another one. */
  rotate?: RotateKey | undefined
  /** Processes that the public ports are shared by, this one among them. */
  processes?: number | undefined
  /** They have the public ports, and this process has none. */
  workers?: Workers | undefined
  /** Ports that no call of the gateway's own may lead to, besides its own. */
  closed?: readonly number[]
  /** A port is open; absent: it stands in the log. */
  announce?: (name: string, url: string) => void
}>

/** One proxy, without the source of its tables. */
export type Proxy = Readonly<{
  urls: Readonly<{ http: string; https: string | undefined; admin: string | undefined; health: string | undefined }>
  /** What was counted of the rules that a rollout watches. */
  measured: MeasuredReporterOptions['take']
  /** For the process that this is a worker of. */
  answer(what: Asked): Promise<unknown>
  /** Ends the public port as `drain.ts` says, then the others. False: something in flight had to be cut. */
  drain(options: DrainOptions): Promise<boolean>
  /** At once, whatever is in flight. */
  close(): Promise<void>
}>

export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const { log, workers, announce = (name, url) => log.announce('listening', { name, url }) } = options
  const audit = await openAudit({ file: options.audit, log })
  const vault = options.vault ?? new Vault()
  /** What the gateway calls is never itself. */
  const own: number[] = [...options.closed ?? []]
  const outgoing = createOutgoing({ closed: ownPorts(() => own) })
  const authenticators = authenticatorsOf(vault, {
    outgoing,
    log: (level, message, fields) => log.write(level, message, fields),
  })
  const backendTokens = createBackendTokens({ outgoing, vault })
  // The process that only holds the table for its workers sends nothing to backends.
  const checks = workers === undefined ? new Checks({
    proof: (tenant, terms) => proofFor(tenant, terms, { vault, backendTokens }),
    onChange: ({ healthy, why, ...at }) => log.write(healthy ? 'info' : 'warn', healthy ? 'an endpoint is healthy' : 'an endpoint is unhealthy', { ...at, ...(!healthy && { why }) }),
  }) : undefined
  const { limiter = createLimiter(), names = new Names(), plugins = noPlugins() } = options
  const limitTally = new LimitTally()
  const measurements = new Measurements()
  const shedding = startShedding()
  const mirrors = options.filterDeps?.mirrors ?? new Mirrors({ busy: shedding.busy })
  const caches = options.filterDeps?.caches ?? new Caches(options.processes)
  const reports = createReports<Upstream>({ page: (upstream) => upstream.metricsPage() })
  const runtime = createRuntime({
    balancing: { zone: options.zone, follow: reports.follow },
    upstreams: new Upstreams(options.limits, vault),
    vault,
    ...(workers === undefined && { names }),
    shielding: createShielding({ ...(checks && { checks }), log: (...line) => log.write(...line) }),
    filterDeps: { authenticators, backendTokens, limiter, limitTally, measurements, mirrors, caches, plugins, ...options.filterDeps, audit },
  })
  // Of a process that has workers, theirs: it sends nothing itself.
  const upstreams = (all: boolean) => workers === undefined ? [...reportUpstreams([...runtime.table()?.routes() ?? []].flatMap(({ rules }) => rules), all)] : []
  const metrics = createMetrics({
    series: runtime.series, upstreams: () => upstreams(false), limits: limitTally, mirrors, caches, plugins: plugins.tally, table: runtime.table, tableAge: options.tableAge, ...(workers && { others: () => workers.ask('metrics') }),
  })
  const tally = options.portal === true ? new Tally() : undefined
  const recorder = createRecorder({ log, series: runtime.series, audit, tally })
  const portal = tally && createPortal({ keys: vault, table: runtime.table, tally, rotate: options.rotate })
  const geo = options.geo && await openGeo(options.geo, options.trusted, (...line) => log.write(...line))
  const drain = createDrain()
  const { trusted } = options
  const admission = createAdmission({
    ...(options.connections && { limits: options.connections }),
    exempt: (address) => trusted?.(plainAddress(address)) ?? false,
  })
  const pace = createPace(admission.crowded, options.pace)
  let ending = false
  const draining = () => ending || drain.draining()
  const ready = () => runtime.table() !== undefined && !draining() && (workers?.ready() ?? true)
  const usage = async () => workers === undefined ? limitTally.usage(limiter) : addUsage(await workers.ask('usage'))
  const ownMeasured = workerMeasured(measurements, randomUUID())
  const answer = async (what: Asked): Promise<unknown> =>
    what === 'metrics' ? metrics.snapshots() : what === 'measured' ? ownMeasured() : what === 'mirrors' ? mirrors.report() : what === 'upstreams' ? upstreams(true).map((one) => ({ ...one, pid: process.pid })) : limitTally.usage(limiter)
  const measured = workers === undefined ? (onlyNew: boolean) => measurements.take(onlyNew) : createMeasuredSum(measurements, () => workers.ask('measured'))
  const mirrored = async () => workers === undefined ? mirrors.report() : addReports(await workers.ask('mirrors'))
  const standing = async () => workers === undefined ? upstreams(true) : (await workers.ask('upstreams')).flatMap((told) => Array.isArray(told) ? told as unknown[] : [])
  const admin = { metrics, table: runtime.table, usage, mirrored, upstreams: standing, ready }

  const servers: Server[] = []
  const doors: Door[] = []
  let certificates: ServedCertificates | undefined
  let closed = false
  const start = async (name: string, server: Server, bind: Bind | undefined) => {
    if (bind === undefined) return undefined
    const { url } = await listen(server, bind.host, bind.port)
    servers.push(server)
    announce(name, url)
    return url
  }

  const open = async (name: string, door: Door, bind: Bind) => {
    doors.push(door)
    const { url } = await listen(door.server, bind.host, bind.port)
    announce(name, url)
    drain.add(door)
    return url
  }

  const close = async (): Promise<void> => {
    closed = true
    certificates?.close()
    for (const { server, http1, http2 } of doors) {
      server.close()
      http1.destroy()
      http2.destroy()
    }
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
    metrics.close()
    geo?.close()
    pace.close()
    shedding.close()
    checks?.close()
    names.close()
    reports.close()
    await runtime.close()
    await audit.close()
    await plugins.close()
    await limiter.close()
    await log.flush()
  }

  try {
    // Health first: whoever looks sees a process that is alive and not ready yet.
    const health = await start('health', createHealthServer(admin), options.health)
    const adminUrl = await start('admin', createAdminServer(admin), options.admin)
    for (const url of [health, adminUrl]) if (url !== undefined) own.push(Number(new URL(url).port))
    if (workers !== undefined) {
      await options.boot(publishing(runtime.activate, workers.publish), workers.settled)
      await workers.start({ limiter, closed: own, announce })
      return {
        urls: {
          http: workers.url('http') ?? '',
          get https() {
            return workers.url('https')
          },
          admin: adminUrl,
          health,
        },
        answer,
        measured,
        async drain(drainOptions) {
          ending = true
          const clean = await workers.drain(drainOptions)
          await close()
          return clean
        },
        async close() {
          await workers.close()
          await close()
        },
      }
    }
    const { https: tls } = options
    const say: Parameters<typeof followCertificate>[1] = (...line) => log.write(...line)
    const named = tls && createServedCertificates(tls.files && (await followCertificate(tls.files, say)), (...line) => log.write(...line))
    certificates = named
    await options.boot(named === undefined ? runtime.activate : (next) => {
      const refusals = runtime.activate(next)
      named.follow(next)
      return refusals
    })
    const gateway = createGateway({ runtime, recorder, draining: drain.draining, shed: shedding.shed, trusted, geo: geo?.country, pages: createPages(portal) })
    const http = await open('http', createDoor({ gateway, admission, pace }), options.http)
    let https: string | undefined
    const openTls = async ({ bind }: HttpsOptions) => {
      if (!closed) https = await open('https', createDoor({ gateway, admission, pace, certificates: named }), bind)
    }
    if (tls?.wait) named?.onFirst(() => void openTls(tls).catch((error: unknown) => log.write('error', 'the TLS port cannot be opened', { why: String(error) })))
    else if (tls) await openTls(tls)
    return {
      urls: {
        http,
        get https() {
          return https
        },
        admin: adminUrl,
        health,
      },
      answer,
      measured,
      async drain(drainOptions) {
        const clean = await drain.drain(drainOptions)
        await close()
        return clean
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Builds a table here first: what cannot be built is refused here, and workers are given only what can. */
function publishing(activate: Activate, publish: (active: Active) => void): Activate {
  let last: Active | undefined
  return (next) => {
    const refusals = activate(next)
    const routes = new Map(next.routes)
    for (const { id } of refusals) {
      const good = last?.routes.get(id)
      if (good === undefined) routes.delete(id)
      else routes.set(id, good)
    }
    last = { ...next, routes }
    publish(last)
    return refusals
  }
}
