import { fork, spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { adopt, temporaryFolder } from '../../test/cluster/process.ts'
import { startControlPlane, type ControlPlane } from '../../test/cluster/control-plane.ts'
import { pause, until } from '../../test/cluster/wait.ts'
import { authority } from '../../test/certificates.ts'
import { cache, cpuOf, parsed } from '../processes.ts'
import { freePorts } from '../../test/free-ports.ts'
import type { FromFleet, Sums, ToFleet } from './messages.ts'
import { makeNamespaces } from './world.ts'

const root = join(import.meta.dirname, '../..')

export type Program = Readonly<{ pid: number; stop(signal?: NodeJS.Signals): Promise<void>; log: string }>

/** A program of ours, ended with this one at the latest. */
function run(name: string, folder: string, words: readonly string[], env: NodeJS.ProcessEnv, flags: readonly string[]): Program {
  const log = join(folder, `${name}-${Date.now()}.log`)
  const child = spawn('sh', ['-c', `exec "$@" >${log} 2>&1`, 'sh', process.execPath, ...flags, join(root, 'cli/modelroute.js'), ...words], {
    stdio: 'ignore', env: { ...process.env, ...env },
  })
  adopt(child)
  const ended = once(child, 'exit')
  return {
    pid: child.pid ?? 0, log,
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
      await ended
      clearTimeout(timer)
    },
  }
}

/** In PEM. */
type Tls = Readonly<{ cert: string; key: string; ca: string }>

/** The process with the simulated proxies. */
export class Fleet {
  readonly #child: ChildProcess
  readonly #tls: Tls
  readonly #url: string

  constructor(url: string, tls: Tls) {
    this.#url = url
    this.#tls = tls
    this.#child = fork(join(import.meta.dirname, 'fleet.ts'))
    adopt(this.#child)
    this.#child.setMaxListeners(0)
  }

  end(): void {
    this.#child.kill()
  }

  #heard<K extends FromFleet['said']>(said: K, fits: (message: Extract<FromFleet, { said: K }>) => boolean = () => true, limit = 60_000): Promise<Extract<FromFleet, { said: K }>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the simulated proxies did not say ${said} within ${limit} ms`)), limit)
      const hear = (message: FromFleet): void => {
        if (!is(message, said) || !fits(message)) return
        clearTimeout(timer)
        this.#child.off('message', hear)
        resolve(message)
      }
      this.#child.on('message', hear)
    })
  }

  #say(message: ToFleet): void {
    this.#child.send(message)
  }

  /** Resolves when all of them have a whole table; `first`: when the first did. */
  async dial(count: number): Promise<Extract<FromFleet, { said: 'whole' }>> {
    const whole = this.#heard('whole', undefined, 120_000)
    this.#say({ do: 'dial', url: this.#url, count, ...this.#tls })
    return whole
  }

  acknowledged(route: string, generation: number): Promise<Extract<FromFleet, { said: 'acknowledged' }>> {
    const heard = this.#heard('acknowledged', (message) => message.route === route && message.generation === generation)
    this.#say({ do: 'await', route, generation })
    return heard
  }

  async sums(): Promise<Sums> {
    const heard = this.#heard('sums')
    this.#say({ do: 'sums' })
    return (await heard).sums
  }

  async hangUp(): Promise<void> {
    const heard = this.#heard('gone')
    this.#say({ do: 'hang-up' })
    await heard
  }
}

function is<K extends FromFleet['said']>(message: FromFleet, said: K): message is Extract<FromFleet, { said: K }> {
  return message.said === said
}

export type Rig = Readonly<{
  cluster: ControlPlane
  fleet: Fleet
  /** Routes that there are already. */
  made: number
  close(): Promise<void>
  control: string
  controller(): Program
  startController(): void
  /** A proxy as it is in a cluster, with a probe of its event loop. */
  startProxy(name: string, gateway: string): Promise<RealProxy>
}>

export type RealProxy = Readonly<{
  program: Program
  /** What it stalled since the last look (ms), and its heap after garbage collection (MiB). */
  seen(): Promise<Readonly<{ most: number; heap: number }>>
}>

/** Where a cluster with so many routes is kept for the next run: to make them takes a minute. */
function seedOf(routes: number): string {
  const files = ['world.ts', '../../crds/modelroutes.modelroute.io.yaml'].map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
  return join(cache, `scale-${routes}-told-${createHash('sha256').update(files.join('')).digest('hex').slice(0, 12)}`)
}

/** Keeps the cluster as it is for the next run. */
export async function keepSeed({ cluster }: Rig, routes: number): Promise<void> {
  const seed = seedOf(routes)
  await cluster.apiServer.kill('SIGTERM')
  await cluster.etcd.kill('SIGTERM')
  rmSync(`${seed}.new`, { recursive: true, force: true })
  cpSync(join(cluster.folder, 'etcd'), `${seed}.new`, { recursive: true })
  renameSync(`${seed}.new`, seed)
  await cluster.etcd.start()
  await cluster.apiServer.start()
}

/** @param routes that the cluster is to have from the beginning, where a run before kept them */
export async function startRig(controllerFlags: readonly string[], routes = 0): Promise<Rig> {
  const seed = routes > 0 && existsSync(seedOf(routes)) ? seedOf(routes) : undefined
  const cluster = await startControlPlane({ etcdData: seed })
  const folder = temporaryFolder('scale')
  const ca = authority('scale')
  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }
  const [push = 0, control = 0] = await freePorts(2)
  const server = ca.issue('controller', ['127.0.0.1', 'localhost'])
  const client = ca.issue('proxy')
  const caFile = file('ca.crt', ca.cert)
  const crds = ['modelroutes', 'ratelimitpolicies'].map((name) => readFileSync(join(root, `crds/${name}.modelroute.io.yaml`), 'utf8'))
  for (const crd of crds) await cluster.apply(crd)
  await until('the resources', async () => (await cluster.api.find('/apis/modelroute.io/v1alpha1/modelroutes')) !== undefined)
  if (seed === undefined) await makeNamespaces(cluster)
  const serverFiles = ['--tls-cert', file('server.crt', server.cert), '--tls-key', file('server.key', server.key), '--client-ca', caFile]
  const clientFiles = ['--tls-cert', file('client.crt', client.cert), '--tls-key', file('client.key', client.key), '--client-ca', caFile]
  const url = `https://127.0.0.1:${push}`
  let controller: Program | undefined
  const fleet = new Fleet(url, { cert: client.cert, key: client.key, ca: ca.cert })
  let proxies = 0
  return {
    cluster, fleet,
    made: seed === undefined ? 0 : routes,
    async close() {
      await controller?.stop()
      fleet.end()
      await cluster.stop()
    },
    control: `http://127.0.0.1:${control}`,
    controller() {
      if (controller === undefined) throw new Error('no controller was started')
      return controller
    },
    startController() {
      controller = run('controller', folder, [
        'controller', '--kubeconfig', cluster.kubeconfig, '--lease-namespace', 'default', '--host', '127.0.0.1',
        '--push-port', String(push), '--control-port', String(control), ...serverFiles,
      ], {}, controllerFlags)
    },
    async startProxy(name, gateway) {
      const [admin = 0] = await freePorts(1)
      const told = join(folder, `${name}-${++proxies}.json`)
      const program = run(name, folder, [
        'dataplane', '--controller', url, '--gateway', gateway, '--http-port', '0', '--health-port', '0', '--admin-port', String(admin), '--host', '127.0.0.1',
        '--state-dir', join(folder, `${name}-${proxies}`), ...clientFiles,
      ], { MODELROUTE_STALL: told }, ['--expose-gc', '--import', join(import.meta.dirname, 'stall.ts')])
      const ready = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined))?.ok === true
      await until(`proxy ${name}`, ready, { timeout: 60_000 })
      return {
        program,
        async seen() {
          rmSync(told, { force: true })
          process.kill(program.pid, 'SIGUSR2')
          for (;;) {
            await pause(20)
            try {
              return parsed<{ most: number; heap: number }>(readFileSync(told, 'utf8'))
            } catch {
              // Not written yet, or half.
            }
          }
        },
      }
    },
  }
}

/** The controller's metrics, by name and labels as they are written. */
export async function metricsOf({ control }: Rig): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${control}/metrics`)).text()
  return new Map(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => {
    const at = line.lastIndexOf(' ')
    return [line.slice(0, at), Number(line.slice(at + 1))]
  }))
}

/**
 * It leads, and of what it has to write there are only counts left, which it takes its time for: 100 seconds for those of 5,000
 * routes. `written`: neither are there.
 */
export async function quiet(rig: Rig, { written = false }: Readonly<{ written?: boolean }> = {}): Promise<void> {
  const queues = ['revisions', ...(written ? ['statuses'] : [])]
  let still = 0
  let cpu = await cpuOf(rig.controller().pid)
  await until('nothing more to do', async () => {
    const metrics = await metricsOf(rig).catch(() => new Map<string, number>())
    const used = await cpuOf(rig.controller().pid)
    const idle = used - cpu < 120_000 && queues.every((queue) => metrics.get(`modelroute_queue_depth{queue="${queue}"}`) === 0)
    cpu = used
    still = idle && metrics.get('modelroute_leader') === 1 ? still + 1 : 0
    return still >= 3
  }, { timeout: 240_000, every: 400 })
}
