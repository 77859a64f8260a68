import type { Wants } from './looks.ts'
import { comparePrecedence, type Candidate, type Matchable } from './match.ts'

/**
 * The candidates of one host and path, in order of precedence. Those that ask for a model or for a header's exact
 * value are found by it, so that thousands of routes that differ in nothing else cost one look-up and not a scan.
 */
export type Bucket = Readonly<{
  rest: readonly Ranked[]
  byModel: ReadonlyMap<string, readonly Ranked[]>
  /** All of those, for requests of which the model is not known yet. */
  modelled: readonly Ranked[]
  byHeader: ReadonlyMap<string, ReadonlyMap<string, readonly Ranked[]>>
  /** Those of routes that web pages of other origins may call. */
  shared: readonly Ranked[]
}>

/** `slot`: which of the table's rules it chooses. `wants`: what the candidates of its bucket want to know of a body. */
export type Ranked = Readonly<{ candidate: Candidate; slot: number; rank: number; wants: Wants }>

export function createBucket(entries: readonly Readonly<{ candidate: Candidate; slot: number }>[]): Bucket {
  const rest: Ranked[] = []
  const shared: Ranked[] = []
  const modelled: Ranked[] = []
  let byModel: Map<string, Ranked[]> | undefined
  let byHeader: Map<string, Map<string, Ranked[]>> | undefined
  const sorted = [...entries].sort((a, b) => comparePrecedence(a.candidate, b.candidate))
  const wants = wantsOf(entries)
  for (const [rank, { candidate, slot }] of sorted.entries()) {
    const ranked = { candidate, slot, rank, wants }
    listFor(candidate).push(ranked)
    if (isByModel(candidate)) modelled.push(ranked)
    if (candidate.cors) shared.push(ranked)
  }
  return { rest: exact(rest), byModel: byModel ?? noMap, modelled: exact(modelled), byHeader: byHeader ?? noMap, shared: exact(shared) }

  function listFor(candidate: Candidate): Ranked[] {
    const { headers } = candidate
    if (isByModel(candidate)) return entry(byModel ??= new Map<string, Ranked[]>(), candidate.model.name, () => [])
    const exactly = headers.find((test) => test.exact !== undefined)
    if (exactly?.exact === undefined) return rest
    return entry(entry(byHeader ??= new Map<string, Map<string, Ranked[]>>(), exactly.name, () => new Map<string, Ranked[]>()), exactly.exact, () => [])
  }
}

// Most buckets hold one candidate, and there are as many as matches: what they have in common is one object.
const none: readonly never[] = []
const noMap: ReadonlyMap<string, never> = new Map<string, never>()
const noWants: Wants = { model: false, pointers: none }

/** Without the room that an array is made with for more. */
const exact = (list: readonly Ranked[]): readonly Ranked[] => list.length === 0 ? none : list.slice()

const isByModel = (candidate: Candidate): candidate is Candidate & { model: NonNullable<Candidate['model']> } =>
  candidate.model !== undefined && candidate.model.type === undefined

function wantsOf(entries: readonly Readonly<{ candidate: Candidate }>[]): Wants {
  const pointers = new Set<string>()
  let model = false
  for (const { candidate } of entries) {
    model ||= candidate.model !== undefined || candidate.when?.readsModel === true
    for (const { pointer } of candidate.body) pointers.add(pointer)
  }
  return !model && pointers.size === 0 ? noWants : { model, pointers: [...pointers].sort() }
}

/** The first in order of precedence that `accept` takes. */
export function searchBucket(bucket: Bucket, request: Matchable, accept: Accept): Ranked | undefined {
  let best = searchList(bucket.rest, request, accept, undefined)
  const [first] = bucket.modelled
  if (first !== undefined && (best === undefined || first.rank < best.rank)) {
    // Which list it is in is not known yet: the first that could be it, and then it is found out.
    if (request.modelUnread) best = searchList(bucket.modelled, request, accept, best)
    const named = request.model()
    if (named !== undefined) best = searchList(bucket.byModel.get(named.name), request, accept, best)
  }
  for (const [name, values] of bucket.byHeader) {
    const value = request.header(name)
    if (value !== undefined) best = searchList(values.get(value), request, accept, best)
  }
  return best
}

/** The same among those that web pages may call; none is found by a header, which a preflight does not have. */
export function searchShared(bucket: Bucket, request: Matchable, accept: Accept): Ranked | undefined {
  return searchList(bucket.shared, request, accept, undefined)
}

export type Search = typeof searchBucket
export type Accept = (candidate: Candidate, request: Matchable) => boolean

function searchList(
  list: readonly Ranked[] | undefined,
  request: Matchable,
  accept: Accept,
  best: Ranked | undefined,
): Ranked | undefined {
  if (list === undefined) return best
  for (const ranked of list) {
    if (best !== undefined && ranked.rank > best.rank) return best
    if (accept(ranked.candidate, request)) return ranked
  }
  return best
}

export function entry<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = create()
    map.set(key, value)
  }
  return value
}
