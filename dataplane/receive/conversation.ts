import { randomUUID } from 'node:crypto'
import type { Ack, FromController, FromProxy, Link, Measurements, Resync, Rotate, Rotated, Update } from '../../table/messages.ts'
import { encode, SCHEMA } from '../../table/messages.ts'
import { isBefore, takesBack, type Order } from '../../table/order.ts'
import type { ShowFleet } from '../console/told.ts'
import type { Log, Store } from '../store.ts'

export type Identity = Readonly<{
  node: string
  /** New with each process. */
  instance: string
  gateway: string
}>

export type ConversationOptions = {
  store: Store
  identity: Identity
  subscribe: boolean
  log?: Log
  /** What the other end speaks beside the schema (`MINOR`); absent: what every release does. */
  minor?: number
  /** It sent a table that is older than the one in force. */
  onStale?: () => void
  /** What is in force changed, or was confirmed: other controllers are to hear of it. */
  onAck?: (ack: Ack) => void
  /** Resolves once what was handled is in force in every process of this proxy; absent: it is at once. */
  settled?: (() => Promise<void>) | undefined
  /** What this proxy tells who looks at its fleet; absent: nothing. */
  show?: ShowFleet | undefined
}

export interface Conversation {
  /** Asks this controller for the table, from what is in force now, or no longer. */
  subscribe(wanted: boolean): void
  readonly subscribed: boolean
  /** It has sent something since the subscription began. */
  readonly heard: boolean
  readonly tell: (message: Ack | Measurements) => void
  /** Asks for another key in place of one; resolves in any case. */
  readonly rotate: (key: KeyToRotate) => Promise<Rotated['outcome']>
}

export type KeyToRotate = Omit<Rotate, 'type' | 'id'>

/** Items that are built before requests have their turn again, some milliseconds of work: an edit is in force at once. */
const largeMin = 100

const isLarge = (message: Update): boolean => (message.type === 'snapshot' ? message.items : message.upsert).length >= largeMin

/** Milliseconds for an answer: the controller writes to its API server meanwhile. */
const rotateMax = 20_000

/** Talks to one controller over a link: says what is in force, and feeds the store while subscribed. */
export function converse(link: Link<FromProxy, FromController>, options: ConversationOptions): Conversation {
  const { store, identity, minor = 0, log = () => {}, onAck = () => {}, onStale = () => {}, settled, show } = options
  let subscribed = false
  let heard = false
  let order: Order | undefined

  const waiting = new Map<string, (outcome: Rotated['outcome']) => void>()
  const send = (message: FromProxy) => link.send(encode(message))

  function hello(subscribe: boolean): void {
    subscribed = subscribe
    heard = false
    const known = minor >= 1 && { order: store.order ?? null, ...(show && { seen: true as const }) }
    send({ type: 'hello', schema: SCHEMA, ...identity, subscribe, versions: store.versions, ...known })
  }

  function take(message: Update, its: Order | undefined): Promise<void> | undefined {
    // From before the subscription ended; another controller feeds the table now.
    if (!subscribed) return undefined
    // A leader that slept, or a replica that is behind: what it has to say is over. The same table is no older one.
    if (its && store.order && isBefore(its, store.order) && takesBack(message.resource, store.versions[message.resource], message.version)) {
      log('warn', 'an older table is refused', { resource: message.resource, version: message.version, theirs: its, ours: store.order })
      hello(true)
      onStale()
      return undefined
    }
    heard = true
    if (isLarge(message)) return store.handleInSlices(message, its).then(tell)
    tell(store.handle(message, its))
    return undefined
  }

  function tell(answer: Ack | Resync): void {
    const say = (): void => {
      send(answer)
      if (answer.type === 'ack') onAck(answer)
    }
    if (settled === undefined) say()
    else void settled().then(say)
  }

  link.onMessage((message) => {
    if (message.type === 'goodbye') {
      log('warn', 'the controller closes the stream', { why: message.why })
      link.close(message.why)
      return
    }
    if (message.type === 'rotated') {
      waiting.get(message.id)?.(message.outcome)
      return
    }
    if (message.type === 'look') {
      // Of all controllers: any of them may be looked at.
      const tell = (state: unknown) => send({ type: 'seen', id: message.id, state })
      show?.(message.look).then(tell, () => tell(null))
      return
    }
    if (message.type === 'order') {
      order = message.order
      return
    }
    const its = order
    store.line.join(() => take(message, its))
  })
  hello(options.subscribe)
  for (const ack of store.acks) send(ack)

  return {
    subscribe: hello,
    tell: send,
    rotate(key) {
      const id = randomUUID()
      return new Promise((resolve) => {
        const end = (outcome: Rotated['outcome']): void => {
          clearTimeout(timer)
          waiting.delete(id)
          resolve(outcome)
        }
        const timer = setTimeout(end, rotateMax, { problem: 'the controller did not answer' })
        waiting.set(id, end)
        send({ type: 'rotate', id, ...key })
      })
    },
    get subscribed() {
      return subscribed
    },
    get heard() {
      return heard
    },
  }
}
