import { createOutgoing, ownPorts } from '../outgoing/call.ts'
import type { FromController, FromProxy, Link, Rotate, Rotated } from '../table/messages.ts'
import { createAccess } from './actions/access.ts'
import { createObey } from './actions/obey.ts'
import { createCompiler } from './compile/compile.ts'
import type { Compiled } from './compile/compiled.ts'
import type { HostnameBinding } from './compile/ownership.ts'
import { createFleet } from './console/fleet.ts'
import { History } from './console/history.ts'
import { listenControl } from './control.ts'
import type { ClusterOptions } from './modes/cluster.ts'
import { fileMode } from './modes/files.ts'
import type { Mode } from './modes/mode.ts'
import type { TlsFiles } from './push/credentials.ts'
import { keyProblems } from './key-problems.ts'
import { pepperFrom } from './pepper.ts'
import { Publisher } from './push/publish.ts'
import { listenPush, type PushServer } from './push/server.ts'
import type { Log } from './log.ts'
import { createAnalyst } from './rollout/analyst.ts'
import { createAskOutside } from './rollout/analysis/outside.ts'
import { MeasurementStore } from './rollout/measurements.ts'
import type { News } from './rollout/machine.ts'
import { Rollouts, type About } from './rollout/rollouts.ts'
import { freshKey } from './rotation.ts'
import type { Snapshot } from './sources/snapshot.ts'
import type { Progress } from './status.ts'
import { Statuses, type View } from './statuses.ts'
import { createControllerMetrics, type ControllerMetrics } from './telemetry/metrics.ts'

export type { HostnameBinding } from './compile/ownership.ts'

export type ControllerOptions = Readonly<{
  /** Where resources come from: manifests, watched, or a cluster. */
  source: Readonly<{ files: readonly string[]; stateDir?: string | undefined }> | Readonly<{ cluster: ClusterOptions }>
  /** Without it nothing listens for proxies: the only one is in this process. */
  push?: Readonly<{ host: string; port: number; tls?: TlsFiles | undefined; insecure: boolean; sidecars?: readonly string[] }> | undefined
  control: Readonly<{ host: string; port: number }>
  /** Lets pages give commands, with tokens of the cluster; over files with the one in `tokenFile`, or one made in `stateDir`. */
  actions?: Readonly<{ tokenFile?: string | undefined }> | undefined
  /** Names of the control port, where something in front of it encrypts. */
  consoleHosts?: readonly string[] | undefined
  /** Hosts that URL backends may name. */
  allowUrls: readonly string[]
  allowUnmanagedEndpointSlices: boolean
  /** File with what API keys are digested with; without it, a cluster keeps its own, and files one for each process. */
  pepper?: string | undefined
  hostnameBindings?: readonly HostnameBinding[] | undefined
  /** The fleets there are, where that is known: a route for another is refused instead of waiting for it. */
  gateways?: readonly string[] | undefined
  log: Log
  /** Called once the sources have been read and sent for the first time: what that left behind may go. */
  read?: () => void
  /** Says where a server listens. */
  listening: (name: 'push' | 'control', url: string) => void
}>

export type Controller = Readonly<{
  urls: Readonly<{ push: string | undefined; control: string }>
  /** Takes a proxy of this process. */
  accept(link: Link<FromController, FromProxy>): void
  /** Resolves when the sources have been read for the first time, their table is published and proxies can dial in. */
  started: Promise<void>
  close(): Promise<void>
}>

/** How much is in force of all fleets together. */
function sizeOf({ routes }: Compiled): Readonly<{ routes: number; rules: number }> {
  let rules = 0
  for (const { rules: each } of routes.values()) rules += each.length
  return { routes: routes.size, rules }
}

type Compile = ReturnType<typeof createCompiler>

/** Acknowledgements come in bursts, one a proxy: their statuses are worked out once for all of them. Milliseconds. */
const SETTLE = 5
/** When all of thousands of statuses are worked out, as when a proxy comes, that is done a quarter of the time at most. */
const SETTLE_SHARE = 3
const SETTLE_MAX = 1_000

/** The client library costs 40 MiB and a fifth of a second, which only a cluster is worth. */
async function overCluster(options: ClusterOptions, log: Log, called: ControllerMetrics['called']): Promise<Mode> {
  const { clusterMode } = await import('./modes/cluster.ts')
  return clusterMode(options, log, called)
}

/** source → compile → push, and back again what became of it. */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { log, source } = options
  const overFiles = 'files' in source
  const store = new MeasurementStore()
  const publisher = new Publisher({ log, rotate, measured: store.take, order: () => mode.order(), behind: (order, ms) => mode.surpass(order, ms) })
  async function rotate(request: Rotate): Promise<Rotated['outcome']> {
    const fresh = latest ? freshKey(request, latest.snapshot.secrets, mode.clock.date().getTime()) : 'the controller is starting'
    if (typeof fresh === 'string') return { problem: fresh }
    const problem = await mode.makeKey(fresh.key)
    return problem === undefined ? { name: fresh.key.name, until: fresh.until } : { problem }
  }
  const metrics = createControllerMetrics({
    proxies: () => publisher.counts(), rollouts: () => rollouts, judgements: () => analyst.judgements(),
    leading: () => mode.leading(), observed: () => mode.observed(), latest: () => latest && { compiled: latest.compiled, at: takenAt },
  })
  const given = options.pepper === undefined ? undefined : await pepperFrom(options.pepper)
  const compileOptions = {
    allowUrls: options.allowUrls,
    allowLoopback: overFiles,
    allowUnmanagedEndpointSlices: overFiles || options.allowUnmanagedEndpointSlices,
    ...(options.hostnameBindings && { hostnameBindings: options.hostnameBindings }),
    ...(options.gateways && { gateways: options.gateways }),
  }
  const mode = overFiles ? fileMode(source.files, source.stateDir, options.actions?.tokenFile, log) : await overCluster(source.cluster, log, (call) => metrics.called(call))
  const statuses = new Statuses()
  const history = new History()
  const tellOfKeys = keyProblems(log)
  /** Of this process: what a route says must not lead to them. */
  const own: number[] = []
  const outgoing = createOutgoing({ closed: ownPorts(() => own) })
  const analyst = createAnalyst({ store, ask: createAskOutside(outgoing), wake: () => rollouts.wake() })
  const rollouts: Rollouts = new Rollouts({
    clock: mode.clock,
    analyst,
    leading: () => mode.leading(),
    moved: () => again(),
    changed(route) {
      if (route === undefined) progressed = undefined
      else progressed?.add(route)
      soon()
    },
    history: (route) => mode.history(route),
    claim: (route, rule, text) => mode.claim(route, rule, text),
    handled: (route, rule, text) => mode.handled(route, rule, text),
    tell,
  })
  function tell(route: About, rule: string, news: News): void {
    const { type, reason, message } = news
    log(type === 'Warning' ? 'warn' : 'info', 'rollout', { route: `${route.namespace}/${route.name}`, rule, reason, message })
    history.add(`${route.namespace}/${route.name}`, rule, news, mode.clock.date())
    mode.tell(route, rule, news)
  }

  let latest: Pick<View, 'snapshot' | 'compiled'> | undefined
  let changedAt: number | undefined
  let takenAt = 0
  /** Routes of whose rollouts something is to be reported; undefined: any. */
  let progressed: Set<string> | undefined
  /** Milliseconds that the last report took. */
  let reporting = 0
  let settling: NodeJS.Timeout | undefined
  let closed = false
  let compile: Compile | undefined
  let taking = false
  let moving: NodeJS.Immediate | undefined

  const view = (): View | undefined =>
    latest && { ...latest, proxies: publisher.proxies(), hashes: (gateway) => publisher.hashes(gateway), progress }

  function progress(route: string): Progress {
    const uid = latest?.snapshot.modelRoutes.get(route)?.uid ?? ''
    return { states: rollouts.states(route), revision: mode.revision(route, uid) }
  }

  /** What changed is reported with what changes next. */
  function soon(): void {
    settling ??= setTimeout(settle, Math.max(SETTLE, Math.min(SETTLE_MAX, reporting * SETTLE_SHARE)))
  }

  /** The shares in force moved, of one rule or of hundreds: all that move in one turn are compiled together. */
  function again(): void {
    if (taking) return
    moving ??= setImmediate(() => {
      moving = undefined
      if (latest && compile && !closed) take(compile, latest.snapshot)
    })
  }

  function settle(): void {
    settling = undefined
    const current = view()
    if (current === undefined || closed) return
    const { connected, current: upToDate } = publisher.counts()
    if (changedAt !== undefined && connected > 0 && upToDate === connected) {
      metrics.acknowledged((performance.now() - changedAt) / 1000)
      changedAt = undefined
    }
    const begin = performance.now()
    mode.report({ ...current, progressed })
    progressed = new Set()
    reporting = performance.now() - begin
    tellOfKeys(current.compiled.apiKeys)
  }

  function take(compile: Compile, snapshot: Snapshot): void {
    const begin = performance.now()
    taking = true
    let compiled = compile({ ...snapshot, rollouts: rollouts.table })
    // What is seen for the first time, or edited, says how far it is allowed to go at once.
    for (let turns = 0; rollouts.take(snapshot, compiled) && turns < 3; turns++) compiled = compile({ ...snapshot, rollouts: rollouts.table })
    taking = false
    metrics.compiled((performance.now() - begin) / 1000)
    if (latest === undefined) setTimeout(() => options.read?.(), SETTLE_MAX).unref()
    latest = { snapshot, compiled }
    takenAt = begin
    if (publisher.publish(compiled.fleets)) changedAt = begin
    soon()
  }

  publisher.onChange(soon)

  const names = (options.consoleHosts ?? []).map((name) => name.toLowerCase())
  const identify = options.actions && await mode.identify()
  const obey = createObey({
    route: (key) => ({ resource: latest?.snapshot.modelRoutes.get(key), outcome: latest?.compiled.routes.get(key) }),
    mode, rollouts, tell, log,
  })

  const isReady = () => latest !== undefined && (options.push === undefined || push !== undefined)
  const fleet = createFleet({
    proxies: () => publisher.proxies().filter(({ namespace }) => namespace === undefined),
    version: (gateway) => publisher.version(gateway),
    table: () => latest && sizeOf(latest.compiled),
    ready: isReady,
    rollouts: () => ({
      rollouts, judgements: analyst.judgements(), counted: (step) => store.sum(step),
      history: (route, rule) => history.of(route, rule),
      revision: (route) => mode.revision(route, latest?.snapshot.modelRoutes.get(route)?.uid ?? ''),
    }),
    actions: identify === undefined
      ? { enabled: false, why: 'Commands are off here; --console-actions turns them on.' }
      : { enabled: true, url: 'rollout', session: 'console/session', token: overFiles ? 'file' : 'kubernetes' },
  })

  let push: PushServer | undefined
  const control = await listenControl({
    ...options.control,
    ready: isReady,
    status: () => {
      const current = view()
      return { items: current ? statuses.items(current, mode.clock.date()) : [], problems: mode.problems() }
    },
    metrics: (request, response) => metrics.scrape(request, response),
    names,
    look: fleet,
    commands: { access: createAccess({ identify, overFiles, names }), obey },
  })
  options.listening('control', control.url)
  own.push(Number(new URL(control.url).port))

  const accept = (link: Link<FromController, FromProxy>, confided: boolean, namespace?: string) => publisher.accept(link, confided, namespace)
  async function listen(): Promise<void> {
    if (options.push === undefined) return
    try {
      push = await listenPush({ ...options.push, tls: mode.credentials ?? options.push.tls, accept, log })
      options.listening('push', push.url)
      own.push(Number(new URL(push.url).port))
    } catch (error) {
      if (!closed) throw error
    }
  }
  const listening = listen()
  // Certificates of its own making take as long as the API server is away, and nothing else waits for them.
  if (mode.credentials === undefined) await listening
  async function read(): Promise<void> {
    const compiler = createCompiler({ ...compileOptions, pepper: given ?? (await mode.pepper()) })
    compile = compiler
    if (!closed) await mode.start((snapshot) => take(compiler, snapshot), rollouts)
  }
  const started = Promise.all([read(), listening])

  return {
    urls: {
      get push() {
        return push?.url
      },
      control: control.url,
    },
    accept: (link) => accept(link, true),
    started: started.then(() => {}),
    async close() {
      closed = true
      clearTimeout(settling)
      clearImmediate(moving)
      rollouts.stop()
      publisher.close()
      await Promise.all([mode.stop(), listening.then(() => push?.close(), () => {}), control.close()])
    },
  }
}
