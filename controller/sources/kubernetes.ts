import { changedMap } from '../../table/changes.ts'
import type { ModelRoute, RateLimitPolicy } from '../../crds/types.gen.ts'
import { keyOf, type Api, type Kind, type RawObject } from '../kubernetes/api.ts'
import type { Log } from '../log.ts'
import type { Change } from '../kubernetes/change.ts'
import { systemClock, type Clock } from '../kubernetes/clock.ts'
import {
  CONFIG_MAPS, CONTROLLER_REVISIONS, ENDPOINT_SLICES, INFERENCE_SERVICES, MODEL_ROUTES, OWN, RATE_LIMIT_POLICIES, REFERENCE_GRANTS,
  SECRETS, SERVICES, type Ref,
} from '../kubernetes/kinds.ts'
import { Reflector, type WatchState } from '../kubernetes/reflector.ts'
import { readRevision, REVISION_LABEL, Revisions } from '../kubernetes/revisions.ts'
import { Debounce } from './debounce.ts'
import {
  keepEndpointSlice, keepInferenceService, keepModelRoute, keepRateLimitPolicy, keepReferenceGrant, keepService,
  type OwnObject,
} from './kubernetes-objects.ts'
import { Slices } from './kubernetes-slices.ts'
import { keepConfigMap, keepSecret } from './kubernetes-secrets.ts'
import { isRouteSpec } from './route-spec.ts'
import type { ConfigMap, Resource, Secret, Snapshot } from './snapshot.ts'
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
  /** The cluster's history was set back: told by each kind that finds it so. */
  onSetBack?: () => void
  clock?: Clock
}>

/** What goes into the map of one kind of the snapshot, kept up to date by one reflector a namespace. `changed`: since the copy. */
type Table<T> = { readonly items: Map<string, T>; copy: ReadonlyMap<string, T>; changed: Set<string> }

/** Reads the world from a cluster. */
export class KubernetesSource implements Source {
  /** What the leader has stored of each route; the source keeps it up to date. */
  readonly revisions = new Revisions(isRouteSpec)

  readonly #options: KubernetesSourceOptions
  readonly #clock: Clock
  readonly #debounce: Debounce
  readonly #reflectors: Readonly<{ start(): void; stop(): Promise<void>; kind: string; state: WatchState }>[] = []
  readonly #routes = table<Resource<ModelRoute>>()
  readonly #policies = table<Resource<RateLimitPolicy>>()
  readonly #slices = new Slices()
  readonly #secrets = table<Secret>()
  readonly #configMaps = table<ConfigMap>()
  readonly #byKind = new Map<Kind, readonly Readonly<{ versionOf(key: string): string | undefined }>[]>()
  /** Replaced, never changed. */
  #open: ReadonlySet<string> = new Set()
  #latest: Snapshot['revisions'] = new Map()
  /** Routes whose latest revision may be another one than `#latest` says. */
  readonly #revised = new Set<string>()
  readonly #keys = new Map<string, string>()
  #read: () => Pick<Snapshot, 'services' | 'inferenceServices' | 'referenceGrants'>
  #unsynced = 0
  #last: Snapshot | undefined
  #onSnapshot: ((snapshot: Snapshot) => void) | undefined
  /** The largest resourceVersion that any kind was told, and that of the last snapshot. NaN where they are no numbers. */
  #known = 0
  #given = 0

  constructor(options: KubernetesSourceOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#debounce = new Debounce(this.#clock, () => this.#publish())
    const required = { required: true }
    this.#reflect(MODEL_ROUTES, keepModelRoute, changes => this.#ownRoutes(changes), required)
    this.#reflect(RATE_LIMIT_POLICIES, keepRateLimitPolicy, changes => this.#own(this.#policies, changes), required)
    const services = this.#table(SERVICES, keepService)
    const inferenceServices = this.#table(INFERENCE_SERVICES, keepInferenceService)
    const referenceGrants = this.#table(REFERENCE_GRANTS, keepReferenceGrant)
    this.#read = () => ({
      services: copyOf(services),
      inferenceServices: copyOf(inferenceServices),
      referenceGrants: copyOf(referenceGrants),
    })
    this.#reflect(ENDPOINT_SLICES, keepEndpointSlice, changes => this.#slices.apply(changes), { labelSelector: 'kubernetes.io/service-name' })
    this.#reflect(CONTROLLER_REVISIONS, readRevision, changes => {
      for (const { before, after } of changes) {
        if (after !== undefined) {
          this.revisions.put(after)
          after.spec = undefined
        } else if (before !== undefined) this.revisions.remove(before)
        const route = this.#keys.get((after ?? before)?.owner ?? '')
        if (route !== undefined) this.#revised.add(route)
      }
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

  /** How each kind is followed; of Secrets and ConfigMaps, in each namespace. */
  watches(): readonly Readonly<{ kind: string; state: WatchState }>[] {
    return this.#reflectors.map(({ kind, state }) => ({ kind, state }))
  }

  /**
   * How much of the cluster's history the last snapshot holds: etcd's revision, which is what resourceVersions are of every
   * API server that is Kubernetes' own. Undefined where they are something else.
   */
  get sequence(): number | undefined {
    if (!this.#debounce.waiting) this.#given = this.#known
    return Number.isNaN(this.#given) ? undefined : this.#given
  }

  /** The resourceVersion of a route or policy as it was read last. */
  versionOf({ kind, namespace, name }: Pick<Ref, 'kind' | 'namespace' | 'name'>): string | undefined {
    const versions = (this.#byKind.get(OWN[kind]) ?? []).map(each => each.versionOf(keyOf(namespace, name)))
    return versions.find(version => version !== undefined)
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
      const reflector = new Reflector<T>({
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
        onVersion: version => this.#told(version),
        onSetBack: (from, to) => this.#setBack(from, to),
        log,
        clock: this.#clock,
      })
      this.#reflectors.push(reflector)
      this.#byKind.set(kind, [...this.#byKind.get(kind) ?? [], reflector])
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
      onVersion: version => this.#told(version),
      onSetBack: (from, to) => this.#setBack(from, to),
      onDenied: denied => settled(!denied),
      log,
      clock: this.#clock,
    }))
  }

  #setBack(from: string, to: string): void {
    // The first kind to notice; what is less is of the new history already.
    if (!(this.#known < Number(from))) this.#known = Number(to)
    this.#options.onSetBack?.()
  }

  #told(version: string): void {
    this.#known = Math.max(this.#known, /^\d{1,15}$/.test(version) ? Number(version) : NaN)
  }

  #ownRoutes(changes: readonly Change<OwnObject<ModelRoute>>[]): boolean {
    for (const { key, before, after } of changes) {
      if (before !== undefined && before.resource.uid !== after?.resource.uid) this.#keys.delete(before.resource.uid)
      if (after !== undefined) this.#keys.set(after.resource.uid, key)
      this.#revised.add(key)
    }
    return this.#own(this.#routes, changes)
  }

  #own<T>(kept: Table<Resource<T>>, changes: readonly Change<OwnObject<T>>[]): boolean {
    for (const { key, before, after } of changes) {
      if (after === undefined || before?.resource !== after.resource) {
        set(kept, key, after?.resource)
      }
      if (after !== undefined) this.#options.onStatus?.(after.resource.uid, after.status)
    }
    return false
  }

  #publish(): void {
    if (this.#unsynced > 0 || this.#onSnapshot === undefined) return
    this.#given = this.#known
    const snapshot: Snapshot = {
      ...this.#read(),
      modelRoutes: copyOf(this.#routes),
      rateLimitPolicies: copyOf(this.#policies),
      endpointSlices: this.#slices.all(),
      secrets: copyOf(this.#secrets),
      configMaps: copyOf(this.#configMaps),
      openNamespaces: this.#open,
      revisions: this.#latestRevisions(),
    }
    // A write of a status, most of all our own, is no news.
    if (this.#last !== undefined && same(this.#last, snapshot)) return
    this.#last = snapshot
    this.#onSnapshot(snapshot)
  }

  #latestRevisions(): Snapshot['revisions'] {
    const now = [...this.#revised].map((key) => {
      const { uid = '', object } = this.#routes.items.get(key) ?? {}
      this.revisions.share(uid, object?.spec)
      return [key, this.revisions.latest(uid)] as const
    })
    this.#revised.clear()
    return (this.#latest = changedMap(this.#latest, now))
  }
}

function table<T>(): Table<T> {
  return { items: new Map(), copy: new Map(), changed: new Set() }
}

function set<T>(kept: Table<T>, key: string, value: T | undefined): void {
  if (value === undefined) kept.items.delete(key)
  else kept.items.set(key, value)
  kept.changed.add(key)
}

function copyOf<T>(kept: Table<T>): ReadonlyMap<string, T> {
  if (kept.changed.size > 0) {
    kept.copy = changedMap(kept.copy, [...kept.changed].map((key) => [key, kept.items.get(key)] as const))
    kept.changed = new Set()
  }
  return kept.copy
}

function same(a: Snapshot, b: Snapshot): boolean {
  const parts = new Map<string, unknown>(Object.entries(b))
  return Object.entries(a).every(([part, map]) => map === parts.get(part))
}

