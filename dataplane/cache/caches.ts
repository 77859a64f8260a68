import { hash } from 'node:crypto'
import * as v from 'valibot'
import type { Cache } from '../../table/cache.ts'
import type { Route, Rule } from '../../table/route.ts'
import type { Entry } from './entry.ts'
import { Flights } from './flights.ts'
import { Memory, type Item } from './memory.ts'
import { Near, type Neighbour } from './semantic/near.ts'
import { agree } from './semantic/particulars.ts'
import { Trust } from './semantic/trust.ts'
import { nameOf, namesFor, type Purge, type Shareable, type Shared, type TextPlace } from './shared.ts'

/** Under which key an answer is found of several that these headers tell apart. */
export type Varied = (key: string, names: readonly string[]) => string

/** The answers of one rule. It outlives the tables. */
export class RuleCache {
  readonly memory: Memory
  readonly flights = new Flights()
  /** In its hits by meaning. */
  readonly trust = new Trust()
  policy: Cache
  /** Purges are numbered: what was begun before the last one is not kept. */
  floor: number
  readonly #tenant: string
  readonly #shared: Shared | undefined
  /** What was changed by a request, by its target, and when: of all others, since when nothing is known to have been. */
  readonly #changes = new Map<string, number>()
  #changed = 0
  #unchanged = 0
  /** Bytes of answers that are on their way. */
  #coming = 0
  #says: string

  constructor(tenant: string, shared: Shared | undefined, policy: Cache, says: string, max: number, floor: number) {
    this.#tenant = tenant
    this.#shared = shared
    this.policy = policy
    this.memory = new Memory(max)
    this.floor = floor
    this.#says = says
  }

  /** Of another version of the rule nothing is given again. */
  follow(policy: Cache, says: string, max: number, floor: number): void {
    this.policy = policy
    // A tag may be gone, and with it what was purged by it.
    if (says !== this.#says) this.purge(floor)
    this.#says = says
    this.memory.resize(max)
  }

  /** Nothing that was begun before is given any more. @param number greater than that of any purge before */
  purge(number: number): void {
    this.floor = number
    this.memory.clear()
    this.trust.begin()
  }

  /** What an answer about a target must have with it: another one after each change of that. */
  standing(target: string): string {
    return String(this.#changes.get(target) ?? this.#unchanged)
  }

  /** Answers about these targets are of no use any more (RFC 9111 section 4.4). */
  change(targets: readonly string[]): void {
    if (this.#changes.size > changesMax) {
      this.#changes.clear()
      this.#unchanged = ++this.#changed
    }
    for (const target of targets) this.#changes.set(target, ++this.#changed)
  }

  /** False: as much is on its way as may be kept. */
  hold(bytes: number): boolean {
    if (this.#coming + bytes > this.policy.maxBytes) return false
    this.#coming += bytes
    return true
  }

  release(bytes: number): void {
    this.#coming -= bytes
  }

  /** The answer under a key; which one, a function of its `vary` tells. Undefined too where it is purged. @param imagined it is not asked for by that */
  find(key: string, varied: Varied, imagined = false): Entry | undefined {
    const get = (name: string) => imagined ? this.memory.look(name) : this.memory.get(name)
    let at = key
    let item = get(at)
    if (item?.kind === 'alias') item = get(at = item.key)
    if (item?.kind === 'vary') item = get(varied(at, item.names))
    return this.#good(item)
  }

  /** The same in the store that proxies share; what is found there is here from then on. Undefined at once: there is none to ask. */
  fetch(key: string, varied: Varied): Promise<Entry | undefined> | undefined {
    const floor = this.floor
    const asked = this.#shared?.find(this.#tenant, key, floor)
    return asked?.then(async (item) => {
      if (item?.kind !== 'vary') return this.#take(key, item, floor)
      this.#take(key, item, floor)
      const at = varied(key, item.names)
      return this.#take(at, await this.#shared?.find(this.#tenant, at, floor), floor)
    })
  }

  /** The same, and it is not here from then on. */
  async look(key: string, varied: Varied): Promise<Entry | undefined> {
    const item = await this.#shared?.find(this.#tenant, key, this.floor)
    return this.#good(item?.kind === 'vary' ? await this.#shared?.find(this.#tenant, varied(key, item.names), this.floor) : item)
  }

  /** Keeps it here and, where others may need it, in the store that they share. False: it is not kept. */
  keep(key: string, item: Shareable, share: boolean): boolean {
    if (!this.memory.set(key, item)) return false
    if (share) this.#shared?.keep(this.#tenant, key, this.floor, item, item.kind === 'entry' ? item.entry.kept - item.entry.age : this.policy.ttl)
    return true
  }

  #take(key: string, item: Shareable | undefined, floor: number): Entry | undefined {
    if (item === undefined || this.floor !== floor) return undefined
    this.memory.set(key, item)
    return this.#good(item)
  }

  #good(item: Item | undefined): Entry | undefined {
    return item?.kind === 'entry' && item.entry.mark >= this.floor ? item.entry : undefined
  }

  /** The keys of answers to texts that mean the same, as far as can be told. The nearest first. */
  around({ partition, words, vector }: TextPlace, threshold: number): Iterable<Neighbour> {
    const item = this.memory.get(partition)
    return item?.kind === 'near' && item.near.dimensions === vector.length ? item.near.around(vector, words, threshold) : []
  }

  /** The same, of texts that other proxies know. Undefined at once: there is nobody to ask. */
  aroundElsewhere(place: TextPlace, threshold: number): Promise<readonly Neighbour[]> | undefined {
    return this.#shared?.nearest(this.#tenant, this.floor, place)
      ?.then((found) => (found ?? []).filter(({ words, similarity }) => similarity >= threshold && agree(place.words, words)))
  }

  /** What a text was found to be like before, by the key of its own answer. */
  likeness(key: string, imagined = false): Neighbour | undefined {
    const item = imagined ? this.memory.look(`~${key}`) : this.memory.get(`~${key}`)
    return item?.kind === 'like' ? item.to : undefined
  }

  liken(key: string, { key: to, similarity }: Neighbour): void {
    this.memory.set(`~${key}`, { kind: 'like', to: { key: to, similarity } })
  }

  /** Says that the answer to this text is under a key. */
  place(place: TextPlace, key: string): void {
    const { partition, words, vector } = place
    this.#shared?.place(this.#tenant, this.floor, place, key, this.policy.ttl)
    const item = this.memory.get(partition)
    const near = item?.kind === 'near' && item.near.dimensions === vector.length ? item.near : new Near(vector.length)
    near.add(key, words, vector)
    this.memory.set(partition, { kind: 'near', near })
  }
}

/** What one rule keeps, for the metrics and the console. */
export type CacheReport = Readonly<{ route: string; rule: string; bytes: number; maxBytes: number; entries: number; evicted: number; trust: Trust | undefined }>

/** Targets that are told apart; of more, what was answered before is of no use for any. */
const changesMax = 10_000

/** What a purge came to here: of how many rules, and how many answers. `told`: the other proxies know of it; undefined: there is no store between them. */
export type Purged = Readonly<{ rules: number; answers: number; told: boolean | undefined }>

/** What purges in several processes came to, as they tell it. */
export function addPurged(all: readonly unknown[]): Purged {
  let sum: Purged = { rules: 0, answers: 0, told: undefined }
  for (const one of all) {
    if (!v.is(Told, one)) continue
    sum = { rules: Math.max(sum.rules, one.rules), answers: sum.answers + one.answers, told: one.told === undefined ? sum.told : one.told && sum.told !== false }
  }
  return sum
}

const Told = v.object({ rules: v.number(), answers: v.number(), told: v.optional(v.boolean()) })

/** Purges that are told apart; of more, all is purged. */
const purgesMax = 1000

export type Tell = (message: string, fields: Readonly<Record<string, unknown>>) => void

/** The caches of all rules. */
export class Caches {
  readonly #rules = new Map<string, Map<string, RuleCache>>()
  readonly #share: number
  readonly #shared: Shared | undefined
  /** The numbers of purges by their names: they only grow, over all proxies. */
  readonly #purges = new Map<string, number>()
  #last = 0
  #following = false
  /** What whoever runs a rule must know of its cache. */
  readonly tell: Tell

  /** @param processes that share what a rule may keep in one proxy */
  constructor(processes = 1, shared?: Shared, tell: Tell = () => {}) {
    this.#share = 1 / processes
    this.#shared = shared
    this.tell = tell
  }

  of(route: Route, rule: Rule, policy: Cache): RuleCache {
    if (!this.#following) this.#shared?.follow((purges) => this.#hear(purges))
    this.#following = true
    let ofRoute = this.#rules.get(route.id)
    if (ofRoute === undefined) {
      ofRoute = new Map()
      this.#rules.set(route.id, ofRoute)
    }
    const { variants: _, limits: _limits, measured: _measured, ...others } = rule
    const says = hash('sha256', JSON.stringify(others), 'hex')
    const max = Math.ceil(policy.maxBytes * this.#share)
    let found = ofRoute.get(rule.name)
    if (found === undefined) {
      found = new RuleCache(route.tenant, this.#shared, policy, says, max, this.#floorOf(route.id, policy))
      ofRoute.set(rule.name, found)
    } else {
      found.follow(policy, says, max, this.#floorOf(route.id, policy))
      this.#raise(found, route.id)
    }
    return found
  }

  /** Forgets what of a route is kept no more; all of it, where the route is gone. */
  prune(id: string, route: Route | undefined): void {
    const ofRoute = this.#rules.get(id)
    const live = new Set(route?.rules.filter(({ cache }) => cache !== undefined).map(({ name }) => name))
    for (const name of ofRoute?.keys() ?? []) if (!live.has(name)) ofRoute?.delete(name)
    if (ofRoute?.size === 0) this.#rules.delete(id)
  }

  async purge(purge: Purge): Promise<Purged> {
    const number = Math.max(Date.now(), this.#last + 1)
    const purged = this.#hear(new Map([[nameOf(purge), number]]))
    return { ...purged, told: this.#shared && this.#following ? await this.#shared.purge(purge, number) : undefined }
  }

  #hear(purges: ReadonlyMap<string, number>): Readonly<{ rules: number; answers: number }> {
    for (const [name, number] of purges) {
      this.#last = Math.max(this.#last, number)
      if (number > (this.#purges.get(name) ?? 0)) this.#purges.set(name, number)
    }
    if (this.#purges.size > purgesMax) {
      this.#purges.clear()
      this.#purges.set(nameOf({}), this.#last)
    }
    let [rules, answers] = [0, 0]
    for (const [id, ofRoute] of this.#rules) {
      for (const cache of ofRoute.values()) {
        const { entries } = cache.memory
        if (!this.#raise(cache, id)) continue
        rules++
        answers += entries
      }
    }
    return { rules, answers }
  }

  #raise(cache: RuleCache, id: string): boolean {
    const floor = this.#floorOf(id, cache.policy)
    // One that loses a tag has been purged all the same.
    if (floor <= cache.floor) return false
    cache.purge(floor)
    return true
  }

  #floorOf(id: string, { tags }: Cache): number {
    return Math.max(0, ...namesFor(id, tags).map((name) => this.#purges.get(name) ?? 0))
  }

  close(): void {
    this.#shared?.close()
  }

  * report(): Generator<CacheReport> {
    for (const [route, ofRoute] of this.#rules) {
      for (const [rule, { memory, trust, policy }] of ofRoute) {
        yield { route, rule, bytes: memory.bytes, maxBytes: Math.ceil(policy.maxBytes * this.#share), entries: memory.entries, evicted: memory.evicted, trust: policy.semantic && trust }
      }
    }
  }
}
