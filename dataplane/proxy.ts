import type { Server } from 'node:http'
import { createAdminServer, createHealthServer } from './admin.ts'
import { createAnswers } from './asked.ts'
import { Caches } from './cache/caches.ts'
import { createProxyConsole, type ProxyConsole } from './console/opened.ts'
import { createAdmission } from './door/admission.ts'
import { followCertificate } from './door/certificates.ts'
import { createServedCertificates, type ServedCertificates } from './door/served.ts'
import { createDoor, type Door } from './door/port.ts'
import { listen } from './listen.ts'
import { createPace } from './door/pace.ts'
import { createDrain, type DrainOptions } from './drain.ts'
import { authenticatorsOf } from './filters/auth/create.ts'
import { createBackendTokens } from './filters/backend_credentials/tokens.ts'
import { proofFor } from './filters/backend_credentials/proof.ts'
import { Checks } from './health/checks.ts'
import { createLimiter } from './limits/create.ts'
import type { MeasuredReporterOptions } from './measured.ts'
import { Mirrors } from './mirror/mirrors.ts'
import { createOutgoing, ownPorts } from '../outgoing/call.ts'
import { startShedding } from './overload.ts'
import { createGateway } from './pipeline/gateway.ts'
import { openGeo } from './pipeline/geo.ts'
import { plainAddress } from './pipeline/networks.ts'
import { noPlugins } from './plugins/plugins.ts'
import { openPredictions } from './predictions/open.ts'
import { Tally } from './portal/tally.ts'
import { createRuntime } from './runtime.ts'
import { createPages } from './server.ts'
import { openAudit } from './telemetry/audit.ts'
import { LimitTally } from './telemetry/limits.ts'
import { Measurements } from './telemetry/measurements.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { createRecorder } from './telemetry/recorder.ts'
import { createReports } from './upstream/load/reports.ts'
import { Names } from './upstream/names.ts'
import { Upstreams, type Upstream } from './upstream/pool.ts'
import { reportUpstreams } from './upstream/report.ts'
import { createShielding } from './upstream/shielding.ts'
import { BodyChecks } from './validation/body_checks.ts'
import { Vault } from './vault.ts'
import type { Asked } from './workers/messages.ts'
import type { Bind, HttpsOptions, ProxyOptions } from './proxy_options.ts'
import { publishing } from './workers/publishing.ts'

/** One proxy, without the source of its tables. */
export type Proxy = Readonly<{
  urls: Readonly<{ http: string; https: string | undefined; admin: string | undefined; health: string | undefined }>
  /** What was counted of the rules that a rollout watches. */
  measured: MeasuredReporterOptions['take']
  /** What it shows to who looks. */
  look: ProxyConsole['state']
  /** For the process that this is a worker of. */
  answer(what: Asked): Promise<unknown>
  /** Ends the public port as `drain.ts` says, then the others. False: something in flight had to be cut. */
  drain(options: DrainOptions): Promise<boolean>
  /** At once, whatever is in flight. */
  close(): Promise<void>
}>

export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const { log, workers, announce = (name, url) => log.announce('listening', { name, url }) } = options
  const audit = await openAudit({ file: options.audit, log, kept: options.kept })
  const { prices } = options
  const usage = options.ledger && (await import('./telemetry/ledger/open.ts')).openUsage(options.ledger, workers === undefined, log)
  const ledger = usage?.ledger
  const vault = options.vault ?? new Vault()
  /** What the gateway calls is never itself. */
  const own: number[] = [...options.closed ?? []]
  const outgoing = createOutgoing({ closed: ownPorts(() => own) })
  const authenticators = authenticatorsOf(vault, { outgoing, log: (level, message, fields) => log.write(level, message, fields) })
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
  const predictions = options.filterDeps?.predictions ?? await openPredictions(workers === undefined ? options.predictions : undefined, log, shedding.busy)
  const caches = options.filterDeps?.caches ?? new Caches(options.processes, workers === undefined ? options.answers : undefined, (message, fields) => log.write('warn', message, fields))
  const bodyChecks = new BodyChecks()
  const reports = createReports<Upstream>({ page: (upstream) => upstream.metricsPage() })
  const runtime = createRuntime({
    balancing: { zone: options.zone, follow: reports.follow },
    upstreams: new Upstreams(options.limits, vault),
    vault,
    ...(workers === undefined && { names }),
    shielding: createShielding({ ...(checks && { checks }), log: (...line) => log.write(...line) }),
    filterDeps: { metering: ledger && { prices }, authenticators, backendTokens, limiter, limitTally, measurements, mirrors, predictions, caches, plugins, bodyChecks, ...options.filterDeps, audit },
  })
  // Of a process that has workers, theirs: it sends nothing itself.
  const rulesInForce = () => [...runtime.table()?.routes() ?? []].flatMap(({ rules }) => rules)
  const upstreams = (all: boolean) => workers === undefined ? [...reportUpstreams(rulesInForce(), all)] : []
  const spans = { exported: 0, failed: 0, dropped: 0 }
  const metrics = createMetrics({
    ledger: usage?.state, series: runtime.series, upstreams: () => workers === undefined ? reportUpstreams(rulesInForce(), false) : [], limits: limitTally, mirrors, predictions, caches, tidy: () => limitTally.tidy([...runtime.table()?.routes() ?? []].flatMap(({ route }) => route.rules)), plugins: plugins.tally, checks: bodyChecks.tally, spans, table: runtime.table, tableAge: options.tableAge, ...(workers && { others: (scrape: number) => workers.ask({ scrape }) }),
  })
  const tally = options.portal === true ? new Tally() : undefined
  const recorder = createRecorder({ log, series: runtime.series, audit, callers: limitTally.callers, tally, ledger, prices })
  const portal = tally && (await import('./portal/portal.ts')).createPortal({ keys: vault, table: runtime.table, tally, rotate: options.rotate })
  const geo = options.geo && await openGeo(options.geo, options.trusted, (...line) => log.write(...line))
  // A process that has workers gets no requests itself.
  const traces = options.tracing && workers === undefined ? await (await import('./telemetry/tracing/open.ts')).openTracing(options.tracing, { log, tally: spans }) : undefined
  const drain = createDrain()
  const { trusted } = options
  const admission = createAdmission({
    ...(options.connections && { limits: options.connections }),
    exempt: (address) => trusted?.(plainAddress(address)) ?? false,
  })
  const pace = createPace(admission.crowded, options.pace)
  let ending = false
  const draining = () => ending || drain.draining()
  const ready = () => runtime.table() !== undefined && !draining() && options.waits?.() !== true && (workers?.ready() ?? true)
  const pages = createPages(portal)
  const look = createProxyConsole({
    series: runtime.series, limits: limitTally, limiter, measurements, caches, table: runtime.table, tableAge: options.tableAge, ready,
    others: workers && ((what) => workers.ask({ look: what })),
  })
  const { answer, measured, admin: asked } = createAnswers({
    caches, console: look, limiter, limitTally, measurements, metrics, mirrors, predictions, upstreams: () => upstreams(true), workers,
    explained(question) {
      const table = runtime.table()
      return table && import('./explain/explain.ts').then(({ explain }) => explain(table, question, { geo: geo?.country, trusted, pages }))
    },
  })
  const admin = { ...asked, metrics, table: runtime.table, ready }

  const servers: Server[] = []
  const doors: Door[] = []
  let certificates: ServedCertificates | undefined
  let inward: ServedCertificates | undefined
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
    inward?.close()
    for (const { server, http1, http2 } of doors) {
      server.close()
      http1.destroy()
      http2.destroy()
    }
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
    for (const part of [metrics, look, pace, shedding, names, reports]) part.close()
    geo?.close()
    checks?.close()
    await runtime.close()
    await audit.close()
    await predictions.close()
    await usage?.close()
    await plugins.close()
    await bodyChecks.close()
    await limiter.close()
    caches.close()
    await traces?.close()
    await log.flush()
  }

  try {
    // Health first: whoever looks sees a process that is alive and not ready yet.
    const health = await start('health', createHealthServer(admin), options.health)
    const adminUrl = await start('admin', createAdminServer(admin), options.admin)
    for (const url of [health, adminUrl]) if (url !== undefined) own.push(Number(new URL(url).port))
    if (workers !== undefined) {
      await options.boot(publishing(runtime.activate, workers.publish), workers.settled, runtime.prepare)
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
        answer, measured, look: look.state,
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
    }, undefined, runtime.prepare)
    const gateway = createGateway({ runtime, recorder, tracing: traces?.tracing, draining: drain.draining, shed: shedding.shed, trusted, geo: geo?.country, pages })
    const http = await open('http', createDoor({ gateway, admission, pace }), options.http)
    let https: string | undefined
    const openTls = async ({ bind }: HttpsOptions) => {
      if (!closed) https = await open('https', createDoor({ gateway, admission, pace, certificates: named }), bind)
    }
    if (options.sidecars) {
      const { bind, files } = options.sidecars
      inward = createServedCertificates(await followCertificate(files, say), (...line) => log.write(...line))
      await open('sidecars', createDoor({ gateway, admission, pace, certificates: inward }), bind)
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
      answer, measured, look: look.state,
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
