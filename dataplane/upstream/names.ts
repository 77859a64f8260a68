import { lookup, Resolver } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import type { Lookup } from '../../outgoing/guard.ts'

export type NameAddress = Readonly<{ address: string; family: 4 | 6 }>

/** What a name leads to, and for how long that may be believed (milliseconds). Rejects where it cannot be told. */
export type ResolveName = (name: string) => Promise<Readonly<{ addresses: readonly NameAddress[]; ttl: number }>>

/** A name that somebody follows. */
export type FollowedName = {
  /** Replaced whole; empty before the first answer. */
  addresses: readonly NameAddress[]
  readonly followers: Set<() => void>
  timer: NodeJS.Timeout | undefined
}

/** Bounds of how long an answer is believed. Milliseconds. */
const ttlMin = 5000
const ttlMax = 300_000
/** Where nothing says how long. */
const ttlDefault = 30_000
/** After an answer that did not come. */
const retryAfter = 5000
/** Of many names each is asked for less often, so that all of them together are no burden to a resolver. */
const apart = 20
/** Of one name; more are left out. */
const addressesMax = 64

/** The names in use, each asked again when its answer is no longer to be believed. A failure changes nothing. */
export class Names {
  readonly #resolve: ResolveName
  readonly #followed = new Map<string, FollowedName>()

  constructor(resolve: ResolveName = resolveName) {
    this.#resolve = resolve
  }

  /** @param changed called when it leads somewhere else, until it is released with it */
  follow(name: string, changed: () => void): FollowedName {
    let followed = this.#followed.get(name)
    if (followed === undefined) {
      followed = { addresses: [], followers: new Set(), timer: undefined }
      this.#followed.set(name, followed)
      void this.#ask(name, followed)
    }
    followed.followers.add(changed)
    return followed
  }

  release(name: string, changed: () => void): void {
    const followed = this.#followed.get(name)
    followed?.followers.delete(changed)
    if (followed === undefined || followed.followers.size > 0) return
    clearTimeout(followed.timer)
    this.#followed.delete(name)
  }

  close(): void {
    for (const { timer } of this.#followed.values()) clearTimeout(timer)
    this.#followed.clear()
  }

  async #ask(name: string, followed: FollowedName): Promise<void> {
    const answer = await this.#resolve(name).catch(() => undefined)
    if (this.#followed.get(name) !== followed) return
    const next = Math.max(answer === undefined ? retryAfter : wait(answer.ttl), this.#followed.size * apart)
    followed.timer = setTimeout(() => void this.#ask(name, followed), next).unref()
    const found = answer?.addresses.slice(0, addressesMax) ?? []
    if (found.length === 0 || same(found, followed.addresses)) return
    followed.addresses = found.toSorted(byAddress)
    for (const changed of followed.followers) changed()
  }
}

const wait = (ttl: number) => Math.min(ttlMax, Math.max(ttlMin, ttl))
const byAddress = (a: NameAddress, b: NameAddress) => a.address < b.address ? -1 : 1

function same(a: readonly NameAddress[], b: readonly NameAddress[]): boolean {
  const known = new Set(b.map(({ address }) => address))
  return a.length === b.length && a.every(({ address }) => known.has(address))
}

/**
 * A `lookup` that leads to one address of a name first, and then to the others: what connects to it goes on to the next,
 * of the other family before the same (RFC 8305), when that one lets itself be waited for.
 */
export function lookupFirst(first: NameAddress, name: Pick<FollowedName, 'addresses'>): Lookup {
  return (_name, _options, callback) => {
    callback(null, [first, ...name.addresses.filter(({ address }) => address !== first.address).slice(0, othersMax)])
  }
}

/** So many others are tried: each lets itself be waited for a quarter of a second. */
const othersMax = 3

/** As the system resolves names, hosts files and search domains too; how long is what DNS says of it, where it says anything. */
const resolveName: ResolveName = async (name) => {
  const resolver = new Resolver({ timeout: 2000, tries: 2 })
  const ttls = async (records: Promise<{ ttl: number }[]>) => (await records.catch(() => [])).map(({ ttl }) => ttl * 1000)
  const [found, four, six] = await Promise.all([
    lookup(name, { all: true, verbatim: true }), ttls(resolver.resolve4(name, { ttl: true })), ttls(resolver.resolve6(name, { ttl: true })),
  ])
  const addresses = found.map(({ address }) => ({ address, family: isIPv6(address) ? 6 as const : 4 as const }))
  const all = [...four, ...six]
  return { addresses, ttl: all.length > 0 ? Math.min(...all) : ttlDefault }
}
