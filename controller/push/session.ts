import { changedMap } from '../../table/changes.ts'
import type { Ack, FromController, FromProxy, Hello, Link, Measurements, Resync, Rotate, Rotated } from '../../table/messages.ts'
import { encode, SCHEMA } from '../../table/messages.ts'
import { takesBack, type Order } from '../../table/order.ts'
import { confidential, perResource, RESOURCES, type Resource } from '../../table/resources.ts'
import type { Look } from '../../table/console.ts'
import type { Hashes } from '../../table/version.ts'
import type { Log } from '../log.ts'
import { Behind } from './behind.ts'
import type { Ledger } from './ledger.ts'
import { Looks } from './looks.ts'
import { baseOf, fresh, owes, type State } from './state.ts'
import type { Turn, Turns } from './turns.ts'

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
  /** Whose turn it is to be sent a whole table. */
  turns: Turns
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
  /** To be sent whole tables, and how many of them it has yet to take. */
  #turn: Turn | undefined
  #wholes = 0
  readonly #behind = new Behind((ms) => {
    if (this.hello?.order) this.#board.behind(this.hello.order, ms)
    this.pump()
  })
  readonly #looks = new Looks((id, look) => this.#link.send(encode<FromController>({ type: 'look', id, look })))
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
    if (message.type === 'seen') return this.#looks.answer(message.id, message.state)
    if (message.type === 'rotate') return void this.#rotate(message)
    if (message.type === 'ack') this.#acknowledged(message)
    else this.#resync(message)
    // Somebody has what it is to have.
    if (!this.hello.subscribe) this.#behind.caughtUp()
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
    if (this.namespace !== undefined || this.hello?.seen === undefined || this.dismissed) return Promise.resolve(undefined)
    return this.#looks.ask(look)
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
    this.#behind.caughtUp()
    this.#endTurn()
    this.#looks.end()
  }

  /** Sends what the proxy lacks; what is published while a message is under way goes out as one, after its answer. */
  pump(): void {
    const hello = this.hello
    const ledgers = hello?.subscribe && !this.dismissed ? this.#board.ledgers(hello.gateway) : undefined
    if (hello === undefined || ledgers === undefined) this.#behind.turned()
    else if (RESOURCES.every((resource) => this.states[resource].outstanding === undefined)) this.#tell(hello, ledgers)
    else return
    if (this.#wholes === 0 && (ledgers === undefined || this.#turn?.begun())) this.#endTurn()
  }

  #tell(hello: Hello, ledgers: Ledgers): void {
    const order = hello.order === undefined ? undefined : this.#board.order()
    if (order && this.#isBehind(order, hello, ledgers)) return this.#hold()
    this.#behind.caughtUp()
    const owed = RESOURCES.filter((resource) => this.#takes(resource, ledgers[resource]) && owes(this.states[resource], ledgers[resource]))
    // In their order, so that nothing goes out before what has to wait.
    if (owed.some((resource) => baseOf(this.states[resource], ledgers[resource]) === undefined) && !this.#hasTurn()) return
    for (const resource of owed) {
      const state = this.states[resource]
      const ledger = ledgers[resource]
      const { version } = ledger
      const base = baseOf(state, ledger)
      if (order && this.#behind.tell(order)) this.#link.send(encode<FromController>({ type: 'order', order }))
      if (state.sent === null || base === undefined) this.#sendWhole(ledger)
      else this.#link.send(ledger.delta(state.sent, base))
      Object.assign(state, { whole: base === undefined, held: undefined, sent: version, base: ledger.hashes, outstanding: version, greeted: true } satisfies Partial<State>)
    }
  }

  #hasTurn(): boolean {
    this.#turn ??= this.#board.turns.ask(() => this.pump(), (why) => this.dismiss(why))
    return this.#turn.begun()
  }

  #sendWhole(ledger: Ledger): void {
    this.#wholes++
    this.#link.sendWhole(ledger.snapshot(), (left) => {
      this.#turn?.moved()
      if (left === 0 && --this.#wholes === 0) this.#endTurn()
    })
  }

  #endTurn(): void {
    const turn = this.#turn
    this.#turn = undefined
    turn?.end()
  }

  /** Whether it has seen newer tables than these. Those that it has are not older, whatever either end knows besides. */
  #isBehind(order: Order, { order: theirs }: Hello, ledgers: Ledgers): boolean {
    return this.#behind.isBefore(order, theirs) && RESOURCES.some((resource) =>
      this.#takes(resource, ledgers[resource]) && takesBack(resource, this.states[resource].sent, ledgers[resource].version))
  }

  /** Says nothing: the proxy turns to another controller, or this one catches up. */
  #hold(): void {
    if (!this.#behind.hold()) return
    const fields = { node: this.hello?.node, theirs: this.hello?.order, ours: this.#board.order() }
    this.#board.log('warn', 'a proxy has a newer table; it gets none from here until this controller has caught up', fields)
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
