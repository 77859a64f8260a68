import type { EndpointSet } from '../../table/endpoints.ts'
import type { Variant } from '../../table/route.ts'
import type { Upstream, Upstreams } from './pool.ts'

/** The ready endpoints behind one target, replaced as they come and go. No route is rebuilt for it. */
export type Group = { members: readonly Upstream[] }

export type BuiltTarget =
  | Readonly<{ kind: 'group'; group: Group; host: string | undefined }>
  | Readonly<{ kind: 'unresolved'; why: string }>

/** `set`: the endpoint set it follows, last read as `from`; a URL follows none. */
type Known = { group: Group; tenant: string; set: string | undefined; from: EndpointSet | undefined }

/** The endpoint groups in use, by tenant and what they point at. */
export class Groups {
  readonly #upstreams: Upstreams
  readonly #groups = new Map<string, Known>()
  #endpoints: ReadonlyMap<string, EndpointSet> = new Map()

  constructor(upstreams: Upstreams) {
    this.#upstreams = upstreams
  }

  target(tenant: string, target: Variant['target']): BuiltTarget {
    if (target.kind === 'unresolved') return target
    return target.kind === 'url'
      ? { kind: 'group', group: this.#urlGroup(tenant, target), host: new URL(target.url).host }
      : { kind: 'group', group: this.#setGroup(tenant, target.set), host: target.host }
  }

  #setGroup(tenant: string, set: string): Group {
    const key = `${tenant} set ${set}`
    let known = this.#groups.get(key)
    if (known === undefined) {
      known = { group: { members: [] }, tenant, set, from: undefined }
      this.#groups.set(key, known)
      this.#fill(known)
    }
    return known.group
  }

  #urlGroup(tenant: string, target: Readonly<{ url: string; loopback: boolean }>): Group {
    const { origin } = new URL(target.url)
    const key = `${tenant} url ${origin} ${target.loopback}`
    let known = this.#groups.get(key)
    if (known === undefined) {
      const members = [this.#upstreams.get(tenant, { origin, guard: { loopback: target.loopback } })]
      known = { group: { members }, tenant, set: undefined, from: undefined }
      this.#groups.set(key, known)
    }
    return known.group
  }

  /** The endpoints that groups made from here on begin with. */
  begin(endpoints: ReadonlyMap<string, EndpointSet>): void {
    this.#endpoints = endpoints
  }

  #fill(known: Known): void {
    if (known.set === undefined) return
    const from = this.#endpoints.get(known.set)
    if (from === known.from) return
    known.from = from
    known.group.members = (from?.endpoints ?? []).map(({ address, port }) =>
      this.#upstreams.get(known.tenant, { origin: `http://${address.includes(':') ? `[${address}]` : address}:${port}` }))
  }

  /**
   * Drops the groups that nothing in force points at, as they are: a request of the table before may still need them.
   * The others follow their endpoints, and an endpoint that is in none any more is closed.
   */
  retain(targets: readonly BuiltTarget[]): void {
    const live = new Set<Group>()
    for (const target of targets) if (target.kind === 'group') live.add(target.group)
    const used = new Set<Upstream>()
    for (const [key, known] of this.#groups) {
      if (live.has(known.group)) {
        this.#fill(known)
        for (const member of known.group.members) used.add(member)
      } else this.#groups.delete(key)
    }
    this.#upstreams.retain(used)
  }
}
