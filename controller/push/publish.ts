import type { FromController, FromProxy, Hello, Link, Measurements, Rotate, Rotated } from '../../table/messages.ts'
import { perResource, RESOURCES } from '../../table/resources.ts'
import type { Hashes } from '../../table/version.ts'
import type { Compiled } from '../compile/compiled.ts'
import { Ledger } from './ledger.ts'
import type { Ledgers } from './session.ts'
import type { Log } from '../log.ts'
import { Session } from './session.ts'

/** What is known of one connected proxy. */
export type ProxyView = Readonly<{
  node: string
  gateway: string
  /** False: another controller feeds it; what it acknowledges is heard all the same. */
  subscribed: boolean
  /** Route id → hash of what is in force; empty before the first acknowledgement. */
  acked: ReadonlyMap<string, string>
  /** Route id → why the proxy did not take what is published. */
  refused: ReadonlyMap<string, string>
  /** The version of the routes last acknowledged. */
  version: string | null
}>

export type PublisherOptions = {
  log?: Log
  /** How long a connection may say nothing before it must have said hello, in milliseconds. */
  helloMs?: number
  /** Hears what a proxy, by its instance, counted of the rules that are being rolled out. */
  measured?: (from: Hello, measurements: Measurements) => void
  /** Replaces an API key, as a proxy asks for its holder. */
  rotate?: (request: Rotate) => Promise<Rotated['outcome']>
}

const EMPTY: ReadonlyMap<string, object> = new Map()

/** Keeps every connected proxy at what was published last, and knows what each has in force. */
export class Publisher {
  readonly #ledgers = new Map<string, Ledgers>()
  readonly #sessions = new Set<Session>()
  readonly #listeners: (() => void)[] = []
  readonly #log: Log
  readonly #helloMs: number
  readonly #measured: NonNullable<PublisherOptions['measured']>
  readonly #rotate: (request: Rotate) => Promise<Rotated['outcome']>
  #published = false
  #closed = false

  constructor(options: PublisherOptions = {}) {
    this.#log = options.log ?? (() => {})
    this.#helloMs = options.helloMs ?? 10_000
    this.#measured = options.measured ?? (() => {})
    this.#rotate = options.rotate ?? (() => Promise.resolve({ problem: 'this controller replaces no keys' }))
  }

  /** Sends each fleet what changed of it since the last call; nothing where nothing did, and then answers false. */
  publish(fleets: Compiled['fleets']): boolean {
    const first = !this.#published
    this.#published = true
    let changed = first
    const connected = new Set([...this.#sessions].map((session) => session.hello?.gateway))
    for (const gateway of this.#ledgers.keys()) {
      if (!fleets.has(gateway) && !connected.has(gateway)) this.#ledgers.delete(gateway)
    }
    for (const gateway of new Set([...fleets.keys(), ...this.#ledgers.keys()])) {
      const ledgers = this.#of(gateway)
      for (const resource of RESOURCES) {
        if (ledgers[resource].publish(fleets.get(gateway)?.[resource] ?? EMPTY)) changed = true
      }
    }
    if (!changed) return false
    for (const session of this.#sessions) session.pump()
    this.#changed()
    return true
  }

  /**
   * Takes a proxy's stream over until it closes.
   * @param confided nobody else can hear what is said on it, so that it may carry secrets
   */
  accept(link: Link<FromController, FromProxy>, confided: boolean): void {
    const session = new Session(link, {
      confided,
      ledgers: (gateway) => (this.#published ? this.#of(gateway) : undefined),
      changed: () => this.#changed(),
      measured: this.#measured,
      rotate: this.#rotate,
      log: this.#log,
    })
    if (this.#closed) return session.dismiss('the controller is stopping')
    const timer = setTimeout(() => {
      if (session.hello === undefined) session.dismiss(`no hello within ${this.#helloMs} ms`)
    }, this.#helloMs).unref()
    this.#sessions.add(session)
    link.onClose((why) => {
      clearTimeout(timer)
      this.#sessions.delete(session)
      if (session.hello === undefined) return this.#log('warn', 'connection closed before hello', { why })
      this.#log('info', 'proxy disconnected', { node: session.hello.node, gateway: session.hello.gateway, why })
      this.#changed()
    })
    link.onMessage((message) => session.handle(message))
  }

  /** One entry a proxy, sorted by name. Two connections of one proxy are one; two proxies of one name are two. */
  proxies(): readonly ProxyView[] {
    const byInstance = new Map<string, ProxyView>()
    for (const session of this.#sessions) {
      const { hello, dismissed } = session
      if (hello === undefined || dismissed) continue
      const before = byInstance.get(hello.instance)
      byInstance.set(hello.instance, {
        node: hello.node,
        gateway: hello.gateway,
        subscribed: hello.subscribe || (before?.subscribed ?? false),
        acked: session.inForce(),
        refused: session.refused(),
        version: session.states.routes.acked,
      })
    }
    return [...byInstance.values()].sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0))
  }

  /** How far the connected proxies are: `refusing` counts those among the others that refused some route. */
  counts(): Readonly<{ connected: number; current: number; behind: number; refusing: number }> {
    const proxies = this.proxies()
    const published = (gateway: string) => this.#ledgers.get(gateway)?.routes.version
    const current = proxies.filter(({ gateway, version }) => version === published(gateway)).length
    const refusing = proxies.filter(({ refused }) => refused.size > 0).length
    return { connected: proxies.length, current, behind: proxies.length - current, refusing }
  }

  /** The routes published to that fleet now. */
  hashes(gateway: string): Hashes {
    return this.#ledgers.get(gateway)?.routes.hashes ?? new Map()
  }

  /** Called when what is published changed, or what a proxy has in force. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Says goodbye to every proxy, so that each turns to another controller at once. */
  close(): void {
    this.#closed = true
    for (const session of this.#sessions) session.dismiss('the controller is stopping')
  }

  #of(gateway: string): Ledgers {
    let ledgers = this.#ledgers.get(gateway)
    if (ledgers === undefined) {
      ledgers = perResource<Ledgers>((resource) => new Ledger(resource))
      this.#ledgers.set(gateway, ledgers)
    }
    return ledgers
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
