import { createHash, randomUUID } from 'node:crypto'
import type { Ack, Measurements } from '../../table/messages.ts'
import type { ShowFleet } from '../console/told.ts'
import type { Log, Store } from '../store.ts'
import { pauseBefore } from './backoff.ts'
import type { Conversation, Identity } from './conversation.ts'
import { converse } from './conversation.ts'
import type { ClientTls, Target } from './dial.ts'
import { controllerUrl, dial, targetsOf } from './dial.ts'

export type ReceiverOptions = {
  store: Store
  /** `--controller`: `https://host:port`. */
  controllers: readonly string[]
  gateway: string
  node: string
  tls?: ClientTls | undefined
  insecure?: boolean | undefined
  log?: Log | undefined
  /** Resolves once what was handled is in force in every process of this proxy. */
  settled?: (() => Promise<void>) | undefined
  /** What it tells who looks at its fleet. */
  show?: ShowFleet | undefined
  /** Every address behind a controller's URL. */
  resolve?: typeof targetsOf
  /** All in milliseconds. */
  timing?: Partial<typeof TIMING>
}

const TIMING = {
  /** Between two looks at which addresses a controller's name has. */
  resolve: 5_000,
  backoffMin: 200,
  backoffMax: 5_000,
  /** A controller is dead after three of these without an answer. */
  ping: 2_000,
  /** How long a subscribed controller may say nothing at all (it is still starting) while there is another. */
  silent: 2_000,
  /** How long a controller must have been there before proxies that are to be fed by it turn to it, and half of it more. */
  settle: 10_000,
}

export type Receiver = {
  /** One entry an address. `feeding`: the one that the table comes from. */
  controllers(): readonly Readonly<{ url: string; address: string; open: boolean; feeding: boolean }>[]
  /** To every controller. */
  readonly tell: (message: Ack | Measurements) => void
  /** Asks the controller that feeds the table. */
  rotate: Conversation['rotate']
  close(): void
}

type Peer = {
  target: Target
  /** Of all controllers, the one with the greatest feeds this proxy: each proxy has an order of its own. */
  rank: string
  /** Was to feed it and said nothing: it is turned to only where there is no other, until it is connected anew. */
  silent: boolean
  /** Present from the answer to the request until the stream closes. */
  conversation: Conversation | undefined
  openedAt: number
  failures: number
  lastFailure: string | undefined
  hangUp: () => void
}

/**
 * Keeps a stream to every controller there is. One of them feeds the table; all of them hear what is in force, because
 * any of them may be the leader, which writes the statuses.
 */
export function startReceiver(options: ReceiverOptions): Receiver {
  const { store, log = () => {}, tls, insecure = false, resolve = targetsOf } = options
  const timing = { ...TIMING, ...options.timing }
  const identity: Identity = { node: options.node, gateway: options.gateway, instance: randomUUID() }
  const urls = options.controllers.map((text) => controllerUrl(text, insecure))
  const peers = new Map<string, Peer>()
  let wanted = new Set<string>()
  let feeder: Peer | undefined
  let silence: NodeJS.Timeout | undefined
  let settling: NodeJS.Timeout | undefined
  let closed = false
  const unresolved = new Map<string, string>()

  const keyOf = ({ url, address }: Target) => `${url.origin} ${address}`
  const fieldsOf = ({ target }: Peer) => ({ controller: target.url.origin, address: target.address })

  /** A hash of both names: as many proxies as it comes to each controller, wherever they were and whichever died. */
  const rankOf = (key: string) => createHash('sha256').update(`${identity.gateway} ${identity.node} ${key}`).digest('hex')

  /** Of the controllers that are connected, the one that is to feed this proxy. */
  function chosen(): Peer | undefined {
    const mute = ({ silent, conversation }: Peer) => silent && conversation?.heard !== true
    const better = (a: Peer, b: Peer) => (mute(a) === mute(b) ? a.rank > b.rank : mute(b))
    return [...peers.values()].filter(({ conversation }) => conversation !== undefined)
      .reduce<Peer | undefined>((best, peer) => (best && better(best, peer) ? best : peer), undefined)
  }

  /** Controllers come back one after the other; whoever was left would go on feeding everybody. */
  function settle(): void {
    settling ??= setTimeout(() => {
      settling = undefined
      const next = chosen()
      if (next !== feeder && next?.silent === false && feeder?.conversation !== undefined) feedFrom(next)
    }, timing.settle * (1 + Math.random() / 2)).unref()
  }

  function feedFrom(next: Peer | undefined): void {
    if (feeder !== next) feeder?.conversation?.subscribe(false)
    feeder = next
    clearTimeout(silence)
    if (next?.conversation === undefined) return
    if (!next.conversation.subscribed) next.conversation.subscribe(true)
    log('info', 'subscribed', fieldsOf(next))
    waitForWord()
  }

  /** A controller that has yet to read its sources says nothing; another may have. */
  function rotate(): void {
    if (feeder?.conversation?.heard) return
    const open = [...peers.values()].filter((peer) => peer.conversation !== undefined)
    const next = open[(open.findIndex((peer) => peer === feeder) + 1) % open.length]
    if (feeder !== undefined) feeder.silent = true
    if (next !== undefined && next !== feeder) feedFrom(next)
    else waitForWord()
  }

  function waitForWord(): void {
    clearTimeout(silence)
    silence = setTimeout(rotate, timing.silent).unref()
  }

  function spread(from: Peer, ack: Ack): void {
    for (const peer of peers.values()) if (peer !== from) peer.conversation?.tell(ack)
  }

  function onClosed(key: string, peer: Peer, why: string): void {
    const { conversation } = peer
    // One that ends each conversation at once must not be dialled in a tight loop, however well it connects.
    const useful = conversation !== undefined && (conversation.heard || performance.now() - peer.openedAt >= timing.backoffMax)
    peer.failures = useful ? 0 : peer.failures + 1
    if (why !== peer.lastFailure) log('warn', 'no connection to the controller', { ...fieldsOf(peer), why })
    peer.lastFailure = why
    peer.conversation = undefined
    peer.silent = false
    if (feeder === peer) feedFrom(chosen())
    if (closed || !wanted.has(key)) return void peers.delete(key)
    const timer = setTimeout(() => void call(key, peer), pauseBefore(peer.failures, timing.backoffMin, timing.backoffMax))
    peer.hangUp = () => clearTimeout(timer)
  }

  async function call(key: string, peer: Peer): Promise<void> {
    let gone = false
    peer.hangUp = () => (gone = true)
    try {
      const link = await dial(peer.target, {
        tls,
        insecure,
        pingMs: timing.ping,
        onOpen(minor) {
          peer.openedAt = performance.now()
          peer.lastFailure = undefined
          const subscribe = feeder === undefined
          const onAck = (ack: Ack) => spread(peer, ack)
          const onStale = () => peer === feeder && waitForWord()
          peer.conversation = converse(link, { store, identity, subscribe, minor, log, onAck, onStale, settled: options.settled, show: options.show })
          if (subscribe) feedFrom(peer)
          else settle()
        },
        onAlive() {
          if (peer === feeder && peer.conversation?.heard) store.confirm()
        },
      })
      link.onClose((why) => onClosed(key, peer, why))
      peer.hangUp = () => link.close()
      if (gone) link.close()
    } catch (error) {
      onClosed(key, peer, error instanceof Error ? error.message : String(error))
    }
  }

  async function look(): Promise<void> {
    const found = new Map<string, Target>()
    let complete = true
    const told = await Promise.allSettled(urls.map(resolve))
    told.forEach((result, index) => {
      const controller = urls[index]?.origin ?? ''
      if (result.status === 'fulfilled') {
        unresolved.delete(controller)
        for (const target of result.value) found.set(keyOf(target), target)
        return
      }
      complete = false
      const why = String(result.reason)
      if (unresolved.get(controller) !== why) log('warn', 'the controller has no address', { controller, why })
      unresolved.set(controller, why)
    })
    if (closed) return
    // A failed look-up says nothing about where they were.
    wanted = new Set(complete ? found.keys() : [...wanted, ...found.keys()])
    for (const [key, target] of found) {
      if (peers.has(key)) continue
      const peer: Peer = {
        target,
        rank: rankOf(key),
        silent: false,
        conversation: undefined,
        openedAt: 0,
        failures: 0,
        lastFailure: undefined,
        hangUp: () => {},
      }
      peers.set(key, peer)
      void call(key, peer)
    }
  }

  function relook(): void {
    void look().finally(() => {
      if (!closed) resolver = setTimeout(relook, timing.resolve)
    })
  }
  let resolver: NodeJS.Timeout | undefined
  relook()

  return {
    controllers: () =>
      [...peers.values()].map((peer) => ({
        url: peer.target.url.origin,
        address: peer.target.address,
        open: peer.conversation !== undefined,
        feeding: peer === feeder && peer.conversation !== undefined,
      })),
    tell(message) {
      for (const { conversation } of peers.values()) conversation?.tell(message)
    },
    rotate: (key) => feeder?.conversation?.rotate(key) ?? Promise.resolve({ problem: 'no controller is connected' }),
    close() {
      closed = true
      clearTimeout(resolver)
      clearTimeout(silence)
      clearTimeout(settling)
      for (const peer of peers.values()) peer.hangUp()
    },
  }
}
