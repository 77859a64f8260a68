import { isIP, isIPv6 } from 'node:net'
import { differences } from '../../table/changes.ts'
import type { BackendTls } from '../../table/backend.ts'
import type { Reach } from '../../table/reach.ts'
import type { EndpointSet } from '../../table/endpoints.ts'
import type { Variant } from '../../table/route.ts'
import { mayReach } from '../../outgoing/guard.ts'
import type { Names } from './names.ts'
import type { Address, Upstream, Upstreams } from './pool.ts'
import { tlsTerms } from './tls.ts'

/** The ready endpoints behind one target, replaced as they come and go. No route is rebuilt for it. */
export type Group = {
  members: readonly Upstream[]
  /** Told after they were replaced. */
  readonly followers: Set<() => void>
}

export type BuiltTarget =
  | Readonly<{
      kind: 'group'
      group: Group
      host: string | undefined
      /** All is sent over HTTP/2. */
      http2: boolean
      /** Some secret that a connection there is made with has not arrived; undefined: it takes none. */
      lacks: (() => boolean) | undefined
    }>
  | Readonly<{ kind: 'unresolved'; why: string }>

const hostName = /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$/

/** `set`: the endpoint set it follows, last read as `from`; a URL follows none. `holders`: the targets that lead here. */
type Known = {
  group: Group
  key: string
  tenant: string
  set: string | undefined
  tls: BackendTls | undefined
  from: EndpointSet | undefined
  holders: number
  /** Lets go of the name that a URL is followed by. */
  stop: (() => void) | undefined
}

/** The endpoint groups in use, by tenant and what they point at. */
export class Groups {
  readonly #upstreams: Upstreams
  readonly #byKey = new Map<string, Known>()
  readonly #byGroup = new Map<Group, Known>()
  /** Those that follow each endpoint set. */
  readonly #bySet = new Map<string, Set<Known>>()
  #endpoints: ReadonlyMap<string, EndpointSet> = new Map()
  /** Those that every group has. */
  #followed: ReadonlyMap<string, EndpointSet> = new Map()

  /** Those that were made for a table that is not in force yet: another one may come in its place. */
  readonly #fresh = new Set<Known>()
  readonly #names: Names | undefined

  /** @param names follows where the names of URLs lead; without it that is asked for each connection */
  constructor(upstreams: Upstreams, names?: Names) {
    this.#upstreams = upstreams
    this.#names = names
  }

  /** The endpoints that groups made from here on begin with; the others follow with `follow`. */
  begin(endpoints: ReadonlyMap<string, EndpointSet>): void {
    this.#endpoints = endpoints
  }

  /** Where a variant leads, held until it is released. */
  hold(tenant: string, target: Variant['target']): BuiltTarget {
    if (target.kind === 'unresolved') return target
    const { tls } = target
    const { vault } = this.#upstreams
    const lacks = tls && (tls.ca || tls.client !== undefined) ? () => tlsTerms(tls, vault) === undefined : undefined
    return target.kind === 'url'
      ? { kind: 'group', group: this.#urlGroup(tenant, target), host: new URL(target.url).host, http2: false, lacks }
      : { kind: 'group', group: this.#setGroup(tenant, target), host: target.host, http2: target.http2 === true, lacks }
  }

  /**
   * Once nothing leads to a group it is dropped as it is: a request of the table before may still need its members,
   * which finish what they have.
   */
  release(target: BuiltTarget): void {
    const known = target.kind === 'group' ? this.#byGroup.get(target.group) : undefined
    if (known === undefined || --known.holders > 0) return
    this.#byKey.delete(known.key)
    this.#byGroup.delete(known.group)
    if (known.set !== undefined) {
      const followers = this.#bySet.get(known.set)
      followers?.delete(known)
      if (followers?.size === 0) this.#bySet.delete(known.set)
    }
    known.stop?.()
    for (const member of known.group.members) this.#upstreams.release(member)
  }

  /** Gives every group the endpoints it has now; one that is in no group any more is closed. */
  follow(): void {
    for (const known of this.#fresh) if (known.holders > 0) this.#fill(known)
    this.#fresh.clear()
    for (const id of differences(this.#followed, this.#endpoints)) for (const known of this.#bySet.get(id) ?? []) this.#fill(known)
    this.#followed = this.#endpoints
  }

  #setGroup(tenant: string, { set, tls }: Readonly<{ set: string; tls?: BackendTls | undefined }>): Group {
    const known = this.#known(`${tenant} set ${set}${termsKey(tls)}`, tenant, set, tls)
    if (known.holders === 1) {
      this.#fresh.add(known)
      this.#fill(known)
    }
    return known.group
  }

  #urlGroup(tenant: string, { url, tls, loopback, private: inside }: Readonly<Reach & { url: string; tls?: BackendTls | undefined }>): Group {
    const { origin, hostname } = new URL(url)
    const known = this.#known(`${tenant} url ${origin} ${loopback} ${inside}${termsKey(tls)}`, tenant, undefined, tls)
    if (known.holders > 1) return known.group
    const reach = { loopback, ...(inside && { private: inside }) }
    const to = { origin, guard: reach, tls }
    known.group.members = [this.#upstreams.hold(tenant, to)]
    if (this.#names !== undefined && isIP(hostname.replace(/^\[|\]$/g, '')) === 0) this.#followName(known, this.#names, hostname, to)
    return known.group
  }

  /** Each address that its name leads to is an endpoint. Until the first answer, and where all are forbidden, it is the name itself. */
  #followName(known: Known, names: Names, hostname: string, to: Address & { guard: Reach }): void {
    const changed = (): void => {
      const { addresses } = name
      const before = known.group.members
      const allowed = addresses.filter(({ address }) => mayReach(address, to.guard))
      known.group.members = allowed.length === 0 ? [this.#upstreams.hold(known.tenant, to)]
        : allowed.map((first) => this.#upstreams.hold(known.tenant, { ...to, at: { first, name } }))
      for (const follow of known.group.followers) follow()
      for (const member of before) this.#upstreams.release(member)
    }
    const name = names.follow(hostname, changed)
    known.stop = () => names.release(hostname, changed)
    if (name.addresses.length > 0) changed()
  }

  #known(key: string, tenant: string, set: string | undefined, tls: BackendTls | undefined): Known {
    let known = this.#byKey.get(key)
    if (known === undefined) {
      known = { group: { members: [], followers: new Set() }, key, tenant, set, tls, from: undefined, holders: 0, stop: undefined }
      this.#byKey.set(key, known)
      this.#byGroup.set(known.group, known)
      if (set !== undefined) this.#bySet.set(set, (this.#bySet.get(set) ?? new Set()).add(known))
    }
    known.holders++
    return known
  }

  #fill(known: Known): void {
    if (known.set === undefined) return
    const from = this.#endpoints.get(known.set)
    if (from === known.from) return
    known.from = from
    const before = known.group.members
    const scheme = known.tls === undefined ? 'http' : 'https'
    // What is no address is left out: nobody can be there, and it must not lead anywhere else.
    known.group.members = (from?.endpoints ?? []).filter(({ address }) => isIP(address) !== 0 || hostName.test(address))
      .map(({ address, port, zone, metrics }) => this.#upstreams.hold(known.tenant, {
        origin: `${scheme}://${isIPv6(address) ? `[${address}]` : address}:${port}`, tls: known.tls,
      }, { zone, metrics }))
    for (const follow of known.group.followers) follow()
    // After the new ones are held, so that one that stays keeps its connections.
    for (const member of before) this.#upstreams.release(member)
  }
}

/** Groups with other terms are others, with connections of their own. */
function termsKey(tls: BackendTls | undefined): string {
  return tls === undefined ? '' : ` ${JSON.stringify(tls)}`
}
