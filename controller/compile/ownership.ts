import type { RouteDraft } from './routes.ts'

/**
 * Which namespace a hostname belongs to. Whoever could add a match to another's host would take its requests, and the
 * credentials in them: so a name is one namespace's, with all its paths. The administrator says whose
 * (`--hostname-binding`); otherwise it is the oldest route's, on the gateways that it is for. Routes without hostnames
 * share what belongs to nobody.
 */
export type Ownership = Readonly<{
  /** Returns the routes whose hostnames are others than before. */
  put: (drafts: ReadonlyMap<string, RouteDraft>, touched: ReadonlySet<string>) => ReadonlySet<string>
  /** The route with the hostnames that it may have. */
  owned: (draft: RouteDraft) => RouteDraft
}>

/** `host`: a hostname, `*.suffix`, or `*`, which is every one that no other binding covers. */
export type HostnameBinding = Readonly<{ host: string; namespace: string }>

/** By gateway and hostname, the namespace that has it. */
type Holders = Map<string, Map<string, string>>

export function createOwnership(bindings: readonly HostnameBinding[]): Ownership {
  const bound = new Map<string, Set<string>>()
  for (const { host, namespace } of bindings) bound.set(host, (bound.get(host) ?? new Set()).add(namespace))
  const claims = new Map<string, string>()
  let lost = new Map<string, readonly string[]>()

  const put = (drafts: ReadonlyMap<string, RouteDraft>, touched: ReadonlySet<string>): ReadonlySet<string> => {
    let changed = false
    for (const id of touched) {
      const draft = drafts.get(id)
      const claim = draft && [draft.resource.created, draft.gateways.join(), ...draft.hostnames].join(' ')
      changed ||= claims.get(id) !== claim
      if (claim === undefined) claims.delete(id)
      else claims.set(id, claim)
    }
    if (!changed) return new Set()
    const before = lost
    lost = settle(drafts, bound)
    const ids = new Set([...before.keys(), ...lost.keys()])
    return new Set([...ids].filter((id) => before.get(id)?.join() !== lost.get(id)?.join()))
  }

  const owned = (draft: RouteDraft): RouteDraft => {
    const hosts = lost.get(draft.id)
    if (hosts === undefined) return draft
    const hostnames = draft.hostnames.filter((host) => !hosts.includes(host))
    // Without any it must not become a route for every host.
    return { ...draft, hostnames, lostHosts: hosts, rules: hostnames.length > 0 ? draft.rules : [] }
  }

  return { put, owned }
}

/** The hostnames that each route names in vain; `*` stands for any. The oldest routes have their say first. */
function settle(drafts: ReadonlyMap<string, RouteDraft>, bound: ReadonlyMap<string, ReadonlySet<string>>) {
  const holders: Holders = new Map()
  const lost = new Map<string, readonly string[]>()
  const named = [...drafts.values()].filter(({ hostnames }) => hostnames.length > 0 || bound.has('*'))
  for (const { id, gateways, hostnames, resource } of named.sort(byAge)) {
    const { namespace } = resource
    const hosts = hostnames.length > 0 ? hostnames : ['*']
    const gone = hosts.filter((host) => {
      const admitted = first(host, (cover) => bound.get(cover))
      if (admitted !== undefined) return !admitted.has(namespace)
      return gateways.some((gateway) => (first(host, (cover) => holders.get(gateway)?.get(cover)) ?? namespace) !== namespace)
    })
    if (gone.length > 0) lost.set(id, gone)
    for (const gateway of gateways) {
      const there = holders.get(gateway) ?? new Map<string, string>()
      holders.set(gateway, there)
      for (const host of hostnames) if (!gone.includes(host) && !there.has(host)) there.set(host, namespace)
    }
  }
  return lost
}

/** What the name itself leads to, else the nearest wildcard above it. */
function first<T>(host: string, find: (cover: string) => T | undefined): T | undefined {
  const own = find(host)
  if (own !== undefined || host === '*') return own
  const name = host.startsWith('*.') ? host.slice(2) : host
  for (let dot = host.startsWith('*.') ? name.indexOf('.') : host.indexOf('.'); dot > 0; dot = name.indexOf('.', dot + 1)) {
    const found = find(`*${name.slice(dot)}`)
    if (found !== undefined) return found
  }
  return find('*')
}

function byAge(a: RouteDraft, b: RouteDraft): number {
  const [older, younger] = [a.resource.created, b.resource.created]
  if (older !== younger) return older < younger ? -1 : 1
  return a.id < b.id ? -1 : 1
}
