import type { Condition, ModelRouteStatus, RateLimitPolicyStatus } from '../../crds/types.gen.ts'
import { isObject, isRecord, pathOf, type Api } from './api.ts'
import type { Log } from '../log.ts'
import { systemClock, type Clock } from './clock.ts'
import { equal } from './equal.ts'
import { API_VERSION, OWN, type Ref } from './kinds.ts'
import { Queue, type Outcome, type Work } from './queue.ts'

export type Status = ModelRouteStatus | RateLimitPolicyStatus

export type StatusWriterOptions = Readonly<{
  api: Api
  leading: () => boolean
  log: Log
  clock?: Clock
  /** The resourceVersion of an object as it was read last; absent: none is looked at. */
  versionOf?: (ref: Ref) => string | undefined
  /** The server took this one. */
  written?: (uid: string, status: Status) => void
}>

/** Computes the status anew for the moment of writing, from the one that the server has. */
export type Desire = (previous: Status | undefined, now: Date) => Status

/** Long enough for the proxies' answers to an edit to make it into the same write. Milliseconds. */
const SOON = 30
/** Counts of endpoints and proxies change all the time while pods roll, and nobody waits for them. Milliseconds. */
const LATER = 1_000
/** A proxy that comes or goes changes them in every status there is: so many of those are written a second. */
const LATER_RATE = 50

/** Brings the server's statuses to what they should say, by server-side apply, only while leading. */
export class StatusWriter {
  readonly #options: StatusWriterOptions
  readonly #clock: Clock
  readonly #queue: Queue
  /** By uid: an object deleted and created again is another. */
  readonly #desires = new Map<string, Readonly<{ ref: Ref; desire: Desire }>>()
  readonly #seen = new Map<string, Status | undefined>()
  /** By uid, the resourceVersion that our last write made. */
  readonly #wrote = new Map<string, string>()
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

  get work(): Work {
    return this.#queue
  }

  /** Writes under way or due. */
  get pending(): number {
    return this.#queue.size
  }

  /** What the server has now: told by the watch, and by the answers to our own writes. */
  observe(uid: string, status: unknown): void {
    const before = this.#seen.get(uid)
    // The API server has checked it against the schema.
    this.#seen.set(uid, isRecord(status) ? status : undefined)
    // The watch brings what the answer to our write said already.
    if (before !== undefined && equal(before, status)) return
    const wanted = this.#desires.get(uid)
    if (wanted !== undefined && this.#differs(uid, wanted.desire)) this.#queue.add(uid, SOON)
  }

  want(ref: Ref, desire: Desire): void {
    this.#desires.set(ref.uid, { ref, desire })
    this.#queue.add(ref.uid, this.#delay(ref.uid, desire))
  }

  forget(uid: string): void {
    this.#desires.delete(uid)
    this.#seen.delete(uid)
    this.#wrote.delete(uid)
    this.#queue.forget(uid)
  }

  /** A new leader looks at every object once: its predecessor may have died before it wrote. */
  resume(): void {
    const right = new Set<string>()
    for (const [uid, { desire }] of this.#desires) {
      if (this.#differs(uid, desire)) this.#queue.add(uid, this.#delay(uid, desire))
      else right.add(uid)
    }
    for (const uid of right) this.#queue.add(uid)
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  /** Milliseconds until it is written. */
  #delay(uid: string, desire: Desire): number {
    const before = this.#seen.get(uid)
    const next = desire(before, this.#clock.date())
    const urgent = before === undefined || essence(before, before, next) !== essence(next, before, next)
    return urgent ? SOON : LATER + (this.#queue.size * 1_000) / LATER_RATE
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
    const resourceVersion = this.#version(ref)
    const answer = await this.#options.api.call({
      method: 'PATCH',
      path: pathOf(OWN[ref.kind], ref.namespace, ref.name, 'status'),
      query: { fieldManager: 'modelroute-controller', force: true },
      contentType: 'application/apply-patch+yaml',
      // The uid makes it a conflict to write of a deleted object onto one created since under its name; the version, what a
      // process writes that was asleep since it asked whether it leads.
      body: {
        apiVersion: API_VERSION,
        kind: ref.kind,
        metadata: { name: ref.name, namespace: ref.namespace, uid, ...(resourceVersion !== undefined && { resourceVersion }) },
        status,
      },
    })
    if (answer.status === 200) {
      this.#tell('')
      this.#options.written?.(uid, status)
      if (!this.#desires.has(uid)) return 'done'
      if (isObject(answer.body)) this.#wrote.set(uid, answer.body.metadata.resourceVersion)
      if (isRecord(answer.body)) this.observe(uid, answer.body['status'])
      return 'done'
    }
    // Deleted meanwhile; the watch is about to say so.
    if (answer.status === 404) return 'done'
    // The object is no longer as our last write left it: from now on the watch tells, whichever way its versions went.
    if (answer.status === 409) this.#wrote.delete(uid)
    else this.#tell(`${answer.status} ${answer.message}`)
    return 'retry'
  }

  /** What was read, or what our last write made of it while the watch has yet to bring that. */
  #version(ref: Ref): string | undefined {
    const read = this.#options.versionOf?.(ref)
    const wrote = this.#wrote.get(ref.uid)
    return read !== undefined && wrote !== undefined && Number(wrote) > Number(read) ? wrote : read
  }

  #tell(trouble: string): void {
    if (trouble === this.#denied) return
    this.#denied = trouble
    if (trouble !== '') this.#options.log('warn', 'a status was not written, trying again', { error: trouble })
  }
}

/**
 * What somebody may be waiting for; the rest is counts and wording. That a new proxy does not have yet what all the others
 * have is no news of a route: it will in a moment, and there are thousands of them. Nor is it that the first proxy came or the
 * last one went, as all of them do for a controller that starts: to write thousands of statuses at once is what an edit would wait for.
 */
function essence(status: Status, before: Status, next: Status): string {
  const fleets = ofFleets(programmed(before), programmed(next))
  const conditions = (status.conditions ?? []).flatMap(({ type, status, reason, observedGeneration }) => (
    fleets && type === 'Programmed' ? [] : [[type, status, reason, observedGeneration]]
  ))
  const rules = 'rules' in status ? status.rules?.map(({ phase, step, stepStartedAt, specHash, backends }) => (
    [phase, step, stepStartedAt, specHash, backends?.map(({ effectiveWeight }) => effectiveWeight)]
  )) : []
  return JSON.stringify([conditions, 'weights' in status ? status.weights : '', rules])
}

const programmed = ({ conditions }: Status) => conditions?.find(({ type }) => type === 'Programmed')

/** Which proxies there are is all that may have changed. */
function ofFleets(before: Condition | undefined, next: Condition | undefined): boolean {
  if (before === undefined || next === undefined || before.observedGeneration !== next.observedGeneration) return false
  const joining = before.status === 'True' && next.reason === 'Pending'
  return joining || (before.reason === 'NoDataPlane' && next.reason !== 'Rejected') || (before.reason !== 'Rejected' && next.reason === 'NoDataPlane')
}
