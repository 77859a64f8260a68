import { createHash } from 'node:crypto'
import { pathOf, type Api } from './api.ts'
import type { Log } from '../log.ts'
import { systemClock, type Clock } from './clock.ts'
import { API_VERSION, EVENTS, type Ref } from './kinds.ts'

export type EventRecorderOptions = Readonly<{
  api: Api
  /** This process, as `reportingInstance`. */
  instance: string
  log: Log
  clock?: Clock
}>

/** Events are for people: more than this at once, or a second, is noise, and load on etcd. */
const BURST = 25
const PER_SECOND = 5
/** How many we remember to have sent. The server remembers too: the name of an event is its content. */
const REMEMBERED = 10_000
/** The API server's own bound. Characters. */
const MAX_NOTE = 1_000

export type Happening = Readonly<{
  type: 'Normal' | 'Warning'
  action: 'Compile' | 'Rollout'
  reason: string
  note: string
  /** Two happenings that agree in this and all else are one. */
  once: string
}>

/** Warns of refused objects: one event an object, reason, message and generation, whoever restarts. And tells of rollouts. */
export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #clock: Clock
  readonly #sent = new Set<string>()
  #tokens = BURST
  #filledAt: number
  #failing = false

  constructor(options: EventRecorderOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#filledAt = this.#clock.now()
  }

  /** Resolves when the event is stored, known already, or dropped: none of them is the caller's concern. */
  warn(about: Ref, generation: number, reason: string, message: string): Promise<void> {
    return this.record(about, { type: 'Warning', action: 'Compile', reason, note: message, once: String(generation) })
  }

  /** The same. */
  async record(about: Ref, { type, action, reason, note: message, once }: Happening): Promise<void> {
    const note = message.slice(0, MAX_NOTE)
    const content = JSON.stringify([about.uid, once, reason, note])
    const hash = createHash('sha256').update(content).digest('hex').slice(0, 16)
    if (this.#sent.has(hash) || !this.#take()) return
    this.#sent.add(hash)
    for (const oldest of this.#sent) {
      if (this.#sent.size <= REMEMBERED) break
      this.#sent.delete(oldest)
    }
    const { api, instance, log } = this.#options
    const answer = await api.call({
      method: 'POST',
      path: pathOf(EVENTS, about.namespace),
      body: {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { name: `${about.name.slice(0, 200).replace(/[^a-z0-9]+$/, '')}.${hash}`, namespace: about.namespace },
        eventTime: this.#clock.date().toISOString().replace('Z', '000Z'),
        reportingController: 'modelroute.io/controller',
        reportingInstance: instance.slice(0, 128),
        action,
        reason,
        regarding: {
          apiVersion: API_VERSION,
          kind: about.kind,
          namespace: about.namespace,
          name: about.name,
          uid: about.uid,
        },
        note,
        type,
      },
    })
    // 409: said before, by us or by the leader before us. 404: the namespace is going.
    const failed = ![200, 201, 404, 409].includes(answer.status)
    if (failed) this.#sent.delete(hash)
    if (failed && !this.#failing) log('warn', 'an event was not recorded', { reason, error: answer.message })
    this.#failing = failed
  }

  #take(): boolean {
    const now = this.#clock.now()
    this.#tokens = Math.min(BURST, this.#tokens + (now - this.#filledAt) / 1_000 * PER_SECOND)
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
