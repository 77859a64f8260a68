import { keyOf, pathOf, type RawObject } from './api.ts'
import { backoff } from './backoff.ts'
import { changesBetween, changesOf, type Change, type Entry } from './change.ts'
import { sleep, systemClock, type Clock } from './clock.ts'
import { Complaint } from './complaint.ts'
import { list, setBackTo, type Target } from './list.ts'
import type { ReflectorOptions } from './reflector_options.ts'
import type { Trouble } from './trouble.ts'
import { verify } from './verify.ts'
import { watch, type WatchEvent } from './watch.ts'

/** A watch that lived this long was healthy: the waits start anew after it. Milliseconds. */
const HEALTHY = 30_000
/** A watch that ends sooner than this, without a word, was refused in all but name. Milliseconds. */
const TOO_SHORT = 1_000
/** A kind that held objects must be missing for this long: a restarting API server or its proxy says 404 too. */
const ABSENT_FOR = 5_000
/** How soon a CRD that appears is seen, at the latest. Milliseconds. */
const ABSENT_CAP = 10_000

/** `reading`: not all of it has been read yet. `absent`: the server does not have the kind. */
export type WatchState = 'following' | 'reading' | 'failing' | 'absent'

/** Keeps a copy of one kind's objects, as fresh as the API server is reachable. Lists, watches, and never gives up. */
export class Reflector<T> {
  /** By `namespace/name`. */
  get items(): ReadonlyMap<string, Readonly<{ value: T }>> {
    return this.#items
  }

  /** How many lists were begun: what a test of the load on the API server counts. */
  lists = 0

  readonly #options: ReflectorOptions<T>
  readonly #clock: Clock
  readonly #random: () => number
  readonly #target: Target
  readonly #stop = new AbortController()
  readonly #complaint: Complaint
  #items: Map<string, Entry<T>> = new Map()
  #synced = false
  #running: Promise<void> | undefined
  #listedAt = 0
  #absentSince: number | undefined
  #denied = false
  /** The history was set back since the last list: a version that is known may be given again, or a generation, to something else. */
  #doubted = false
  /** Keys that the watch changed while a verification reads. */
  #touched: Set<string> | undefined

  constructor(options: ReflectorOptions<T>) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#complaint = new Complaint(options)
    this.#random = options.random ?? Math.random
    this.#target = {
      api: options.api,
      path: pathOf(options.kind, options.namespace),
      ...(options.labelSelector === undefined ? {} : { labelSelector: options.labelSelector }),
    }
  }

  /** Of the object as it is held. */
  versionOf(key: string): string | undefined {
    return this.#items.get(key)?.resourceVersion
  }

  get kind(): string {
    return this.#options.kind.plural
  }

  /** How it stands with the server. */
  get state(): WatchState {
    if (this.#complaint.open) return this.#absentSince === undefined ? 'failing' : 'absent'
    return this.#synced ? 'following' : 'reading'
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const signal = this.#stop.signal
    let version: string | undefined
    let last: Trouble | undefined
    let failures = 0
    let lists = 0
    let listed = false
    while (!signal.aborted) {
      let trouble: Trouble | undefined
      if (version === undefined) {
        const outcome = await this.#list()
        if ('why' in outcome) trouble = outcome
        else version = outcome.resourceVersion
        listed = version !== undefined
        if (trouble?.why !== 'absent') lists++
      } else {
        const began = this.#clock.now()
        const from: string = version
        trouble = listed ? undefined : await this.#setBack(from)
        if (trouble === undefined) {
          listed = false
          trouble = await this.#watch(from, next => { version = next })
        }
        const lived = this.#clock.now() - began
        if (lived >= HEALTHY) failures = lists = 0
        if (trouble === undefined && lived < TOO_SHORT && version === from) {
          trouble = { why: 'cut', message: 'the watch ended at once' }
        }
      }
      if (signal.aborted) return
      this.#complaint.of(trouble)
      if (trouble?.why === 'denied' && trouble.status === 403) this.#deny(true)
      if (trouble === undefined) continue
      // Another trouble than before is progress: a server that starts refuses connections, then rights, then versions.
      if (last !== undefined && (trouble.why !== last.why || trouble.status !== last.status)) failures = Math.min(failures, 1)
      last = trouble
      const again = trouble.why === 'expired' || trouble.why === 'garbled'
      if (again || trouble.why === 'absent') version = undefined
      // Lists are what hurts a server, so those that no healthy watch followed slow down by themselves.
      const tries = again && lists > 0 ? lists - 1 : failures++
      await sleep(this.#clock, backoff(tries, trouble.why === 'absent' ? ABSENT_CAP : undefined, this.#random), signal)
    }
  }

  async #list(): Promise<Readonly<{ resourceVersion: string }> | Trouble> {
    this.lists++
    let next = new Map<string, Entry<T>>()
    const listed = await list(this.#target, this.#stop.signal, () => { next = new Map() }, object => {
      const entry = this.#enter(object)
      if (entry !== undefined) next.set(keyFor(object), entry)
    })
    if (this.#stop.signal.aborted) return { why: 'cut', message: 'stopped' }
    if ('why' in listed) {
      if (listed.why === 'absent') this.#missing()
      else this.#absentSince = undefined
      return listed
    }
    this.#absentSince = undefined
    this.#listedAt = this.#clock.now()
    this.#deny(false)
    this.#swap(next)
    this.#doubted = false
    this.#options.onVersion?.(listed.resourceVersion)
    return listed
  }

  /**
   * Whether the server still has the version that a watch is to go on from. It has nothing to say to a watch from one that is yet
   * to come, and once that has come, what came before it is missed.
   */
  async #setBack(from: string): Promise<Trouble | undefined> {
    const to = await setBackTo(this.#target, from, this.#stop.signal)
    if (typeof to !== 'string') return to
    this.#doubted = true
    this.#guard(() => this.#options.onSetBack?.(from, to))
    return { why: 'expired', message: `the history of the cluster was set back, from ${from} to ${to}: etcd was restored` }
  }

  async #watch(from: string, onVersion: (version: string) => void): Promise<Trouble | undefined> {
    const own = new AbortController()
    const signal = AbortSignal.any([this.#stop.signal, own.signal])
    const every = (this.#options.relist ?? 600_000) * (0.9 + this.#random() / 5)
    let drift: Trouble | undefined
    let verifying: Promise<void> | undefined
    let cancel = () => {}
    const check = async () => {
      this.lists++
      this.#touched = new Set()
      const found = await verify(this.#target, signal, this.#clock, () => this.#items, this.#touched)
      this.#touched = undefined
      if (signal.aborted) return
      if (found === undefined) {
        this.#listedAt = this.#clock.now()
        return plan()
      }
      drift = { why: 'expired', message: found }
      own.abort()
    }
    const plan = () => {
      cancel = this.#clock.after(Math.max(0, this.#listedAt + every - this.#clock.now()), () => {
        verifying = check()
      })
    }
    plan()
    const trouble = await watch(this.#target, from, {
      clock: this.#clock,
      signal,
      timeoutSeconds: 300 + Math.floor(this.#random() * 300),
      idle: this.#options.idle ?? 90_000,
      onVersion: version => {
        onVersion(version)
        this.#options.onVersion?.(version)
        this.#complaint.of(undefined)
      },
      onEvent: event => this.#apply(event),
    })
    cancel()
    own.abort()
    await verifying
    return drift ?? trouble
  }

  #apply({ type, object }: WatchEvent): void {
    const key = keyFor(object)
    this.#touched?.add(key)
    const before = this.#items.get(key)
    if (type === 'DELETED') {
      // The end of an earlier object of this name says nothing of the one we hold.
      if (before === undefined || before.uid !== object.metadata.uid) return
      this.#items.delete(key)
      this.#emit([{ key, before: before.value }])
      return
    }
    const after = this.#enter(object)
    if (after === undefined) return
    this.#items.set(key, after)
    this.#emit(changesOf(key, before, after))
  }

  #enter(object: RawObject): Entry<T> | undefined {
    const { uid, resourceVersion } = object.metadata
    const held = this.#items.get(keyFor(object))
    const previous = held?.uid === uid && !this.#doubted ? held : undefined
    if (previous?.resourceVersion === resourceVersion) return previous
    try {
      return { uid, resourceVersion, value: this.#options.keep(object, previous?.value) }
    } catch (error) {
      this.#options.log('error', 'an object could not be read', { object: keyFor(object), error: String(error) })
      return previous
    }
  }

  #swap(next: Map<string, Entry<T>>): void {
    const before = this.#items
    this.#items = next
    this.#emit(changesBetween(before, next))
    if (this.#synced) return
    this.#synced = true
    this.#guard(() => this.#options.onSynced())
  }

  #deny(denied: boolean): void {
    if (denied === this.#denied) return
    this.#denied = denied
    this.#guard(() => this.#options.onDenied?.(denied))
  }

  /** The server does not have the kind. */
  #missing(): void {
    this.#absentSince ??= this.#clock.now()
    if (!this.#synced && this.#options.required) return
    if (this.#items.size > 0 && this.#clock.now() - this.#absentSince < ABSENT_FOR) return
    this.#swap(new Map())
  }

  #emit(changes: readonly Change<T>[]): void {
    if (changes.length > 0) this.#guard(() => this.#options.onChange(changes))
  }

  #guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#options.log('error', 'a handler failed', { kind: this.#options.kind.plural, error: String(error) })
    }
  }
}

const keyFor = (object: RawObject) => keyOf(object.metadata.namespace ?? '', object.metadata.name)
