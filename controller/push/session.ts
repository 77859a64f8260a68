import type { Ack, FromController, FromProxy, Hello, Link, Measurements, Resync, Rotate, Rotated } from '../../table/messages.ts'
import { encode, SCHEMA } from '../../table/messages.ts'
import { confidential, perResource, RESOURCES, type Resource } from '../../table/resources.ts'
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
  changed(): void
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

const NOTHING: Hashes = new Map()

/** One proxy's stream: what it was sent, what it acknowledged, and what it is owed. */
export class Session {
  hello: Hello | undefined
  /** Told to leave; what it has is of no more interest. */
  dismissed = false
  readonly states = perResource<Record<Resource, State>>(fresh)
  /** Of secrets that it does not get, once. */
  #warned = false
  /** The routes in force by the last acknowledgement, each with its hash. */
  #inForce: Hashes = NOTHING
  #resolved = true
  readonly #link: Link<FromController, FromProxy>
  readonly #board: Board

  constructor(link: Link<FromController, FromProxy>, board: Board) {
    this.#link = link
    this.#board = board
  }

  handle(message: FromProxy): void {
    if (message.type === 'hello') return this.#greet(message)
    if (this.hello === undefined) return this.dismiss('a proxy says hello first')
    if (message.type === 'measurements') return this.#board.measured(this.hello, message)
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

  /** Sends what the proxy lacks; what is published while a message is under way goes out as one, after its answer. */
  pump(): void {
    const hello = this.hello
    const ledgers = hello?.subscribe && !this.dismissed ? this.#board.ledgers(hello.gateway) : undefined
    if (ledgers === undefined) return
    if (RESOURCES.some((resource) => this.states[resource].outstanding !== undefined)) return
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
      this.#link.send(sent === null || base === undefined ? ledger.snapshot() : ledger.delta(sent, base))
      state.sent = version
      state.base = ledger.hashes
      state.outstanding = version
      state.greeted = true
    }
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
    const fields = { node: hello.node, gateway: hello.gateway, subscribe: hello.subscribe }
    if (first) this.#board.log('info', 'proxy connected', fields)
    this.pump()
    this.#board.changed()
  }

  /** Whoever could ask for it on a link that others hear could give themselves a key. */
  async #rotate(request: Rotate): Promise<void> {
    const outcome = this.#board.confided ? await this.#board.rotate(request) : { problem: 'the connection to the controller is plain' }
    const { namespace, name } = request
    const fields = { node: this.hello?.node, secret: `${namespace}/${name}` }
    if ('problem' in outcome) this.#board.log('warn', 'key not replaced', { ...fields, why: outcome.problem })
    else this.#board.log('info', 'key replaced by its holder', { ...fields, by: outcome.name })
    this.#link.send(encode<FromController>({ type: 'rotated', id: request.id, outcome }))
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
    const inForce = new Map(known)
    for (const id of refused.keys()) {
      const last = this.#inForce.get(id)
      if (last === undefined) inForce.delete(id)
      else inForce.set(id, last)
    }
    this.#inForce = inForce
  }
}
