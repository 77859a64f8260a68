import { namesModelInBody } from '../protocols/openai.ts'
import type { Sliced } from '../sliced.ts'
import { createBucket, entry, searchBucket, searchShared, type Accept, type Bucket, type Ranked, type Search } from './bucket.ts'
import { modelHolds, restHolds, type Candidate, type Matchable } from './match.ts'

/**
 * Every match of every route, arranged so that a request meets few of them: by host, then exact paths in a map,
 * prefixes in a tree by path element. Regular expressions can only be tried one after the other.
 */
export type Index = Readonly<{
  exact: ReadonlyMap<string, HostIndex>
  /** By the suffix with its dot: `.example.com`. */
  wildcard: ReadonlyMap<string, HostIndex>
  any: HostIndex | undefined
}>

type HostIndex = Readonly<{
  /** Whose host it is: no other tenant's wildcard, nor route for every host, gets its requests. */
  tenants: ReadonlySet<string>
  exact: ReadonlyMap<string, Bucket>
  regex: Bucket | undefined
  prefixes: PrefixNode
}>

type PrefixNode = Readonly<{ bucket: Bucket | undefined; children: ReadonlyMap<string, PrefixNode> }>

type Entry = Readonly<{ candidate: Candidate; slot: number }>
export type IndexedRoute = Readonly<{ tenant: string; hostnames: readonly string[]; entries: readonly Entry[] }>

export function* createIndex(routes: Iterable<IndexedRoute>): Sliced<Index> {
  const exact = new Map<string, Shared>()
  const wildcard = new Map<string, Shared>()
  const any: Entry[] = []
  for (const { tenant, hostnames, entries } of routes) {
    if (hostnames.length === 0) any.push(...entries)
    for (const name of new Set(hostnames)) {
      const host = name.startsWith('*.') ? entry(wildcard, name.slice(1), shared) : entry(exact, name, shared)
      host.entries.push(...entries)
      host.tenants.add(tenant)
    }
  }
  return {
    exact: yield* createHosts(exact),
    wildcard: yield* createHosts(wildcard),
    any: any.length > 0 ? yield* createHost({ ...shared(), entries: any }) : undefined,
  }
}

function* createHosts(hosts: ReadonlyMap<string, Shared>): Sliced<ReadonlyMap<string, HostIndex>> {
  const built = new Map<string, HostIndex>()
  for (const [name, host] of hosts) built.set(name, yield* createHost(host))
  return built
}

type Shared = { entries: Entry[]; tenants: Set<string> }
const shared = (): Shared => ({ entries: [], tenants: new Set() })

type Growing = { entries: Entry[]; children: Map<string, Growing> | undefined }

function* createHost({ entries, tenants }: Shared): Sliced<HostIndex> {
  const exact = new Map<string, Entry[]>()
  const regex: Entry[] = []
  const root: Growing = { entries: [], children: undefined }
  for (const item of entries) {
    const { pathType, path } = item.candidate
    if (pathType === 'Exact') entry(exact, path, () => []).push(item)
    else if (pathType === 'Regex') regex.push(item)
    else prefixNode(root, path).entries.push(item)
    yield
  }
  const buckets = new Map<string, Bucket>()
  for (const [path, items] of exact) {
    buckets.set(path, createBucket(items))
    yield
  }
  return { tenants, exact: buckets, regex: regex.length > 0 ? createBucket(regex) : undefined, prefixes: yield* freeze(root) }
}

function prefixNode(root: Growing, path: string): Growing {
  let node = root
  for (const element of path.split('/')) {
    if (element !== '') node = entry(node.children ??= new Map<string, Growing>(), element, () => ({ entries: [], children: undefined }))
  }
  return node
}

function* freeze({ entries, children: growing }: Growing): Sliced<PrefixNode> {
  yield
  const bucket = entries.length > 0 ? createBucket(entries) : undefined
  if (growing === undefined) return { bucket, children: childless }
  const children = new Map<string, PrefixNode>()
  for (const [element, child] of growing) children.set(element, yield* freeze(child))
  return { bucket, children }
}

/** Of every leaf. */
const childless: PrefixNode['children'] = new Map()

/** The match that serves the request, in the order of api.md "Precedence". */
export function findMatch(index: Index, request: Matchable): Ranked | undefined {
  return search(index, request, accepts)
}

/** The methods that would have been served where nothing but the method differs; empty when something else does. */
export function methodsServed(index: Index, request: Matchable): readonly string[] {
  const methods = new Set<string>()
  search(index, request, (candidate) => {
    if (candidate.method !== undefined && pathHolds(candidate, request) && restHolds(candidate, request)) {
      methods.add(candidate.method)
    }
    return false
  })
  return [...methods].sort()
}

/**
 * The match by which web pages are told what they may do: by host, path, model and the method that they ask about. What
 * else it asks for, a preflight cannot have.
 */
export function findShared(index: Index, request: Matchable, method: string): Ranked | undefined {
  const accept: Accept = (candidate) => (candidate.method === undefined || candidate.method === method)
    && (modelHolds(candidate, request) || namesModelInBody(request.path))
    && pathHolds(candidate, request)
  return search(index, request, accept, searchShared)
}

function accepts(candidate: Candidate, request: Matchable): boolean {
  return (candidate.method === undefined || candidate.method === request.method)
    && restHolds(candidate, request)
    && pathHolds(candidate, request)
}

function pathHolds(candidate: Candidate, request: Matchable): boolean {
  return candidate.pathType !== 'Regex' || candidate.pathHolds(request.path)
}

function search(index: Index, request: Matchable, accept: Accept, look: Search = searchBucket): Ranked | undefined {
  const { host } = request
  let admits = accept
  if (host !== '') {
    const exact = index.exact.get(host)
    const found = exact && searchHost(exact, request, accept, look)
    if (found) return found
    if (exact) admits = ofTenants(exact.tenants, accept)
    if (index.wildcard.size > 0) {
      // The longest suffix first: `*.b.example.com` before `*.example.com`.
      for (let dot = host.indexOf('.'); dot > 0; dot = host.indexOf('.', dot + 1)) {
        const wildcard = index.wildcard.get(host.slice(dot))
        const below = wildcard && searchHost(wildcard, request, admits, look)
        if (below) return below
        if (wildcard && admits === accept) admits = ofTenants(wildcard.tenants, accept)
      }
    }
  }
  return index.any && searchHost(index.any, request, admits, look)
}

/** The most specific hostname says whose the host is: what falls through from there stays with them. */
function ofTenants(tenants: ReadonlySet<string>, accept: Accept): Accept {
  return (candidate, request) => tenants.has(candidate.tenant) && accept(candidate, request)
}

function searchHost(host: HostIndex, request: Matchable, accept: Accept, look: Search): Ranked | undefined {
  const exact = host.exact.get(request.path)
  return (exact && look(exact, request, accept))
    ?? (host.regex && look(host.regex, request, accept))
    ?? searchPrefixes(host.prefixes, request, accept, look, 1)
}

/** The deepest node first: the longest prefix wins. `from` is where the next path element begins. */
function searchPrefixes(node: PrefixNode, request: Matchable, accept: Accept, look: Search, from: number): Ranked | undefined {
  if (node.children.size > 0) {
    const { path } = request
    const slash = path.indexOf('/', from)
    const child = node.children.get(slash === -1 ? path.slice(from) : path.slice(from, slash))
    if (child !== undefined) {
      const found = searchPrefixes(child, request, accept, look, slash === -1 ? path.length + 1 : slash + 1)
      if (found !== undefined) return found
    }
  }
  return node.bucket && look(node.bucket, request, accept)
}
