import { createHash } from 'node:crypto'
import type { ModelRoute } from '../../crds/types.gen.ts'
import type { RouteOutcome } from '../compile/compiled.ts'
import { isRouteSpec } from '../sources/route-spec.ts'
import type { Revision } from '../sources/snapshot.ts'
import { isObject, isRecord, pathOf, type Api, type RawObject } from './api.ts'
import type { Log } from '../log.ts'
import type { Clock } from './clock.ts'
import { equal } from './equal.ts'
import { API_VERSION, CONTROLLER_REVISIONS, type Ref } from './kinds.ts'
import { Queue, type Outcome, type Work } from './queue.ts'

/** What selects our ControllerRevisions among those of StatefulSets and DaemonSets. */
export const REVISION_LABEL = 'modelroute.io/route'

const HISTORY = 10
/** A burst of edits is one revision: milliseconds from the first of them. */
const DELAY = 200

/** One ControllerRevision, less what we don't need. */
export type StoredRevision = Readonly<{
  namespace: string
  name: string
  /** The uid of the route: a route of the same name that was created later has none of its past. */
  owner: string
  revision: number
}> & {
  /** Only the latest of a route is held, by `Revisions`: whoever remembers the others lets go of theirs. */
  spec: unknown
}

/** What is kept of a ControllerRevision; undefined: it is none of ours, whatever its label says. */
export function readRevision(object: RawObject): StoredRevision | undefined {
  const { revision, data } = object
  const owner = object.metadata.ownerReferences?.find(({ kind }) => kind === 'ModelRoute')
  if (owner === undefined || typeof revision !== 'number' || !isRecord(data)) return undefined
  return {
    namespace: object.metadata.namespace ?? '',
    name: object.metadata.name,
    owner: owner.uid,
    revision,
    spec: data['spec'],
  }
}

type History = { revisions: Map<string, number>; latest?: { readonly name: string; value: Revision } }

/** The revisions of every route, of which only each latest spec is held: ten times the routes' size otherwise. */
export class Revisions {
  readonly #byOwner = new Map<string, History>()
  readonly #isSpec: (spec: unknown) => spec is ModelRoute['spec']

  /** @param isSpec what a stored spec must satisfy, since anyone who may write ControllerRevisions could have stored it */
  constructor(isSpec: (spec: unknown) => spec is ModelRoute['spec']) {
    this.#isSpec = isSpec
  }

  latest(owner: string): Revision | undefined {
    return this.#byOwner.get(owner)?.latest?.value
  }

  /** Name → number. */
  of(owner: string): ReadonlyMap<string, number> {
    return this.#byOwner.get(owner)?.revisions ?? new Map()
  }

  put({ owner, name, revision, spec }: StoredRevision): void {
    const history: History = this.#byOwner.get(owner) ?? { revisions: new Map() }
    this.#byOwner.set(owner, history)
    history.revisions.set(name, revision)
    const before = history.latest?.value
    if (before !== undefined && revision <= before.revision) return
    const kept = before !== undefined && equal(before.spec, spec) ? before.spec : spec
    if (this.#isSpec(kept)) history.latest = { name, value: { revision, spec: kept } }
  }

  /** Holds that spec in place of the latest one where they say the same, as they mostly do: there is one of them for each route. */
  share(owner: string, spec: ModelRoute['spec'] | undefined): void {
    const latest = this.#byOwner.get(owner)?.latest
    if (latest === undefined || spec === undefined || latest.value.spec === spec || !equal(latest.value.spec, spec)) return
    latest.value = { ...latest.value, spec }
  }

  /** After the latest was deleted by hand none is known until the leader writes what is in force again. */
  remove({ owner, name }: Pick<StoredRevision, 'owner' | 'name'>): void {
    const history = this.#byOwner.get(owner)
    if (history === undefined) return
    history.revisions.delete(name)
    if (history.latest?.name === name) delete history.latest
    if (history.revisions.size === 0) this.#byOwner.delete(owner)
  }
}

export type RevisionWriterOptions = Readonly<{
  api: Api
  revisions: Revisions
  leading: () => boolean
  log: Log
  clock?: Clock
}>

/** Writes down what is in force of each route, so that a restarted controller knows what to fall back to. */
export class RevisionWriter {
  readonly #options: RevisionWriterOptions
  readonly #queue: Queue
  readonly #wanted = new Map<string, Readonly<{ ref: Ref; inForce: ModelRoute['spec'] }>>()

  constructor(options: RevisionWriterOptions) {
    this.#options = options
    this.#queue = new Queue({
      run: uid => this.#write(uid),
      concurrency: 2,
      maxDelay: 60_000,
      log: options.log,
      ...(options.clock === undefined ? {} : { clock: options.clock }),
    })
  }

  get work(): Work {
    return this.#queue
  }

  want(ref: Ref, outcome: RouteOutcome): void {
    if (outcome.inForce === undefined || this.#wanted.get(ref.uid)?.inForce === outcome.inForce) return
    this.#wanted.set(ref.uid, { ref, inForce: outcome.inForce })
    this.#queue.add(ref.uid, DELAY)
  }

  /** The route is gone; its revisions go with their owner. */
  forget(uid: string): void {
    this.#wanted.delete(uid)
    this.#queue.forget(uid)
  }

  /** A new leader writes what its predecessor did not come to. */
  resume(): void {
    for (const uid of this.#wanted.keys()) this.#queue.add(uid, DELAY)
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #write(uid: string): Promise<Outcome> {
    const { api, revisions, leading, log } = this.#options
    const wanted = this.#wanted.get(uid)
    if (wanted === undefined || !leading()) return 'done'
    const { ref, inForce } = wanted
    if (equal(revisions.latest(uid)?.spec, inForce)) return 'done'
    const known = revisions.of(uid)
    const revision = Math.max(0, ...known.values()) + 1
    const name = nameOf(ref, inForce)
    const path = pathOf(CONTROLLER_REVISIONS, ref.namespace)
    const created = await api.call({ method: 'POST', path, body: manifest(ref, name, revision, inForce) })
    // A spec that was in force before: its data can't change and need not; only its number does.
    const answer = created.status !== 409 ? created : await api.call({
      method: 'PATCH',
      path: pathOf(CONTROLLER_REVISIONS, ref.namespace, name),
      contentType: 'application/merge-patch+json',
      body: { revision },
    })
    if (answer.status === 404) return 'done'
    if (answer.status !== 200 && answer.status !== 201) {
      log('warn', 'a revision was not stored', { route: `${ref.namespace}/${ref.name}`, error: answer.message })
      return 'retry'
    }
    const stored = isObject(answer.body) ? readRevision(answer.body) : undefined
    if (stored !== undefined) revisions.put(stored)
    await this.#prune(ref)
    return 'done'
  }

  async #prune(ref: Ref): Promise<void> {
    const { api, revisions } = this.#options
    const oldest = [...revisions.of(ref.uid)].sort(([, a], [, b]) => b - a).slice(HISTORY)
    for (const [name] of oldest) {
      const answer = await api.call({ method: 'DELETE', path: pathOf(CONTROLLER_REVISIONS, ref.namespace, name) })
      if (answer.status === 200 || answer.status === 404) revisions.remove({ owner: ref.uid, name })
    }
  }
}

/** Every revision of a route that there is, whole. Throws where they cannot be read. */
export async function readHistory(api: Api, route: Pick<Ref, 'namespace' | 'name' | 'uid'>): Promise<readonly Revision[]> {
  const query = { labelSelector: `${REVISION_LABEL}=${labelOf(route.name)}` }
  const answer = await api.call({ path: pathOf(CONTROLLER_REVISIONS, route.namespace), query })
  if (answer.status !== 200 || !isRecord(answer.body) || !Array.isArray(answer.body['items'])) throw new Error(`${answer.status} ${answer.message}`)
  return answer.body['items'].filter(isObject).flatMap((object) => {
    const stored = readRevision(object)
    return stored?.owner === route.uid && isRouteSpec(stored.spec) ? [{ revision: stored.revision, spec: stored.spec }] : []
  })
}

/** A label value is at most 63 characters; a longer name is hashed, and whole in the annotation. */
function labelOf(name: string): string {
  return name.length <= 63 ? name : `sha256-${sha256(name).slice(0, 40)}`
}

function manifest(ref: Ref, name: string, revision: number, spec: unknown): unknown {
  return {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name,
      namespace: ref.namespace,
      labels: { [REVISION_LABEL]: labelOf(ref.name) },
      annotations: { [REVISION_LABEL]: ref.name },
      ownerReferences: [{ apiVersion: API_VERSION, kind: 'ModelRoute', name: ref.name, uid: ref.uid, controller: true }],
    },
    data: { spec },
    revision,
  }
}

/** The same spec of the same route, the same name: what was in force twice is stored once. */
function nameOf(ref: Ref, spec: unknown): string {
  return `${ref.name.slice(0, 200).replace(/[^a-z0-9]+$/, '')}-${sha256(`${ref.uid}\n${JSON.stringify(spec)}`).slice(0, 16)}`
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
