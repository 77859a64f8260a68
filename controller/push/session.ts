import { changedMap } from '../../table/changes.ts'
import type { Ack, FromController, FromProxy, Hello, Link, Measurements, Resync, Rotate, Rotated, Seen } from '../../table/messages.ts'
import { encode, SCHEMA } from '../../table/messages.ts'
import { isBefore, laterOf, takesBack, type Order } from '../../table/order.ts'
import { confidential, perResource, RESOURCES, type Resource } from '../../table/resources.ts'
import type { Look } from '../../table/console.ts'
import type { Hashes } from '../../table/version.ts'
import type { Log } from '../log.ts'
import type { Ledger } from './ledger.ts'

/** The resources of one fleet. */
export type Ledgers = Readonly<Record<Resource, Ledger>>

/** What a session needs of its publisher. */
export type Board = {
  /** Undefined until the sources were read for the first time: half a world must not be sent. */
  ledgers(gateway: string): Ledgers | undefined
  /** Nobody else can hear what is said on this link. */
  confided: boolean
  /** It is a sidecar, of pods that anybody in this namespace may have made. */
  namespace: string | undefined
  changed(): void
  /** How new what is published is; undefined where there is but one controller, or no telling. */
  order(): Order | undefined
  /** A proxy has held a newer table for this long, in milliseconds. */
  behind: (order: Order, ms: number) => void
  /** What a proxy counted of the rules that are being rolled out. */
  measured: (from: Hello, measurements: Measurements) => void
  /** Replaces an API key. */
  rotate: (request: Rotate) => Promise<Rotated['outcome']>
  log: Log
}

type State = {
  /** What the proxy holds, or will once it has what is under way; null asks for a snapshot. */
  sent: string | null
  /** The hashes of that version, so that it stays a base however many versions pass meanwhile. */
  base: Hashes | undefined
  /** Sent and not answered. At most one, so that a slow reader costs the memory of one message a resource. */
  outstanding: string | undefined
  /** That message was a snapshot: refusing it whole cannot be healed by sending it again. */
  whole: boolean
  /** Has had an answer to its hello. */
  greeted: boolean
  acked: string | null
  /** Items of the acknowledged version that are not in force, and why. */
  refused: ReadonlyMap<string, string>
  /** The version that the proxy refused as a whole, and why. */
  held: { version: string; why: string } | undefined
}

const fresh = (): State => ({
  sent: null,
  base: undefined,
  outstanding: undefined,
  whole: false,
  greeted: false,
  acked: null,
  refused: new Map(),
  held: undefined,
})

/** Questions to one proxy at a time, and milliseconds that it has for each. */
const looksMax = 8
const lookMax = 3_000

/** Between two looks at whether this controller has caught up with a proxy, in milliseconds. */
const AGAIN = 500

const NOTHING: Hashes = new Map()

/** One proxy's stream: what it was sent, what it acknowledged, and what it is owed. */
export class Session {
  hello: Hello | undefined
  /** Told to leave; what it has is of no more interest. */
  dismissed = false
  /** Milliseconds since the epoch. */
  readonly since = Date.now()
  readonly states = perResource<Record<Resource, State>>(fresh)
  /** Of secrets that it does not get, once. */
  #warned = false
  /** The routes in force by the last acknowledgement, each with its hash. */
  #inForce: Hashes = NOTHING
  #resolved = true
  #looked = 0
  /** The last order that it was told. */
  #told: Order | undefined
  /** It holds a newer table than there is here: since when, and the timer of the next look. */
  #held: { since: number; timer: NodeJS.Timeout } | undefined
  readonly #looks = new Map<number, (state: unknown) => void>()
  readonly #link: Link<FromController, FromProxy>
  readonly #board: Board

  constructor(link: Link<FromController, FromProxy>, board: Board) {
    this.#link = link
    this.#board = board
  }

  handle(message: FromProxy): void {
    if (message.type === 'hello') return this.#greet(message)
    if (this.hello === undefined) return this.dismiss('a proxy says hello first')
    if (message.type === 'measurements') return this.#measured(this.hello, message)
    if (message.type === 'seen') return this.#seen(message)
    if (message.type === 'rotate') return void this.#rotate(message)
    if (message.type === 'ack') this.#acknowledged(message)
    else this.#resync(message)
    this.pump()
    this.#board.changed()
  }

  /** Closes with a reason that the proxy logs. */
  dismiss(why: string): void {
    this.dismissed = true
    this.#link.send(encode<FromController>({ type: 'goodbye', why }))
    this.#link.close(why)
  }

  /** What the proxy shows; undefined where it does not answer. Sidecars are not asked: they could say anything of others. */
  look(look: Look): Promise<unknown> {
    if (this.namespace !== undefined || this.hello?.seen === undefined || this.dismissed || this.#looks.size >= looksMax) return Promise.resolve(undefined)
    const id = ++this.#looked
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#seen({ id, state: undefined }), lookMax)
      this.#looks.set(id, (state) => {
        clearTimeout(timer)
        resolve(state)
      })
      this.#link.send(encode<FromController>({ type: 'look', id, look }))
    })
  }

  get namespace(): string | undefined {
    return this.#board.namespace
  }

  /** Of a sidecar, what concerns its own namespace: rollouts of others are not for it to decide. */
  #measured(hello: Hello, message: Measurements): void {
    const { namespace } = this
    const rules = namespace === undefined ? message.rules : message.rules.filter(({ route }) => route.startsWith(`${namespace}/`))
    this.#board.measured(hello, { ...message, rules })
  }

  /** It has left: nobody waits for it. */
  closed(): void {
    this.#caughtUp()
    for (const id of this.#looks.keys()) this.#seen({ id, state: undefined })
  }

  #seen({ id, state }: Pick<Seen, 'id' | 'state'>): void {
    const answer = this.#looks.get(id)
    this.#looks.delete(id)
    answer?.(state)
  }

  /** Sends what the proxy lacks; what is published while a message is under way goes out as one, after its answer. */
  pump(): void {
    const hello = this.hello
    const ledgers = hello?.subscribe && !this.dismissed ? this.#board.ledgers(hello.gateway) : undefined
    if (hello === undefined || ledgers === undefined) return this.#caughtUp()
    if (RESOURCES.some((resource) => this.states[resource].outstanding !== undefined)) return
    const order = hello.order === undefined ? undefined : this.#board.order()
    if (order && this.#isBehind(order, hello, ledgers)) return this.#hold()
    this.#caughtUp()
    for (const resource of RESOURCES) {
      const state = this.states[resource]
      const ledger = ledgers[resource]
      const { version } = ledger
      if (!this.#takes(resource, ledger)) continue
      if (state.greeted && state.sent === version) continue
      if (state.held?.version === version) continue
      state.held = undefined
      if (state.sent !== null) state.base ??= ledger.at(state.sent)
      const { sent, base } = state
      state.whole = sent === null || base === undefined
      this.#tellOrder(order)
      this.#link.send(sent === null || base === undefined ? ledger.snapshot() : ledger.delta(sent, base))
      state.sent = version
      state.base = ledger.hashes
      state.outstanding = version
      state.greeted = true
    }
  }

  /** Whether it has seen newer tables than these. Those that it has are not older, whatever either end knows besides. */
  #isBehind(order: Order, { order: theirs }: Hello, ledgers: Ledgers): boolean {
    const newest = theirs ? laterOf(theirs, this.#told) : this.#told
    if (newest === undefined || !isBefore(order, newest)) return false
    return RESOURCES.some((resource) =>
      this.#takes(resource, ledgers[resource]) && takesBack(resource, this.states[resource].sent, ledgers[resource].version))
  }

  /** Says nothing: the proxy turns to another controller, or this one catches up. */
  #hold(): void {
    const since = this.#held?.since ?? performance.now()
    if (this.#held === undefined) {
      const fields = { node: this.hello?.node, theirs: this.hello?.order, ours: this.#board.order() }
      this.#board.log('warn', 'a proxy has a newer table; it gets none from here until this controller has caught up', fields)
    }
    clearTimeout(this.#held?.timer)
    const timer = setTimeout(() => {
      if (this.hello?.order) this.#board.behind(this.hello.order, performance.now() - since)
      this.pump()
    }, AGAIN).unref()
    this.#held = { since, timer }
  }

  #caughtUp(): void {
    clearTimeout(this.#held?.timer)
    this.#held = undefined
  }

  /** Once for all that follows: a text is made once for every proxy, and this is of one. */
  #tellOrder(order: Order | undefined): void {
    if (order === undefined || (this.#told?.epoch === order.epoch && this.#told.sequence === order.sequence)) return
    this.#told = order
    this.#link.send(encode<FromController>({ type: 'order', order }))
  }

  /** The hashes of the routes in force: those of the acknowledged version, less what was refused of it. */
  inForce(): Hashes {
    if (!this.#resolved) this.#resolve()
    return this.#inForce
  }

  /** Routes refused, and why. A version refused as a whole refuses each route that it would have changed. */
  refused(): ReadonlyMap<string, string> {
    const { held, refused } = this.states.routes
    const wanted = this.hello && held && this.#board.ledgers(this.hello.gateway)?.routes
    if (held === undefined || wanted?.version !== held.version) return refused
    const inForce = this.inForce()
    return new Map([...wanted.hashes].filter(([id, hash]) => inForce.get(id) !== hash).map(([id]) => [id, held.why]))
  }

  /** A proxy of another version may not know each resource; one that others can listen to gets no secrets. */
  #takes(resource: Resource, { hashes }: Ledger): boolean {
    if (this.hello?.versions[resource] === undefined) return false
    if (!confidential(resource) || this.#board.confided) return true
    if (hashes.size > 0 && !this.#warned) {
      this.#warned = true
      const why = 'its connection is plain; give --tls-cert, --tls-key and --client-ca on both sides'
      this.#board.log('warn', 'proxy gets no secrets', { node: this.hello.node, why })
    }
    return false
  }

  #greet(hello: Hello): void {
    if (hello.schema !== SCHEMA) {
      return this.dismiss(`schema ${hello.schema} is not spoken here: this controller speaks ${SCHEMA}`)
    }
    const first = this.hello === undefined
    if (!first && (hello.node !== this.hello?.node || hello.gateway !== this.hello.gateway)) {
      return this.dismiss('a second hello may only change the subscription')
    }
    this.hello = hello
    for (const resource of RESOURCES) {
      const state = this.states[resource]
      const version = hello.versions[resource] ?? null
      if (state.sent !== version) state.base = undefined
      state.sent = version
      state.outstanding = undefined
      state.greeted = false
      state.held = undefined
    }
    const fields = { node: hello.node, gateway: hello.gateway, ...(this.namespace !== undefined && { namespace: this.namespace }), subscribe: hello.subscribe }
    if (first) this.#board.log('info', 'proxy connected', fields)
    this.pump()
    this.#board.changed()
  }

  /** Whoever could ask for it on a link that others hear could give themselves a key. */
  async #rotate(request: Rotate): Promise<void> {
    const outcome = await this.#rotated(request)
    const { namespace, name } = request
    const fields = { node: this.hello?.node, secret: `${namespace}/${name}` }
    if ('problem' in outcome) this.#board.log('warn', 'key not replaced', { ...fields, why: outcome.problem })
    else this.#board.log('info', 'key replaced by its holder', { ...fields, by: outcome.name })
    this.#link.send(encode<FromController>({ type: 'rotated', id: request.id, outcome }))
  }

  #rotated(request: Rotate): Promise<Rotated['outcome']> {
    if (!this.#board.confided) return Promise.resolve({ problem: 'the connection to the controller is plain' })
    if (this.namespace !== undefined) return Promise.resolve({ problem: 'a sidecar replaces no keys' })
    return this.#board.rotate(request)
  }

  #acknowledged({ resource, version, refused }: Ack): void {
    const state = this.states[resource]
    if (state.outstanding === version) state.outstanding = undefined
    const news = refused.filter(({ id, message }) => state.refused.get(id) !== message)
    for (const { id, message } of news) {
      this.#board.log('warn', 'proxy refused an item', { node: this.hello?.node, resource, id, why: message })
    }
    // Before the state moves on: what was in force until now is what a refused route falls back to.
    if (resource === 'routes') this.inForce()
    state.acked = version
    state.refused = new Map(refused.map(({ id, message }) => [id, message]))
    if (resource === 'routes') this.#resolve(state.sent === version ? state.base : undefined)
  }

  #resync({ resource, why }: Resync): void {
    const state = this.states[resource]
    this.#board.log('warn', 'proxy asked for a snapshot', { node: this.hello?.node, resource, why })
    if (state.outstanding !== undefined && state.whole) state.held = { version: state.outstanding, why }
    state.outstanding = undefined
    state.sent = null
    state.base = undefined
  }

  /** A replica that is behind hears of versions that it has yet to compile; it knows them when it gets there. */
  #resolve(hashes?: Hashes): void {
    const { acked, refused } = this.states.routes
    const ledger = this.hello && this.#board.ledgers(this.hello.gateway)?.routes
    const known = acked === null ? NOTHING : (hashes ?? ledger?.at(acked))
    this.#resolved = known !== undefined
    if (known === undefined) return
    if (refused.size === 0) {
      this.#inForce = known
      return
    }
    this.#inForce = changedMap(known, [...refused.keys()].map((id) => [id, this.#inForce.get(id)] as const))
  }
}
