// The cluster's name service: an A record per ready Pod of a Service, under <service>.<namespace>.svc.cluster.local.
// There are no cluster addresses here, so every Service resolves as a headless one does, and a Service without a ready
// Pod resolves to nothing.
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Api, KubeObject } from '../api.ts'

const suffix = '.svc.cluster.local'

type Slice = KubeObject & {
  endpoints?: { addresses: string[], hostname?: string, conditions?: { ready?: boolean } }[]
  ports?: { name?: string, port?: number }[]
}
type Service = KubeObject & { spec: { ports?: { name?: string, port: number }[] } }

export class Names {
  #slices = new Map<string, Slice>()
  #services = new Map<string, Service>()
  #told = new Set<string>()
  #socket = createSocket('udp4')
  #folder: string
  #host: string

  constructor(folder: string, host: string) {
    this.#folder = folder
    this.#host = host
    mkdirSync(folder, { recursive: true })
  }

  /** Resolves once it answers, also for this process: its /etc/resolv.conf is covered in the test's own mounts. */
  async start(api: Api, signal: AbortSignal): Promise<void> {
    this.#socket.on('message', (query, { address, port }) => {
      const answer = reply(query, (name) => this.#lookUp(name))
      if (answer) this.#socket.send(answer, port, address)
    })
    this.#socket.bind(53, this.#host)
    await once(this.#socket, 'listening')
    this.#socket.unref()
    signal.addEventListener('abort', () => this.#socket.close())
    const follow = (path: string, see: (object: KubeObject, gone: boolean) => void) =>
      new Promise<void>((resolve) => void api.follow(path, see, signal, resolve))
    await Promise.all([
      follow('/api/v1/services', (object, gone) => {
        const { metadata } = object
        const key = `${metadata.name}.${metadata.namespace}`
        if (gone) this.#services.delete(key)
        else this.#services.set(key, object as Service)
      }),
      follow('/apis/discovery.k8s.io/v1/endpointslices', (slice, gone) => {
        const key = `${slice.metadata.namespace}/${slice.metadata.name}`
        if (gone) this.#slices.delete(key)
        else {
          this.#slices.set(key, slice)
          this.#tell(slice)
        }
      }),
    ])
    execFileSync('mount', ['--bind', this.resolvConf('default'), '/etc/resolv.conf'])
    // Another kubelet of this process would cover this file, whose folder could then not be removed.
    signal.addEventListener('abort', () => execFileSync('umount', ['/etc/resolv.conf']))
  }

  /** The path of a resolv.conf that searches this namespace first. */
  resolvConf = (namespace: string): string => {
    const file = join(this.#folder, namespace)
    writeFileSync(file, [
      `nameserver ${this.#host}`, `search ${namespace}${suffix} ${suffix.slice(1)} cluster.local`,
      'options ndots:5 timeout:1 attempts:5', '',
    ].join('\n'))
    return file
  }

  /** Says once that a Service's port is not there: its name leads to Pods, and theirs is another. */
  #tell({ metadata, ports }: Slice): void {
    const key = `${metadata.labels?.['kubernetes.io/service-name']}.${metadata.namespace}`
    for (const { name = '', port } of this.#services.get(key)?.spec.ports ?? []) {
      const target = ports?.find((one) => (one.name ?? '') === name)?.port
      if (target === undefined || target === port || this.#told.has(`${key} ${name}`)) continue
      this.#told.add(`${key} ${name}`)
      process.stderr.write(`Service ${key}: port ${port} leads to ${target}, which is not emulated: use ${target}\n`)
    }
  }

  /** Addresses, or undefined where there is no such name. */
  #lookUp(name: string): string[] | undefined {
    if (name === 'localhost') return ['127.0.0.1']
    if (!name.endsWith(suffix)) return undefined
    const labels = name.slice(0, -suffix.length).split('.')
    const [service, namespace] = labels.slice(-2)
    if (labels.length > 3 || !this.#services.has(`${service}.${namespace}`)) return undefined
    if (service === 'kubernetes' && namespace === 'default') return [this.#host]
    const addresses = new Set<string>()
    for (const { metadata, endpoints } of this.#slices.values()) {
      if (metadata.namespace !== namespace || metadata.labels?.['kubernetes.io/service-name'] !== service) continue
      for (const { addresses: own, hostname, conditions } of endpoints ?? []) {
        if (labels.length === 3 && hostname !== labels[0]) continue
        if (conditions?.ready !== false) for (const address of own) addresses.add(address)
      }
    }
    if (labels.length === 3 && addresses.size === 0) return undefined
    return [...addresses].sort(() => Math.random() - 0.5)
  }
}

/** RFC 1035, section 4: one question, A records with a lifetime of zero. Anything else has no answer. */
function reply(query: Buffer, lookUp: (name: string) => string[] | undefined): Buffer | undefined {
  if (query.length < 17) return undefined
  const labels: string[] = []
  let at = 12
  for (let length = query[at]; length; length = query[at]) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
    if (at >= query.length) return undefined
  }
  const question = query.subarray(12, at + 5)
  const found = lookUp(labels.join('.').toLowerCase())
  const addresses = query.readUInt16BE(at + 1) === 1 ? found ?? [] : []
  const header = Buffer.alloc(12)
  query.copy(header, 0, 0, 2)
  // A response, authoritative, recursion as asked and available; 3 is "no such name".
  header.writeUInt16BE(0x8480 | (query.readUInt16BE(2) & 0x0100) | (found ? 0 : 3), 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(addresses.length, 6)
  const answers = addresses.map((address) =>
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]))
  return Buffer.concat([header, question, ...answers])
}
