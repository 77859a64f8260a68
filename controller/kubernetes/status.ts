import type { ModelRouteStatus, RateLimitPolicyStatus } from '../../crds/types.gen.ts'
import { isRecord, pathOf, type Api } from './api.ts'
import type { Log } from '../log.ts'
import { systemClock, type Clock } from './clock.ts'
import { equal } from './equal.ts'
import { API_VERSION, OWN, type Ref } from './kinds.ts'
import { Queue, type Outcome } from './queue.ts'

export type Status = ModelRouteStatus | RateLimitPolicyStatus

export type StatusWriterOptions = Readonly<{
  api: Api
  leading: () => boolean
  log: Log
  clock?: Clock
  /** The server took this one. */
  written?: (uid: string, status: Status) => void
}>

/** Computes the status anew for the moment of writing, from the one that the server has. */
export type Desire = (previous: Status | undefined, now: Date) => Status

/** Long enough for the proxies' answers to an edit to make it into the same write. Milliseconds. */
const SOON = 30
/** Counts of endpoints and proxies change all the time while pods roll, and nobody waits for them. Milliseconds. */
const LATER = 1_000

/** Brings the server's statuses to what they should say, by server-side apply, only while leading. */
export class StatusWriter {
  readonly #options: StatusWriterOptions
  readonly #clock: Clock
  readonly #queue: Queue
  /** By uid: an object deleted and created again is another. */
  readonly #desires = new Map<string, Readonly<{ ref: Ref; desire: Desire }>>()
  readonly #seen = new Map<string, Status | undefined>()
  readonly #planned = new Map<string, Status>()
  #denied = ''

  constructor(options: StatusWriterOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#queue = new Queue({
      run: uid => this.#write(uid),
      concurrency: 4,
      maxDelay: 30_000,
      log: options.log,
      clock: this.#clock,
    })
  }

  /** Writes under way or due. */
  get pending(): number {
    return this.#queue.size
  }

  /** What the server has now: told by the watch, and by the answers to our own writes. */
  observe(uid: string, status: unknown): void {
    // The API server has checked it against the schema.
    this.#seen.set(uid, isRecord(status) ? status : undefined)
    const wanted = this.#desires.get(uid)
    if (wanted !== undefined && this.#differs(uid, wanted.desire)) this.#queue.add(uid, SOON)
  }

  want(ref: Ref, desire: Desire): void {
    this.#desires.set(ref.uid, { ref, desire })
    const next = desire(this.#seen.get(ref.uid), this.#clock.date())
    const before = this.#planned.get(ref.uid) ?? this.#seen.get(ref.uid)
    this.#planned.set(ref.uid, next)
    this.#queue.add(ref.uid, before === undefined || essence(before) !== essence(next) ? SOON : LATER)
  }

  forget(uid: string): void {
    this.#desires.delete(uid)
    this.#seen.delete(uid)
    this.#planned.delete(uid)
    this.#queue.forget(uid)
  }

  /** A new leader looks at every object once: its predecessor may have died before it wrote. */
  resume(): void {
    for (const uid of this.#desires.keys()) this.#queue.add(uid)
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  #differs(uid: string, desire: Desire): boolean {
    const seen = this.#seen.get(uid)
    return !equal(seen, desire(seen, this.#clock.date()))
  }

  async #write(uid: string): Promise<Outcome> {
    const wanted = this.#desires.get(uid)
    if (wanted === undefined || !this.#options.leading()) return 'done'
    const { ref, desire } = wanted
    const status = desire(this.#seen.get(uid), this.#clock.date())
    if (equal(this.#seen.get(uid), status)) {
      this.#options.written?.(uid, status)
      return 'done'
    }
    const answer = await this.#options.api.call({
      method: 'PATCH',
      path: pathOf(OWN[ref.kind], ref.namespace, ref.name, 'status'),
      query: { fieldManager: 'modelroute-controller', force: true },
      contentType: 'application/apply-patch+yaml',
      // The uid makes it a conflict to write of a deleted object onto one created since under its name.
      body: {
        apiVersion: API_VERSION,
        kind: ref.kind,
        metadata: { name: ref.name, namespace: ref.namespace, uid },
        status,
      },
    })
    if (answer.status === 200) {
      this.#tell('')
      this.#options.written?.(uid, status)
      if (this.#desires.has(uid) && isRecord(answer.body)) this.observe(uid, answer.body['status'])
      return 'done'
    }
    // Deleted meanwhile; the watch is about to say so.
    if (answer.status === 404) return 'done'
    if (answer.status !== 409) this.#tell(`${answer.status} ${answer.message}`)
    return 'retry'
  }

  #tell(trouble: string): void {
    if (trouble === this.#denied) return
    this.#denied = trouble
    if (trouble !== '') this.#options.log('warn', 'a status was not written, trying again', { error: trouble })
  }
}

/** What somebody may be waiting for; the rest is counts and wording. */
function essence(status: Status): string {
  const conditions = (status.conditions ?? []).map(({ type, status, reason, observedGeneration }) => (
    [type, status, reason, observedGeneration]
  ))
  const rules = 'rules' in status ? status.rules?.map(({ phase, step, stepStartedAt, specHash, backends }) => (
    [phase, step, stepStartedAt, specHash, backends?.map(({ effectiveWeight }) => effectiveWeight)]
  )) : []
  return JSON.stringify([conditions, 'weights' in status ? status.weights : '', rules])
}
