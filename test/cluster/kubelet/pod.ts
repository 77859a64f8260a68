// One Pod from its binding to its deletion: network, volumes, init containers, sidecars, containers, status.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Api } from '../api.ts'
import { ApiError } from '../api.ts'
import { pause } from '../wait.ts'
import type { Configs } from './configs.ts'
import { Container } from './container.ts'
import type { Launch } from './container.ts'
import { environment, expand, NotYet } from './env.ts'
import type { PodFacts } from './env.ts'
import { account, identity, imagePath, searchPath } from './identity.ts'
import { Network } from './network.ts'
import type { ContainerSpec, PodObject } from './spec.ts'
import { notEmulated } from './spec.ts'
import { Volumes } from './volumes.ts'

/** Images that are folders and not this machine: their layers, upper ones first, and their environment. */
export type Images = Readonly<Record<string, Readonly<{ layers: readonly string[], env: Readonly<Record<string, string>> }>>>

export type Node = Readonly<{
  name: string
  api: Api
  configs: Configs
  folder: string
  hostIP: string
  apiServer: { host: string, port: string }
  images: Images
  /** The folder whose programs an image has. */
  programs: (image: string) => string
  /** Path of the resolv.conf for Pods of a namespace. */
  resolvConf: (namespace: string) => string
}>

type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed'

export class Pod {
  object: PodObject
  readonly containers = new Map<string, Container>()
  #node: Node
  #folder: string
  #network: Network | undefined
  #volumes: Volumes | undefined
  #init: Container[] = []
  #main: Container[] = []
  #phase: Phase = 'Pending'
  #initialized = false
  #waiting: { reason: string, message?: string } | undefined
  #startTime = stamp()
  #transitions = new Map<string, { status: string, at: string }>()
  #written = ''
  #writing: Promise<void> | undefined
  #ending: Promise<void> | undefined
  #gone = false
  #detach = () => {}

  constructor(object: PodObject, node: Node) {
    this.object = object
    this.#node = node
    const { namespace, name, uid } = object.metadata
    this.#folder = join(node.folder, `${namespace}_${name}_${uid.slice(0, 8)}`)
  }

  get enter(): readonly string[] {
    return this.#network?.enter ?? []
  }

  get ip(): string | undefined {
    return this.#network?.ip
  }

  logFile(container: string): string {
    return join(this.#folder, `${container}.log`)
  }

  async run(): Promise<void> {
    const { spec } = this.object
    mkdirSync(join(this.#folder, 'volumes'), { recursive: true })
    const refused = notEmulated(this.object)
    if (refused.length > 0) {
      const message = `not emulated by the test kubelet: ${refused.join('; ')}`
      process.stderr.write(`${this.#name}: ${message}\n`)
      this.#waiting = { reason: 'NotEmulated', message }
      return this.#report()
    }
    this.#network = await Network.create()
    if (this.#ending) return this.#network.destroy()
    const facts: PodFacts = {
      pod: this.object, ip: this.#network.ip, node: this.#node.name, hostIP: this.#node.hostIP,
    }
    this.#volumes = new Volumes(join(this.#folder, 'volumes'), facts, this.#node.api, this.#node.configs)
    if (!await this.#mount(this.#volumes)) return
    const sidecar = ({ restartPolicy }: ContainerSpec) => restartPolicy === 'Always'
    this.#init = (spec.initContainers ?? []).map((one) => this.#container(one, facts, sidecar(one) ? 'Always' : 'init'))
    this.#main = spec.containers.map((one) => this.#container(one, facts, spec.restartPolicy ?? 'Always'))
    this.#report()
    const background: Promise<number>[] = []
    for (const container of this.#init) {
      const running = container.run()
      if (sidecar(container.spec)) {
        background.push(running)
        while (!container.started && !this.#ending) await pause(20)
      } else if (await running !== 0 && !this.#ending) {
        this.#phase = 'Failed'
        return this.#report()
      }
      if (this.#ending) return
    }
    if (this.#ending) return
    this.#initialized = true
    this.#phase = 'Running'
    const codes = await Promise.all(this.#main.map((container) => container.run()))
    await this.#stopSidecars(this.#grace)
    await Promise.all(background)
    this.#phase = codes.every((code) => code === 0) ? 'Succeeded' : 'Failed'
    this.#report()
  }

  /** The API server's newer view of it; a deletion begins its end. */
  update(object: PodObject): void {
    this.object = object
    if (object.metadata.deletionTimestamp) this.#ending ??= this.#end(object.metadata.deletionGracePeriodSeconds ?? 30)
  }

  /** Removed from the API server without waiting (--force), or the test ends: nothing is left to be polite to. */
  async vanish(): Promise<void> {
    this.#gone = true
    this.#ending ??= this.#stop(0)
    for (const container of this.containers.values()) void container.stop(0)
    await this.#ending
  }

  async #end(grace: number): Promise<void> {
    await this.#stop(grace)
    const failed = this.#main.some(({ state }) => 'terminated' in state && state.terminated.exitCode !== 0)
    this.#phase = failed ? 'Failed' : 'Succeeded'
    this.#report()
    await this.#writing
    const { uid } = this.object.metadata
    await this.#insist(() => this.#node.api.delete(this.#path, { gracePeriodSeconds: 0, preconditions: { uid } }))
  }

  async #stop(grace: number): Promise<void> {
    const began = performance.now()
    await Promise.all(this.#main.map((container) => container.stop(grace)))
    await this.#stopSidecars(grace === 0 ? 0 : Math.max(grace - (performance.now() - began) / 1000, 2))
    this.#detach()
    this.#network?.destroy()
  }

  /** Sidecars outlive what they serve, and end in the opposite order of their start. */
  async #stopSidecars(grace: number): Promise<void> {
    for (const container of this.#init.toReversed()) await container.stop(grace)
  }

  get #grace(): number {
    return this.object.spec.terminationGracePeriodSeconds ?? 30
  }

  /** Writes the volumes, waits for what they need, and keeps them current. False when the Pod ended meanwhile. */
  async #mount(volumes: Volumes): Promise<boolean> {
    while (!this.#ending) {
      try {
        await volumes.write()
        this.#waiting = undefined
        this.#detach = this.#node.configs.onChange(() => void volumes.write().catch(() => {}))
        return true
      } catch (error) {
        this.#waiting = { reason: 'ContainerCreating', message: error instanceof Error ? error.message : String(error) }
        this.#report()
        const expected = error instanceof NotYet || error instanceof ApiError
        if (!expected) process.stderr.write(`${this.#name}: ${String(error)}\n`)
      }
      await pause(100)
    }
    return false
  }

  #container(spec: ContainerSpec, facts: PodFacts, restart: 'Always' | 'OnFailure' | 'Never' | 'init'): Container {
    const again = this.object.spec.restartPolicy === 'Never' ? 'Never' : 'OnFailure'
    const container: Container = new Container(spec, {
      ip: facts.ip, logFile: this.logFile(spec.name), grace: this.#grace,
      restart: restart === 'init' ? again : restart,
      launch: () => this.#launch(spec, facts),
      changed: () => this.#report(),
    })
    writeFileSync(this.logFile(spec.name), '', { flag: 'a' })
    this.containers.set(spec.name, container)
    return container
  }

  async #launch(spec: ContainerSpec, facts: PodFacts): Promise<Launch> {
    const { metadata, spec: pod } = this.object
    const hostName = pod.hostname ?? metadata.name
    const { host, port } = this.#node.apiServer
    const as = identity(spec, pod)
    const image = this.#node.images[spec.image]
    const env = environment(spec, facts, this.#node.configs, {
      PATH: image ? imagePath : searchPath, HOME: as.length > 0 ? '/' : '/root', HOSTNAME: hostName, ...image?.env,
      KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port, KUBERNETES_SERVICE_PORT_HTTPS: port,
    })
    const mounts = [`${this.#node.resolvConf(metadata.namespace)}\t/etc/resolv.conf\tro\tfile`]
    writeFileSync(join(this.#folder, 'hosts'), `127.0.0.1\tlocalhost\n::1\tlocalhost\n${facts.ip}\t${hostName}\n`)
    mounts.push('hosts\t/etc/hosts\trw\tfile')
    const sorted = (spec.volumeMounts ?? []).toSorted((a, b) => a.mountPath.length - b.mountPath.length)
    for (const { name, mountPath, subPath, readOnly } of sorted) {
      const volume = this.#volumes!.path(name)
      // A volume of the kubelet's is read-only, but for an emptyDir.
      const kind = pod.volumes?.find((volume) => volume.name === name)
      const access = readOnly || !(kind?.emptyDir ?? kind?.hostPath) ? 'ro' : 'rw'
      const source = subPath ? join(volume, expand(subPath, env)) : volume
      const type = subPath && !kind?.emptyDir ? 'file' : 'dir'
      mounts.push([inFolder(source, this.#folder), mountPath, access, type].join('\t'))
    }
    writeFileSync(join(this.#folder, `mounts-${spec.name}`), `${mounts.join('\n')}\n`)
    // The image decides nothing: its entrypoint is taken to be the product's own program.
    const words = [...spec.command ?? ['modelroute'], ...spec.args ?? []]
    const [program = '', ...rest] = words.map((word) => expand(word, env))
    const { user, group, groups } = account(spec, pod)
    return {
      enter: this.#network!.enter, podFolder: this.#folder, hostName, env: Object.fromEntries(env),
      readOnly: spec.securityContext?.readOnlyRootFilesystem ?? false, workingDir: spec.workingDir ?? '/',
      repository: this.#node.programs(spec.image ?? ''),
      identity: as,
      ...image && { image: { layers: image.layers, user: `${user}:${group}`, groups: groups.join(',') } },
      command: program === 'modelroute' && !image ? ['node', '/app/cli/modelroute.js', ...rest] : [program, ...rest],
    }
  }

  get #name(): string {
    return `${this.object.metadata.namespace}/${this.object.metadata.name}`
  }

  get #path(): string {
    const { namespace, name } = this.object.metadata
    return `/api/v1/namespaces/${namespace}/pods/${name}`
  }

  /** Writes the status soon, once for all that changes meanwhile, and again until the API server took it. */
  #report(): void {
    this.#writing ??= (async () => {
      await Promise.resolve()
      for (let status = this.#status(); JSON.stringify(status) !== this.#written; status = this.#status()) {
        const { uid } = this.object.metadata
        const patch = { metadata: { uid }, status }
        await this.#insist(() => this.#node.api.patch(`${this.#path}/status`, patch, 'strategic'))
        this.#written = JSON.stringify(status)
      }
      this.#writing = undefined
    })()
  }

  /** Tries until it works, or until there is no such Pod any more. */
  async #insist(act: () => Promise<unknown>): Promise<void> {
    while (!this.#gone) {
      try {
        await act()
        return
      } catch (error) {
        if (error instanceof ApiError && (error.code === 404 || error.code === 409)) return
        await pause(100)
      }
    }
  }

  #status(): object {
    // KEP-753: a sidecar counts like the others.
    const counted = [...this.#main, ...this.#init.filter(({ spec }) => spec.restartPolicy === 'Always')]
    const ready = this.#main.length > 0 && counted.every((container) => container.ready)
    const { conditions = [] } = (this.object.status ?? {}) as { conditions?: { type: string, status: string }[] }
    const gated = (this.object.spec.readinessGates ?? []).every(({ conditionType }) =>
      conditions.some(({ type, status }) => type === conditionType && status === 'True'))
    const one = this.#network?.ip
    const wait = this.#waiting ?? { reason: 'ContainerCreating' }
    const containerStatus = (spec: ContainerSpec) => {
      const container = this.containers.get(spec.name)
      return {
        name: spec.name, image: spec.image, imageID: spec.image, restartCount: container?.restarts ?? 0,
        ready: container?.ready ?? false, started: container?.started ?? false,
        state: container?.state ?? { waiting: wait }, lastState: container?.lastState ?? {},
      }
    }
    return {
      phase: this.#phase, hostIP: this.#node.hostIP, startTime: this.#startTime,
      ...one ? { podIP: one, podIPs: [{ ip: one }] } : {},
      conditions: [
        this.#condition('PodScheduled', true),
        this.#condition('PodReadyToStartContainers', one !== undefined),
        this.#condition('Initialized', this.#initialized),
        this.#condition('ContainersReady', ready),
        this.#condition('Ready', ready && gated),
      ],
      containerStatuses: this.object.spec.containers.map(containerStatus),
      initContainerStatuses: (this.object.spec.initContainers ?? []).map(containerStatus),
    }
  }

  #condition(type: string, holds: boolean): object {
    const status = holds ? 'True' : 'False'
    if (this.#transitions.get(type)?.status !== status) this.#transitions.set(type, { status, at: stamp() })
    return { type, status, lastTransitionTime: this.#transitions.get(type)!.at }
  }
}

function inFolder(path: string, folder: string): string {
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path
}

function stamp(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z')
}
