import type { FromController, FromProxy, Hello, Link, Measurements, Rotate, Rotated } from '../../table/messages.ts'
import type { Look } from '../../table/console.ts'
import type { Order } from '../../table/order.ts'
import { perResource, RESOURCES, type Share } from '../../table/resources.ts'
import type { Hashes } from '../../table/version.ts'
import type { Compiled } from '../compile/compiled.ts'
import { Ledger } from './ledger.ts'
import { createScope } from './scope.ts'
import type { Ledgers } from './session.ts'
import type { Log } from '../log.ts'
import { Session } from './session.ts'
import { Turns, type TurnsOptions } from './turns.ts'

/** What is known of one connected proxy. */
export type ProxyView = Readonly<{
  node: string
  gateway: string
  /** It is a sidecar, and gets what is of this namespace; absent: it gets everything of its gateway. */
  namespace?: string | undefined
  /** False: another controller feeds it; what it acknowledges is heard all the same. */
  subscribed: boolean
  /** Route id → hash of what is in force; empty before the first acknowledgement. */
  acked: ReadonlyMap<string, string>
  /** Route id → why the proxy did not take what is published. */
  refused: ReadonlyMap<string, string>
  /** The version of the routes last acknowledged. */
  version: string | null
}>

/** The same, to be looked at. */
export type SeenProxy = ProxyView & Readonly<{
  /** It connected; milliseconds since the epoch. */
  since: number
  /** Asks it what it sees; undefined where it does not answer. */
  look: (look: Look) => Promise<unknown>
}>

export type PublisherOptions = {
  log?: Log
  /** How long a connection may say nothing before it must have said hello, in milliseconds. */
  helloMs?: number
  /** Hears what a proxy, by its instance, counted of the rules that are being rolled out. */
  measured?: (from: Hello, measurements: Measurements) => void
  /** How new what is published is, among what the controllers of one cluster publish; absent: there is no other. */
  order?: () => Order | undefined
  /** Hears that a proxy has held a newer table than there is here for so many milliseconds. */
  behind?: (order: Order, ms: number) => void
  /** How whole tables are sent in turns. */
  turns?: TurnsOptions
  /** Replaces an API key, as a proxy asks for its holder. */
  rotate?: (request: Rotate) => Promise<Rotated['outcome']>
}

const EMPTY: Share = { endpoints: new Map(), credentials: new Map(), secrets: new Map(), routes: new Map() }

/** Sidecars of one namespace at a time: whoever may make pods there decides how many there are. */
const sidecarsMax = 2_000

/** What is published to one fleet, or of that to the sidecars of one namespace. */
type Part = Readonly<{ gateway: string; namespace: string | undefined; ledgers: Ledgers; scope: (whole: Share) => Share }>

/** Neither can have a space in it. */
export const partKey = (gateway: string, namespace: string | undefined) => `${gateway} ${namespace ?? ''}`

/** Keeps every connected proxy at what was published last, and knows what each has in force. */
export class Publisher {
  readonly #parts = new Map<string, Part>()
  #fleets: Compiled['fleets'] = new Map()
  readonly #sessions = new Set<Session>()
  readonly #listeners: (() => void)[] = []
  readonly #turns: Turns
  /** Sidecars, which anybody may make who makes pods, hold up nobody but one another. */
  readonly #turnsOfSidecars: Turns
  readonly #log: Log
  readonly #helloMs: number
  readonly #measured: NonNullable<PublisherOptions['measured']>
  readonly #order: NonNullable<PublisherOptions['order']>
  readonly #behind: NonNullable<PublisherOptions['behind']>
  readonly #rotate: (request: Rotate) => Promise<Rotated['outcome']>
  #published = false
  #closed = false

  constructor(options: PublisherOptions = {}) {
    this.#log = options.log ?? (() => {})
    this.#turns = new Turns(options.turns)
    this.#turnsOfSidecars = new Turns(options.turns)
    this.#helloMs = options.helloMs ?? 10_000
    this.#measured = options.measured ?? (() => {})
    this.#order = options.order ?? (() => undefined)
    this.#behind = options.behind ?? (() => {})
    this.#rotate = options.rotate ?? (() => Promise.resolve({ problem: 'this controller replaces no keys' }))
  }

  /** Sends each fleet what changed of it since the last call; nothing where nothing did, and then answers false. */
  publish(fleets: Compiled['fleets']): boolean {
    const first = !this.#published
    this.#published = true
    let changed = first
    this.#fleets = fleets
    const connected = new Set([...this.#sessions].map(({ hello, namespace }) => hello && partKey(hello.gateway, namespace)))
    for (const [key, { gateway, namespace }] of this.#parts) {
      if ((!fleets.has(gateway) || namespace !== undefined) && !connected.has(key)) this.#parts.delete(key)
    }
    for (const gateway of fleets.keys()) this.#part(gateway)
    for (const part of this.#parts.values()) if (this.#fill(part)) changed = true
    if (!changed) return false
    for (const session of this.#sessions) session.pump()
    this.#changed()
    return true
  }

  /**
   * Takes a proxy's stream over until it closes.
   * @param confided nobody else can hear what is said on it, so that it may carry secrets
   * @param namespace it is a sidecar's: it gets what is of this namespace, and is believed of nothing else
   */
  accept(link: Link<FromController, FromProxy>, confided: boolean, namespace?: string): void {
    const session = new Session(link, {
      confided,
      namespace,
      ledgers: (gateway) => (this.#published ? this.#of(gateway, namespace) : undefined),
      changed: () => this.#changed(),
      turns: namespace === undefined ? this.#turns : this.#turnsOfSidecars,
      order: this.#order,
      // What a sidecar says of other controllers is nothing to go by.
      behind: namespace === undefined ? this.#behind : () => {},
      measured: this.#measured,
      rotate: this.#rotate,
      log: this.#log,
    })
    if (this.#closed) return session.dismiss('the controller is stopping')
    if (namespace !== undefined && [...this.#sessions].filter((other) => other.namespace === namespace).length >= sidecarsMax) {
      return session.dismiss(`namespace ${namespace} has ${sidecarsMax} sidecars already`)
    }
    const timer = setTimeout(() => {
      if (session.hello === undefined) session.dismiss(`no hello within ${this.#helloMs} ms`)
    }, this.#helloMs).unref()
    this.#sessions.add(session)
    link.onClose((why) => {
      clearTimeout(timer)
      this.#sessions.delete(session)
      session.closed()
      if (session.hello === undefined) return this.#log('warn', 'connection closed before hello', { why })
      this.#log('info', 'proxy disconnected', { node: session.hello.node, gateway: session.hello.gateway, why })
      this.#changed()
    })
    link.onMessage((message) => session.handle(message))
  }

  /** One entry a proxy, sorted by name. Two connections of one proxy are one; two proxies of one name are two. */
  proxies(): readonly SeenProxy[] {
    const byInstance = new Map<string, SeenProxy>()
    for (const session of this.#sessions) {
      const { hello, dismissed } = session
      if (hello === undefined || dismissed) continue
      const { namespace } = session
      // A sidecar may call itself what it likes, and still is nobody else.
      const instance = `${namespace ?? ''} ${hello.instance}`
      const before = byInstance.get(instance)
      byInstance.set(instance, {
        node: hello.node,
        gateway: hello.gateway,
        ...(namespace !== undefined && { namespace }),
        subscribed: hello.subscribe || (before?.subscribed ?? false),
        acked: session.inForce(),
        refused: session.refused(),
        version: session.states.routes.acked,
        since: before?.since ?? session.since,
        look: (look) => session.look(look),
      })
    }
    return [...byInstance.values()].sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0))
  }

  /** How far the connected proxies are: `refusing` counts those among the others that refused some route. */
  counts(): Readonly<{ connected: number; current: number; behind: number; refusing: number }> {
    const proxies = this.proxies()
    const published = (gateway: string, namespace?: string) => this.#parts.get(partKey(gateway, namespace))?.ledgers.routes.version
    const current = proxies.filter(({ gateway, namespace, version }) => version === published(gateway, namespace)).length
    const refusing = proxies.filter(({ refused }) => refused.size > 0).length
    return { connected: proxies.length, current, behind: proxies.length - current, refusing }
  }

  /** The routes published to that fleet now. */
  hashes(gateway: string): Hashes {
    return this.#parts.get(partKey(gateway, undefined))?.ledgers.routes.hashes ?? new Map()
  }

  /** What is published to that fleet; undefined: there is none of that name. */
  version(gateway: string): string | undefined {
    return this.#parts.get(partKey(gateway, undefined))?.ledgers.routes.version
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

  #of(gateway: string, namespace?: string): Ledgers {
    const known = this.#parts.get(partKey(gateway, namespace))
    if (known !== undefined) return known.ledgers
    const part = this.#part(gateway, namespace)
    this.#fill(part)
    return part.ledgers
  }

  #part(gateway: string, namespace?: string): Part {
    const key = partKey(gateway, namespace)
    let part = this.#parts.get(key)
    if (part === undefined) {
      const scope = namespace === undefined ? (whole: Share) => whole : createScope(namespace)
      part = { gateway, namespace, ledgers: perResource<Ledgers>((resource) => new Ledger(resource)), scope }
      this.#parts.set(key, part)
    }
    return part
  }

  /** Takes over what is compiled now; false where that was published already. */
  #fill({ gateway, ledgers, scope }: Part): boolean {
    const share = scope(this.#fleets.get(gateway) ?? EMPTY)
    return RESOURCES.map((resource) => ledgers[resource].publish(share[resource])).includes(true)
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
