import { isObject, isRecord, pathOf, type Answer, type Api, type RawObject } from './api.ts'
import type { Log } from '../log.ts'
import { sleep, systemClock, type Clock } from './clock.ts'
import { LEASES } from './kinds.ts'

/** A holder with a longer lease than ours (another version, mid-upgrade) is waited for, but not for ever. Seconds. */
const LONGEST = 60
/** `leaseTransitions` is an int32, and what would be above it is refused by the API server. */
const LAST_TERM = 2 ** 31 - 1
/** By how much at most a term is made greater at once: whoever makes terms up does not use them up. */
const LEAP = 10_000

export type ElectorOptions = Readonly<{
  api: Api
  namespace: string
  name: string
  /** Unique to this process (a pod's name and a random part): two that share one would both lead. */
  identity: string
  /** `term` counts the lease's changes of hands: a later leader's is greater. */
  onStarted(term: number): void
  /** Awaited before the lease is released; nothing may be written once it has been called. */
  onStopped(): void | Promise<void>
  log: Log
  clock?: Clock
  /** Milliseconds: others wait 15 s after our last sign of life; we stop 10 s after it; we give one every 2 s. */
  leaseDuration?: number
  renewDeadline?: number
  retryPeriod?: number
}>

/**
 * Leader election on a Lease. Nobody's clock is compared with anybody's: another's lease has run out when it did not
 * change for its duration by our own monotonic clock, and ours counts from before the request that renewed it.
 */
export class Elector {
  readonly #options: ElectorOptions
  readonly #clock: Clock
  readonly #duration: number
  readonly #deadline: number
  readonly #retry: number
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  /** The lease as last read or written, and when we first saw it so. */
  #seen: Readonly<{ lease: RawObject; at: number }> | undefined
  #renewedAt: number | undefined
  #cancelDeadline: (() => void) | undefined
  #announced: Promise<void> = Promise.resolve()
  #told = ''
  /** No term that is written is below it. */
  #floor = 0
  /** The latest that was ever read. */
  #latest = 0

  constructor(options: ElectorOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#duration = options.leaseDuration ?? 15_000
    this.#deadline = options.renewDeadline ?? 10_000
    this.#retry = options.retryPeriod ?? 2_000
  }

  /** Asked before each write: false from the deadline on, even when the event loop was too busy to say so. */
  get leading(): boolean {
    return this.#renewedAt !== undefined && this.#clock.now() - this.#renewedAt < this.#deadline
  }

  /** How often the lease has changed hands, as far as this process knows: also of others' terms. 0 before it has read one. */
  get term(): number {
    return this.#seen === undefined ? 0 : readSpec(this.#seen.lease).transitions
  }

  /**
   * Somebody knows of a later term than the cluster does: its history was set back, by a restore of etcd or a deletion of the
   * lease. Whoever leads takes a term after that one with the next renewal.
   */
  surpass(term: number): void {
    if (!this.leading || term < this.term || term > this.term + LEAP) return
    if (this.#floor <= term) this.#options.log('warn', 'a later term is known than the lease says; taking one after it', { known: term, lease: this.term })
    this.#floor = Math.max(this.#floor, term + 1)
  }

  /**
   * The cluster's history was set back, and what was decided since is gone: whoever leads ends that and begins anew, in a term
   * after those that the cluster has forgotten.
   */
  setBack(): void {
    this.#floor = Math.max(this.#floor, this.#latest + 1)
    this.#lose('the history of the cluster was set back')
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Stops leading, then hands the lease over, so that the next leader need not wait for it to run out. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
    const held = this.leading
    this.#lose('shutting down')
    await this.#announced
    if (held && this.#seen !== undefined) await this.#put(this.#seen.lease, this.#spec({ release: true }))
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#turn()
      // Half a period of jitter, so that candidates do not meet at every try.
      const wait = this.leading ? this.#retry : this.#retry * (1 + Math.random() / 2)
      await sleep(this.#clock, wait, this.#stop.signal)
    }
  }

  async #turn(): Promise<void> {
    const began = this.#clock.now()
    // The lease we hold is as we wrote it, so renewing is one request.
    let answer = this.#renewedAt !== undefined && this.#seen !== undefined
      ? await this.#put(this.#seen.lease, this.#spec({ release: false }))
      : await this.#contend()
    // A conflict may be our own last renewal, whose answer was lost: reading tells.
    if (answer?.status === 409 && this.#renewedAt !== undefined) answer = await this.#contend()
    if (answer !== undefined && answer.status < 300 && isObject(answer.body)) {
      this.#tell('')
      return this.#hold(answer.body, began)
    }
    if (this.#stop.signal.aborted) return
    if (answer === undefined || answer.status === 409 || answer.status === 404) {
      this.#lose('another holds the lease, or it was deleted')
      return this.#tell('')
    }
    this.#tell(`${answer.status} ${answer.message}`)
  }

  /** Undefined: someone else holds the lease. */
  async #contend(): Promise<Answer | undefined> {
    const { api, namespace, name } = this.#options
    const path = pathOf(LEASES, namespace, name)
    const answer = await api.call({ path, deadline: this.#requestDeadline(), signal: this.#stop.signal })
    if (answer.status === 404) {
      return api.call({
        method: 'POST',
        path: pathOf(LEASES, namespace),
        body: this.#body({ name, namespace }, this.#spec({ release: false })),
        deadline: this.#requestDeadline(),
        signal: this.#stop.signal,
      })
    }
    if (answer.status !== 200 || !isObject(answer.body)) return answer
    this.#look(answer.body)
    const { holder, duration } = readSpec(answer.body)
    const age = this.#clock.now() - (this.#seen?.at ?? 0)
    if (holder !== '' && holder !== this.#options.identity && age < Math.max(duration, this.#duration)) return undefined
    return this.#put(answer.body, this.#spec({ release: false }))
  }

  /** The version makes it a comparison: of two candidates the server lets one through. */
  #put(lease: RawObject, spec: Readonly<Record<string, unknown>>): Promise<Answer> {
    const { api, namespace, name } = this.#options
    return api.call({
      method: 'PUT',
      path: pathOf(LEASES, namespace, name),
      body: this.#body(lease.metadata, spec),
      deadline: this.#requestDeadline(),
    })
  }

  #body(metadata: unknown, spec: unknown): unknown {
    return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec }
  }

  #spec({ release }: { release: boolean }): Readonly<Record<string, unknown>> {
    const now = this.#clock.date().toISOString().replace('Z', '000Z')
    const before = this.#seen === undefined ? undefined : readSpec(this.#seen.lease)
    const same = before?.holder === this.#options.identity
    return {
      holderIdentity: release ? '' : this.#options.identity,
      leaseDurationSeconds: release ? 1 : Math.ceil(this.#duration / 1_000),
      acquireTime: same && before.acquired !== undefined ? before.acquired : now,
      renewTime: now,
      leaseTransitions: Math.min(LAST_TERM, Math.max(this.#floor, before === undefined ? 1 : before.transitions + (same ? 0 : 1))),
    }
  }

  /** A request that outlives the deadline could renew a lease that we have given up. */
  #requestDeadline(): number {
    const left = this.#renewedAt === undefined ? this.#deadline : this.#renewedAt + this.#deadline - this.#clock.now()
    return Math.max(100, Math.min(left, this.#deadline / 2))
  }

  #look(lease: RawObject): void {
    const { uid, resourceVersion } = lease.metadata
    const known = this.#seen?.lease.metadata
    if (known?.uid === uid && known.resourceVersion === resourceVersion) return
    this.#seen = { lease, at: this.#clock.now() }
    this.#latest = Math.max(this.#latest, this.term)
  }

  #hold(lease: RawObject, began: number): void {
    this.#look(lease)
    const { holder, transitions } = readSpec(lease)
    // An answer that came too late does not count: the deadline has passed, and `onStopped` with it.
    const late = this.#clock.now() - began >= this.#deadline
    if (holder !== this.#options.identity || late || this.#stop.signal.aborted) return
    const first = this.#renewedAt === undefined
    this.#renewedAt = began
    this.#cancelDeadline?.()
    this.#cancelDeadline = this.#clock.after(began + this.#deadline - this.#clock.now(), () => {
      this.#lose('the lease could not be renewed in time')
    })
    if (!first) return
    this.#options.log('info', 'leading', { identity: this.#options.identity, term: transitions })
    this.#announce(() => {
      if (this.leading) this.#options.onStarted(transitions)
    })
  }

  #lose(why: string): void {
    if (this.#renewedAt === undefined) return
    this.#renewedAt = undefined
    this.#cancelDeadline?.()
    this.#options.log('warn', 'no longer leading', { identity: this.#options.identity, why })
    this.#announce(() => this.#options.onStopped())
  }

  /** One after the other: a term never begins before the end of the last one is done with. */
  #announce(run: () => void | Promise<void>): void {
    this.#announced = this.#announced.then(run).catch((error: unknown) => {
      this.#options.log('error', 'a change of leadership was not handled', { error: String(error) })
    })
  }

  #tell(trouble: string): void {
    if (trouble === this.#told) return
    this.#told = trouble
    if (trouble === '') return
    const { namespace, name } = this.#options
    this.#options.log('warn', `cannot take or renew the lease ${namespace}/${name}, trying again`, { error: trouble })
  }
}

type Spec = Readonly<{ holder: string; duration: number; transitions: number; acquired?: string }>

function readSpec(lease: RawObject): Spec {
  const spec = isRecord(lease['spec']) ? lease['spec'] : {}
  const { holderIdentity, leaseDurationSeconds, leaseTransitions, acquireTime } = spec
  return {
    holder: typeof holderIdentity === 'string' ? holderIdentity : '',
    duration: Math.min(typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds : 0, LONGEST) * 1_000,
    transitions: typeof leaseTransitions === 'number' ? leaseTransitions : 0,
    ...(typeof acquireTime === 'string' ? { acquired: acquireTime } : {}),
  }
}
