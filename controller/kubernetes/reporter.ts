import { differences } from '../../table/changes.ts'
import type { PolicyOutcome, RouteOutcome, Verdict } from '../compile/compiled.ts'
import type { Resource } from '../sources/snapshot.ts'
import { policyStatus, reaches, restless, routeStatus, standings, type Progress, type Reach, type Standings } from '../status.ts'
import type { News } from '../rollout/machine.ts'
import type { View } from '../statuses.ts'
import { keyOf, type Api } from './api.ts'
import type { Log } from '../log.ts'
import { systemClock, type Clock } from './clock.ts'
import { EventRecorder } from './events.ts'
import type { Ref } from './kinds.ts'
import type { Work } from './queue.ts'
import { RevisionWriter, type Revisions } from './revisions.ts'
import { StatusWriter, type Status } from './status.ts'

export type ReporterOptions = Readonly<{
  api: Api
  revisions: Revisions
  leading: () => boolean
  instance: string
  log: Log
  clock?: Clock
  /** The resourceVersion of an object as it was read last. */
  versionOf?: (ref: Ref) => string | undefined
  /** The server took a status, and shows it now. */
  written?: (uid: string, status: Status) => void
}>

/** Tells the cluster what became of its routes and policies: statuses, events, and the revisions in force. */
export class Reporter {
  readonly statuses: StatusWriter
  readonly #options: ReporterOptions
  readonly #clock: Clock
  readonly #events: EventRecorder
  readonly #revisions: RevisionWriter
  /** By uid, what was reported last; identity and value tell what to look at again. */
  readonly #routes = new Map<string, Readonly<{ ref: Ref; outcome: RouteOutcome; reach: Reach; progress: Progress }>>()
  readonly #policies = new Map<string, Readonly<{ ref: Ref; outcome: PolicyOutcome; programmed: string }>>()
  /** By `namespace/name`. */
  readonly #uids = new Map<string, string>()
  readonly #programmed = new Map<string, boolean>()
  #last: Readonly<{ view: View; standings: Standings }> | undefined

  constructor(options: ReporterOptions) {
    const { api, revisions, leading, instance, log, versionOf, written, clock = systemClock } = options
    this.#options = options
    this.#clock = clock
    this.statuses = new StatusWriter({ api, leading, log, clock, ...(versionOf && { versionOf }), ...(written && { written }) })
    this.#events = new EventRecorder({ api, instance, log, clock })
    this.#revisions = new RevisionWriter({ api, revisions, leading, log, clock })
  }

  /** Cheap when little changed: called after each compilation, and when a proxy acknowledges or leaves. */
  report(view: View): void {
    const { snapshot, compiled, proxies, hashes, progress } = view
    const now = standings(proxies, hashes)
    const reachOf = reaches(proxies, hashes)
    for (const key of this.#toLookAt(view, now)) {
      const outcome = compiled.routes.get(key)
      const resource = snapshot.modelRoutes.get(key)
      const known = this.#uids.get(key)
      if (known !== undefined && (outcome === undefined || resource?.uid !== known)) this.#forget(known, key)
      if (outcome === undefined || resource === undefined) continue
      const reach = reachOf(key, outcome.gateways)
      this.#uids.set(key, resource.uid)
      this.#programmed.set(key, outcome.inForce !== undefined && reach.total > 0 && reach.programmed === reach.total)
      this.#route(refOf('ModelRoute', resource), { outcome, reach, progress: progress(key) })
    }
    this.#last = { view, standings: now }
    const gone = new Set(this.#policies.keys())
    for (const [key, outcome] of compiled.policies) {
      const resource = snapshot.rateLimitPolicies.get(key)
      if (resource === undefined) continue
      gone.delete(resource.uid)
      this.#policy(refOf('RateLimitPolicy', resource), outcome, name => this.#programmed.get(keyOf(resource.namespace, name)))
    }
    for (const uid of gone) this.#forget(uid)
  }

  /** The routes of which something may be other than at the last report. */
  #toLookAt({ snapshot, compiled, progressed }: View, now: Standings): Iterable<string> {
    const before = this.#last
    const moved = before && restless(before.standings, now)
    if (before === undefined || moved === undefined || progressed === undefined) return new Set([...this.#uids.keys(), ...compiled.routes.keys()])
    const { view } = before
    return new Set([
      ...moved, ...progressed,
      ...differences(view.compiled.routes, compiled.routes),
      ...differences(view.snapshot.modelRoutes, snapshot.modelRoutes),
      ...differences(view.snapshot.revisions, snapshot.revisions),
    ])
  }

  /** Called when this process has become the leader. */
  resume(): void {
    this.statuses.resume()
    this.#revisions.resume()
    for (const { ref, outcome, reach } of this.#routes.values()) this.#warnOfRoute(ref, outcome, reach)
    for (const { ref, outcome } of this.#policies.values()) this.#warn(ref, outcome.generation, outcome.accepted)
  }

  /** By queue. */
  work(): Readonly<Record<string, Work>> {
    return { statuses: this.statuses.work, revisions: this.#revisions.work }
  }

  async stop(): Promise<void> {
    await Promise.all([this.statuses.stop(), this.#revisions.stop()])
  }

  /** What a rollout did, for people. `route` is of the moment. */
  tell(route: Omit<Ref, 'kind'>, rule: string, { type, reason, message }: News): void {
    if (!this.#options.leading()) return
    const note = `${rule}: ${message}`
    void this.#events.record({ kind: 'ModelRoute', ...route }, { type, reason, note, action: 'Rollout', once: this.#clock.date().toISOString() })
  }

  #route(ref: Ref, { outcome, reach, progress }: Readonly<{ outcome: RouteOutcome; reach: Reach; progress: Progress }>): void {
    const before = this.#routes.get(ref.uid)
    const { states, revision } = progress
    if (before?.outcome === outcome && before.progress.states === states && before.progress.revision === revision && sameReach(before.reach, reach)) return
    this.#routes.set(ref.uid, { ref, outcome, reach, progress })
    this.statuses.want(ref, (previous, now) => (
      routeStatus({ outcome, reach, progress, previous, now })
    ))
    this.#revisions.want(ref, outcome)
    this.#warnOfRoute(ref, outcome, reach)
  }

  #policy(ref: Ref, outcome: PolicyOutcome, programmed: (route: string) => boolean | undefined): void {
    const state = outcome.targets.map(({ name }) => String(programmed(name))).join()
    const before = this.#policies.get(ref.uid)
    if (before?.outcome === outcome && before.programmed === state) return
    this.#policies.set(ref.uid, { ref, outcome, programmed: state })
    const targets = new Map(outcome.targets.map(({ name }) => [name, programmed(name)]))
    this.statuses.want(ref, (previous, now) => policyStatus({
      outcome,
      programmed: name => targets.get(name),
      previous,
      now,
    }))
    this.#warn(ref, outcome.generation, outcome.accepted)
  }

  #warnOfRoute(ref: Ref, outcome: RouteOutcome, reach: Reach): void {
    this.#warn(ref, outcome.generation, outcome.accepted)
    this.#warn(ref, outcome.generation, outcome.resolvedRefs)
    if (outcome.partiallyInvalid?.status === 'True') {
      this.#warn(ref, outcome.generation, { ...outcome.partiallyInvalid, status: 'False' })
    }
    if (reach.rejected > 0) {
      this.#warn(ref, outcome.generation, { status: 'False', reason: 'Rejected', message: `Refused by ${reach.refusal}` })
    }
  }

  #warn(ref: Ref, generation: number, { status, reason, message }: Verdict): void {
    if (status === 'False' && this.#options.leading()) void this.#events.warn(ref, generation, reason, message)
  }

  #forget(uid: string, route?: string): void {
    if (route !== undefined) {
      this.#uids.delete(route)
      this.#programmed.delete(route)
    }
    this.#routes.delete(uid)
    this.#policies.delete(uid)
    this.statuses.forget(uid)
    this.#revisions.forget(uid)
  }
}

function refOf(kind: Ref['kind'], { namespace, name, uid }: Resource<unknown>): Ref {
  return { kind, namespace, name, uid }
}

function sameReach(a: Reach, b: Reach): boolean {
  return a.programmed === b.programmed && a.total === b.total && a.rejected === b.rejected
    && a.version === b.version && a.refusal === b.refusal
}
