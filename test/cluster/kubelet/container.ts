// One container: its process, its probes, its restarts and its end.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { adopt } from '../process.ts'
import { pause } from '../wait.ts'
import { NotYet } from './env.ts'
import { attempt } from './probe.ts'
import type { ContainerSpec, Probe } from './spec.ts'

/** What to spawn, computed anew for each start, since what it refers to may have changed. */
export type Launch = Readonly<{
  /** Command words that enter the Pod's namespaces. */
  enter: readonly string[]
  podFolder: string
  hostName: string
  readOnly: boolean
  /** The folder that is /app. */
  repository: string
  workingDir: string
  /** `setpriv …` words, or none. */
  identity: readonly string[]
  /** The folders that are the image, upper ones first, and `user:group` and groups of its process. */
  image?: Readonly<{ layers: readonly string[], user: string, groups: string }>
  command: readonly string[]
  env: Readonly<Record<string, string>>
}>

export type Host = Readonly<{
  ip: string
  logFile: string
  restart: 'Always' | 'OnFailure' | 'Never'
  /** terminationGracePeriodSeconds. */
  grace: number
  launch: () => Promise<Launch>
  changed: () => void
}>

type Terminated = { exitCode: number, reason: string, startedAt: string, finishedAt: string, message?: string }
type State =
  | { waiting: { reason: string, message?: string } }
  | { running: { startedAt: string } }
  | { terminated: Terminated }

const script = join(import.meta.dirname, 'container.sh')
const imageScript = join(import.meta.dirname, 'image.sh')
/** The kubelet's back-off is 10 s doubling to 5 min; a test has no time for that. */
const backoff = { first: 250, most: 5_000, forgottenAfter: 10_000 }
/** Until a container is first ready its probes run this often, whatever their period, so that tests need not wait. */
const eager = 100
const { signals } = constants

export class Container {
  readonly spec: ContainerSpec
  state: State = { waiting: { reason: 'ContainerCreating' } }
  lastState: State | undefined
  ready = false
  started = false
  restarts = 0
  #host: Host
  #child: ChildProcess | undefined
  #pid: number | undefined
  #launch: Launch | undefined
  #killed = false
  #stopping = new AbortController()

  constructor(spec: ContainerSpec, host: Host) {
    this.spec = spec
    this.#host = host
  }

  /** Runs and restarts it as its policy says; resolves with the last exit code once it will not run again. */
  async run(): Promise<number> {
    let delay = backoff.first
    for (;;) {
      const began = performance.now()
      const code = await this.#once()
      const { restart } = this.#host
      const done = restart === 'Never' || (restart === 'OnFailure' && code === 0)
      if (done || this.#stopping.signal.aborted) return code ?? 0
      if (code !== undefined) {
        this.lastState = this.state
        if (performance.now() - began > backoff.forgottenAfter) delay = backoff.first
        const message = `back-off ${delay}ms restarting failed container`
        this.#set({ waiting: { reason: 'CrashLoopBackOff', message } })
      }
      await Promise.race([pause(delay), this.#stopped()])
      delay = Math.min(delay * 2, backoff.most)
      if (this.#stopping.signal.aborted) return code ?? 0
      if (code !== undefined) this.restarts += 1
    }
  }

  /** The exit code, or undefined when it could not be started at all. */
  async #once(): Promise<number | undefined> {
    let launch
    try {
      launch = await this.#host.launch()
    } catch (error) {
      const reason = error instanceof NotYet ? 'CreateContainerConfigError' : 'RunContainerError'
      this.#set({ waiting: { reason, message: error instanceof Error ? error.message : String(error) } })
      return undefined
    }
    if (this.#stopping.signal.aborted) return undefined
    const log = openSync(this.#host.logFile, 'a')
    const { image } = launch
    const [command = '', ...args] = [
      ...launch.enter, 'unshare', '--mount', '--pid', '--uts', '--fork', '--kill-child', 'sh',
      ...image ? [imageScript] : [script], launch.podFolder, this.spec.name, launch.hostName,
      image ? image.layers.join(':') : launch.repository, launch.readOnly ? 'ro' : 'rw',
      ...image ? [image.user, image.groups] : [launch.workingDir, ...launch.identity], ...launch.command,
    ]
    const child = spawn(command, args, { stdio: ['ignore', log, log, 'pipe'], env: launch.env })
    closeSync(log)
    adopt(child)
    this.#child = child
    this.#launch = launch
    this.#killed = false
    const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
    const ready = await Promise.race([once(child.stdio[3]!, 'data').then(() => true), exit.then(() => false)])
    const startedAt = now()
    if (ready) {
      // unshare stays as the parent of the container's first process.
      this.#pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')[0])
      this.#set({ running: { startedAt } })
    }
    const alive = new AbortController()
    if (ready) void this.#watch(alive.signal)
    const [code, signal] = await exit
    alive.abort()
    this.#child = undefined
    this.#pid = undefined
    this.ready = false
    this.started = false
    // Some versions of unshare end with 1 instead of SIGKILL when that was how their child ended.
    const exitCode = this.#killed && code === 1 ? 137 : code ?? 128 + signals[signal!]
    const message = this.spec.terminationMessagePolicy === 'FallbackToLogsOnError' && exitCode !== 0
    this.#set({
      terminated: {
        exitCode, startedAt, finishedAt: now(),
        reason: !ready ? 'StartError' : exitCode === 0 ? 'Completed' : 'Error',
        ...message ? { message: this.tail(20).slice(-2048) } : {},
      },
    })
    return exitCode
  }

  async #watch(alive: AbortSignal): Promise<void> {
    const { startupProbe, readinessProbe, livenessProbe, lifecycle } = this.spec
    if (lifecycle?.postStart) {
      const failed = await attempt(lifecycle.postStart, this, 30_000)
      if (failed !== undefined && !alive.aborted) return await this.#kill(this.#host.grace)
    }
    if (startupProbe) {
      const passed = await this.#startup(startupProbe, alive)
      if (alive.aborted) return
      if (!passed) return await this.#kill(this.#host.grace)
    }
    this.started = true
    this.ready = readinessProbe === undefined
    this.#host.changed()
    if (readinessProbe) void this.#readiness(readinessProbe, alive)
    if (livenessProbe) void this.#liveness(livenessProbe, alive)
  }

  /** Fails once as much time has passed as the probe's failures would have taken. */
  async #startup(probe: Probe, alive: AbortSignal): Promise<boolean> {
    const { failureThreshold = 3, periodSeconds = 10, initialDelaySeconds = 0 } = probe
    const deadline = performance.now() + (initialDelaySeconds + failureThreshold * periodSeconds) * 1000
    while (!alive.aborted) {
      if (await this.#attempt(probe) === undefined) return true
      if (performance.now() > deadline) return false
      await sleep(eager, alive)
    }
    return false
  }

  async #readiness(probe: Probe, alive: AbortSignal): Promise<void> {
    const { failureThreshold = 3, successThreshold = 1, periodSeconds = 10 } = probe
    let first = true
    let run = 0
    let last: boolean | undefined
    while (!alive.aborted) {
      const good = await this.#attempt(probe) === undefined
      if (alive.aborted) return
      run = good === last ? run + 1 : 1
      last = good
      if (good !== this.ready && run >= (good ? successThreshold : failureThreshold)) {
        this.ready = good
        first = false
        this.#host.changed()
      }
      await sleep(first ? eager : periodSeconds * 1000, alive)
    }
  }

  async #liveness(probe: Probe, alive: AbortSignal): Promise<void> {
    const { failureThreshold = 3, periodSeconds = 10, initialDelaySeconds = 0 } = probe
    await sleep(initialDelaySeconds * 1000, alive)
    for (let failures = 0; !alive.aborted;) {
      failures = await this.#attempt(probe) === undefined ? 0 : failures + 1
      if (alive.aborted || this.#stopping.signal.aborted) return
      if (failures >= failureThreshold) return await this.#kill(this.#host.grace)
      await sleep(periodSeconds * 1000, alive)
    }
  }

  #attempt(probe: Probe): Promise<string | undefined> {
    return attempt(probe, this, (probe.timeoutSeconds ?? 1) * 1000)
  }

  get container(): ContainerSpec {
    return this.spec
  }

  get ip(): string {
    return this.#host.ip
  }

  /** Runs a command inside, as the container's user and with its environment; resolves with the exit code. */
  exec = async (command: readonly string[], signal: AbortSignal): Promise<number> => {
    const launch = this.#launch
    if (!launch || this.#pid === undefined) return 126
    const log = openSync(this.#host.logFile, 'a')
    const [program = '', ...args] = [
      ...launch.enter, 'nsenter', '-t', `${this.#pid}`, '-m', '-p', '-u', '-r', `--wd=${launch.workingDir}`,
      ...launch.identity, ...command,
    ]
    const child = spawn(program, args, { stdio: ['ignore', log, log], env: launch.env, signal, killSignal: 'SIGKILL' })
    closeSync(log)
    adopt(child)
    const [code] = await once(child, 'exit') as [number | null]
    return code ?? 137
  }

  /** preStop, SIGTERM, and SIGKILL after `grace` seconds in all. It is not restarted. Resolves when it is gone. */
  async stop(grace: number): Promise<void> {
    this.#stopping.abort()
    await this.#kill(grace)
  }

  /** Sends a signal to its first process, as `kill` on the node would. */
  signal(signal: NodeJS.Signals): void {
    if (this.#pid === undefined) return
    this.#killed = signal === 'SIGKILL'
    process.kill(this.#pid, signal)
  }

  async #kill(grace: number): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    const deadline = performance.now() + grace * 1000
    const { preStop } = this.spec.lifecycle ?? {}
    if (preStop && grace > 0) await Promise.race([attempt(preStop, this, grace * 1000), gone])
    // The kubelet leaves at least two seconds after a hook that used all of the time.
    const left = preStop && grace > 0 ? Math.max(deadline - performance.now(), 2_000) : grace * 1000
    if (left > 0 && this.#child === child) this.#send('SIGTERM', child)
    const timer = setTimeout(() => this.#send('SIGKILL', child), left)
    await gone
    clearTimeout(timer)
  }

  #send(signal: NodeJS.Signals, child: ChildProcess): void {
    try {
      if (this.#pid !== undefined && this.#child === child) this.signal(signal)
      else child.kill('SIGKILL')
    } catch {
      // It ended in the meantime.
    }
  }

  #set(state: State): void {
    this.state = state
    this.#host.changed()
  }

  #stopped(): Promise<void> {
    return new Promise((resolve) => this.#stopping.signal.addEventListener('abort', () => resolve(), { once: true }))
  }

  tail = (lines: number): string => {
    return readFileSync(this.#host.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  }
}

async function sleep(ms: number, alive: AbortSignal): Promise<void> {
  if (alive.aborted) return
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer)
      alive.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    alive.addEventListener('abort', done)
  })
}

function now(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z')
}
