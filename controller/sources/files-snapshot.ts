import { isDeepStrictEqual } from 'node:util'
import { idOf, type LocatedProblem, type Placed } from './files-file.ts'
import type { Kind, Shapes } from './files-kinds.ts'
import { type ItemOf, uidOf } from './files-objects.ts'
import type { EndpointSlice, Resource, Snapshot } from './snapshot.ts'

/** A Snapshot, and where its objects are written, by `kind/namespace/name`. */
export type Assembled = Readonly<{
  snapshot: Snapshot
  places: ReadonlyMap<string, Placed>
  problems: readonly LocatedProblem[]
}>

export const emptySnapshot: Snapshot = {
  modelRoutes: new Map(),
  rateLimitPolicies: new Map(),
  services: new Map(),
  endpointSlices: new Map(),
  inferenceServices: new Map(),
  referenceGrants: new Map(),
  secrets: new Map(),
  configMaps: new Map(),
  openNamespaces: { has: () => true },
  revisions: new Map(),
}

const SERVICE_LABEL = 'kubernetes.io/service-name'

const same = <T>(before: T | undefined, now: T): T =>
  before !== undefined && isDeepStrictEqual(before, now) ? before : now

function sameMap<T>(before: ReadonlyMap<string, T>, now: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return before.size === now.size && [...now].every(([key, value]) => before.get(key) === value) ? before : now
}

const sameList = <T>(before: readonly T[] | undefined, now: readonly T[]): readonly T[] =>
  before !== undefined && before.length === now.length && now.every((each, index) => before[index] === each)
    ? before
    : now

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

type LineOf = (placed: Placed) => number

const problemAt = (
  placed: Placed,
  line: number,
  reason: string,
  message: string,
  severity: 'error' | 'warning',
): LocatedProblem => ({
  file: placed.file,
  line,
  column: 1,
  kind: placed.item.kind,
  namespace: placed.item.namespace,
  name: placed.item.name,
  field: '',
  reason,
  message,
  severity,
})

/** Of two with the same name the older one holds; one that its file no longer shows gives way to any that is there. */
function unique(all: readonly Placed[], lineOf: LineOf) {
  const places = new Map<string, Placed>()
  const problems: LocatedProblem[] = []
  for (const placed of all.toSorted((a, b) => Number(a.kept) - Number(b.kept) || compare(a.created, b.created))) {
    const id = idOf(placed.item)
    const first = places.get(id)
    if (first === undefined) places.set(id, placed)
    else if (!placed.kept) {
      const message = `is already at ${first.file}:${lineOf(first)}, which holds`
      problems.push(problemAt(placed, lineOf(placed), 'Conflicted', message, 'error'))
    }
  }
  return { places, problems }
}

type Of<K extends Kind> = Placed & Readonly<{ item: ItemOf<K> }>

const isOf = <K extends Kind>(placed: Placed, kind: K): placed is Of<K> => placed.item.kind === kind

function resourceOf<K extends 'ModelRoute' | 'RateLimitPolicy'>(
  { item, created }: Of<K>,
  before: Resource<Shapes[K]> | undefined,
): Resource<Shapes[K]> {
  const { namespace, name, generation, kind, broken, asks } = item
  const object = item.object && same(before?.object, item.object)
  const problems = same(before?.problems, item.problems)
  if (before?.created === created && before.generation === generation && before.object === object) {
    if (before.problems === problems) return before
  }
  return {
    namespace, name, generation, created, uid: uidOf(kind, namespace, name), problems,
    ...(object && { object }),
    ...(broken && { broken }),
    ...(asks && { asks }),
  }
}

const keyOf = ({ item }: Placed) => `${item.namespace}/${item.name}`

function slicesOf(placed: readonly Of<'EndpointSlice'>[], before: Snapshot['endpointSlices'], lineOf: LineOf) {
  const lists = new Map<string, EndpointSlice[]>()
  const problems: LocatedProblem[] = []
  const nameOf = ({ metadata }: EndpointSlice) => `${metadata.namespace}/${metadata.name}`
  const known = new Map([...before.values()].flat().map((slice) => [nameOf(slice), slice]))
  for (const each of placed) {
    if (each.item.object === undefined) continue
    const slice = same(known.get(keyOf(each)), each.item.object)
    const service = slice.metadata.labels?.[SERVICE_LABEL]
    if (service === undefined) {
      const message = `belongs to no Service: it has no label ${SERVICE_LABEL}`
      problems.push(problemAt(each, lineOf(each), 'Invalid', message, 'warning'))
      continue
    }
    const key = `${each.item.namespace}/${service}`
    const list = lists.get(key)
    if (list === undefined) lists.set(key, [slice])
    else list.push(slice)
  }
  const sorted = [...lists].map(([key, list]) => {
    const now = list.toSorted((a, b) => compare(a.metadata.name, b.metadata.name))
    return [key, sameList(before.get(key), now)] as const
  })
  return { slices: sameMap(before, new Map(sorted)), problems }
}

/** What did not change since `before` keeps its identity, up to the Snapshot itself. */
export function assemble(all: readonly Placed[], before: Snapshot, lineOf: LineOf): Assembled {
  const { places, problems } = unique(all, lineOf)
  const of = <K extends Kind>(kind: K) => [...places.values()].filter((placed) => isOf(placed, kind))
  const resources = <K extends 'ModelRoute' | 'RateLimitPolicy'>(
    kind: K,
    map: ReadonlyMap<string, Resource<Shapes[K]>>,
  ) => sameMap(map, new Map(of(kind).map((placed) => [keyOf(placed), resourceOf(placed, map.get(keyOf(placed)))])))
  const objects = <K extends Kind>(kind: K, map: ReadonlyMap<string, Shapes[K]>) => {
    const now = new Map<string, Shapes[K]>()
    for (const placed of of(kind)) {
      const { object } = placed.item
      if (object !== undefined) now.set(keyOf(placed), same(map.get(keyOf(placed)), object))
    }
    return sameMap(map, now)
  }
  const { slices, problems: orphans } = slicesOf(of('EndpointSlice'), before.endpointSlices, lineOf)
  const now: Snapshot = {
    modelRoutes: resources('ModelRoute', before.modelRoutes),
    rateLimitPolicies: resources('RateLimitPolicy', before.rateLimitPolicies),
    services: objects('Service', before.services),
    endpointSlices: slices,
    inferenceServices: objects('InferenceService', before.inferenceServices),
    referenceGrants: objects('ReferenceGrant', before.referenceGrants),
    secrets: objects('Secret', before.secrets),
    configMaps: objects('ConfigMap', before.configMaps),
    openNamespaces: before.openNamespaces,
    revisions: before.revisions,
  }
  // Both have their fields in the same order: each was made here, or is the empty one.
  const maps = Object.values(before)
  const unchanged = Object.values(now).every((map, index) => map === maps[index])
  return { snapshot: unchanged ? before : now, places, problems: [...problems, ...orphans] }
}
