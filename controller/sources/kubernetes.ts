import type { ModelRoute, RateLimitPolicy } from '../../crds/types.gen.ts'
import type { Api, Kind, RawObject } from '../kubernetes/api.ts'
import type { Log } from '../log.ts'
import { systemClock, type Clock } from '../kubernetes/clock.ts'
import {
  CONFIG_MAPS, CONTROLLER_REVISIONS, ENDPOINT_SLICES, INFERENCE_SERVICES, MODEL_ROUTES, RATE_LIMIT_POLICIES, REFERENCE_GRANTS, SECRETS,
  SERVICES,
} from '../kubernetes/kinds.ts'
import { Reflector, type Change } from '../kubernetes/reflector.ts'
import { readRevision, REVISION_LABEL, Revisions } from '../kubernetes/revisions.ts'
import { Debounce } from './debounce.ts'
import {
  keepEndpointSlice, keepInferenceService, keepModelRoute, keepRateLimitPolicy, keepReferenceGrant, keepService,
  type OwnObject,
} from './kubernetes-objects.ts'
import { Slices } from './kubernetes-slices.ts'
import { keepConfigMap, keepSecret } from './kubernetes-secrets.ts'
import { isRouteSpec } from './route-spec.ts'
import type { ConfigMap, Resource, Revision, Secret, Snapshot } from './snapshot.ts'
import type { Source } from './source.ts'

export type KubernetesSourceOptions = Readonly<{
  api: Api
  /** None: all of them, which takes a ClusterRole. */
  namespaces?: readonly string[]
  /** Whose Secrets and ConfigMaps are read, each with a Role of its own. */
  secretNamespaces?: readonly string[]
  log: Log
  /** Each status of ours that the server shows, by the object's uid: what the writer of statuses compares with. */
  onStatus?: (uid: string, status: unknown) => void
  clock?: Clock
}>

/** What goes into the map of one kind of the snapshot, kept up to date by one reflector a namespace. */
type Table<T> = { items: Map<string, T>; copy: ReadonlyMap<string, T> | undefined }

/** Reads the world from a cluster. */
export class KubernetesSource implements Source {
  /** What the leader has stored of each route; the source keeps it up to date. */
  readonly revisions = new Revisions(isRouteSpec)

  readonly #options: KubernetesSourceOptions
  readonly #clock: Clock
  readonly #debounce: Debounce
  readonly #reflectors: Readonly<{ start(): void; stop(): Promise<void> }>[] = []
  readonly #routes = table<Resource<ModelRoute>>()
  readonly #policies = table<Resource<RateLimitPolicy>>()
  readonly #slices = new Slices()
  readonly #secrets = table<Secret>()
  readonly #configMaps = table<ConfigMap>()
  /** Replaced, never changed. */
  #open: ReadonlySet<string> = new Set()
  #slicesCopy: Snapshot['endpointSlices'] | undefined
  #revisionsCopy: Snapshot['revisions'] | undefined
  #read: () => Pick<Snapshot, 'services' | 'inferenceServices' | 'referenceGrants'>
  #unsynced = 0
  #last: Snapshot | undefined
  #onSnapshot: ((snapshot: Snapshot) => void) | undefined

  constructor(options: KubernetesSourceOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#debounce = new Debounce(this.#clock, () => this.#publish())
    const required = { required: true }
    this.#reflect(MODEL_ROUTES, keepModelRoute, changes => this.#own(this.#routes, changes), required)
    this.#reflect(RATE_LIMIT_POLICIES, keepRateLimitPolicy, changes => this.#own(this.#policies, changes), required)
    const services = this.#table(SERVICES, keepService)
    const inferenceServices = this.#table(INFERENCE_SERVICES, keepInferenceService)
    const referenceGrants = this.#table(REFERENCE_GRANTS, keepReferenceGrant)
    this.#read = () => ({
      services: copyOf(services),
      inferenceServices: copyOf(inferenceServices),
      referenceGrants: copyOf(referenceGrants),
    })
    this.#reflect(ENDPOINT_SLICES, keepEndpointSlice, changes => {
      this.#slicesCopy = undefined
      return this.#slices.apply(changes)
    }, { labelSelector: 'kubernetes.io/service-name' })
    this.#reflect(CONTROLLER_REVISIONS, readRevision, changes => {
      for (const { before, after } of changes) {
        if (after !== undefined) this.revisions.put(after)
        else if (before !== undefined) this.revisions.remove(before)
      }
      this.#revisionsCopy = undefined
      return false
    }, { labelSelector: REVISION_LABEL })
    for (const namespace of new Set(options.secretNamespaces ?? [])) {
      this.#guarded(namespace, SECRETS, keepSecret, this.#secrets)
      this.#guarded(namespace, CONFIG_MAPS, keepConfigMap, this.#configMaps)
    }
  }

  /** Resolves at once; the first snapshot comes when every kind has been read, however long the API server is away. */
  start(onSnapshot: (snapshot: Snapshot) => void): Promise<void> {
    this.#onSnapshot = onSnapshot
    for (const reflector of this.#reflectors) reflector.start()
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#onSnapshot = undefined
    this.#debounce.cancel()
    await Promise.all(this.#reflectors.map(reflector => reflector.stop()))
  }

  #table<T>(kind: Kind, keep: (object: RawObject, previous: T | undefined) => T): Table<T> {
    const kept = table<T>()
    this.#reflect(kind, keep, changes => {
      for (const { key, after } of changes) set(kept, key, after)
      return false
    })
    return kept
  }

  /** @param onChange answers whether the change can't wait for others to join it */
  #reflect<T>(
    kind: Kind,
    keep: (object: RawObject, previous: T | undefined) => T,
    onChange: (changes: readonly Change<T>[]) => boolean,
    more: Readonly<{ required?: boolean; labelSelector?: string }> = {},
  ): void {
    const { api, log, namespaces = [] } = this.#options
    for (const namespace of namespaces.length === 0 ? [undefined] : namespaces) {
      this.#unsynced++
      this.#reflectors.push(new Reflector<T>({
        api,
        kind,
        ...(namespace === undefined ? {} : { namespace }),
        ...more,
        keep,
        onChange: changes => this.#debounce.call(onChange(changes)),
        onSynced: () => {
          this.#unsynced--
          this.#debounce.call()
        },
        log,
        clock: this.#clock,
      }))
    }
  }

  /** A namespace that may not be read holds nothing up: its references say so, and are looked up again when it may. */
  #guarded<T>(namespace: string, kind: Kind, keep: (object: RawObject, previous: T | undefined) => T, kept: Table<T>): void {
    const { api, log } = this.#options
    let waiting = true
    this.#unsynced++
    const settled = (open: boolean) => {
      if (waiting) this.#unsynced--
      waiting = false
      if (kind === SECRETS && open !== this.#open.has(namespace)) {
        const next = new Set(this.#open)
        if (open) next.add(namespace)
        else next.delete(namespace)
        this.#open = next
      }
      this.#debounce.call()
    }
    this.#reflectors.push(new Reflector<T>({
      api,
      kind,
      namespace,
      keep,
      onChange: changes => {
        for (const { key, after } of changes) set(kept, key, after)
        // A key that is gone opens nothing any more, now.
        this.#debounce.call(changes.some(({ after }) => after === undefined))
      },
      onSynced: () => settled(true),
      onDenied: denied => settled(!denied),
      log,
      clock: this.#clock,
    }))
  }

  #own<T>(kept: Table<Resource<T>>, changes: readonly Change<OwnObject<T>>[]): boolean {
    for (const { key, before, after } of changes) {
      if (after === undefined || before?.resource !== after.resource) {
        set(kept, key, after?.resource)
        this.#revisionsCopy = undefined
      }
      if (after !== undefined) this.#options.onStatus?.(after.resource.uid, after.status)
    }
    return false
  }

  #publish(): void {
    if (this.#unsynced > 0 || this.#onSnapshot === undefined) return
    const snapshot: Snapshot = {
      ...this.#read(),
      modelRoutes: copyOf(this.#routes),
      rateLimitPolicies: copyOf(this.#policies),
      endpointSlices: (this.#slicesCopy ??= this.#slices.all()),
      secrets: copyOf(this.#secrets),
      configMaps: copyOf(this.#configMaps),
      openNamespaces: this.#open,
      revisions: (this.#revisionsCopy ??= this.#latestRevisions()),
    }
    // A write of a status, most of all our own, is no news.
    if (this.#last !== undefined && same(this.#last, snapshot)) return
    this.#last = snapshot
    this.#onSnapshot(snapshot)
  }

  #latestRevisions(): Snapshot['revisions'] {
    const latest = new Map<string, Revision>()
    for (const [key, { uid }] of this.#routes.items) {
      const revision = this.revisions.latest(uid)
      if (revision !== undefined) latest.set(key, revision)
    }
    const before = this.#last?.revisions
    return before?.size === latest.size && [...latest].every(([key, revision]) => before.get(key) === revision) ? before : latest
  }
}

function table<T>(): Table<T> {
  return { items: new Map(), copy: undefined }
}

function set<T>(kept: Table<T>, key: string, value: T | undefined): void {
  if (value === undefined) kept.items.delete(key)
  else kept.items.set(key, value)
  kept.copy = undefined
}

function copyOf<T>(kept: Table<T>): ReadonlyMap<string, T> {
  return (kept.copy ??= new Map(kept.items))
}

function same(a: Snapshot, b: Snapshot): boolean {
  const parts = new Map<string, unknown>(Object.entries(b))
  return Object.entries(a).every(([part, map]) => map === parts.get(part))
}

