import { hash } from 'node:crypto'
import type { Cache } from '../../table/cache.ts'
import type { Route, Rule } from '../../table/route.ts'
import type { Entry } from './entry.ts'
import { Flights } from './flights.ts'
import { Memory } from './memory.ts'

/** The answers of one rule. It outlives the tables. */
export class RuleCache {
  readonly memory: Memory
  readonly flights = new Flights()
  policy: Cache
  /** Purges are numbered: what was begun before the last one is not kept. */
  floor: number
  /** Bytes of answers that are on their way. */
  #coming = 0
  #says: string

  constructor(policy: Cache, says: string, max: number, floor: number) {
    this.policy = policy
    this.memory = new Memory(max)
    this.floor = floor
    this.#says = says
  }

  /** Of another version of the rule nothing is given again. */
  follow(policy: Cache, says: string, max: number): void {
    this.policy = policy
    if (says !== this.#says) this.memory.clear()
    this.#says = says
    this.memory.resize(max)
  }

  purge(number: number): void {
    this.floor = number
    this.memory.clear()
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

  /** The answer under a key; which one, a function of its `vary` tells. Undefined too where it is purged. */
  find(key: string, varied: (key: string, names: readonly string[]) => string): Entry | undefined {
    let at = key
    let item = this.memory.get(at)
    if (item?.kind === 'alias') item = this.memory.get(at = item.key)
    if (item?.kind === 'vary') item = this.memory.get(varied(at, item.names))
    if (item?.kind !== 'entry' || item.entry.mark < this.floor) return undefined
    return item.entry
  }
}

export type Purge = Readonly<{ tag?: string | undefined; route?: string | undefined }>

/** What one rule keeps, for the metrics. */
export type CacheReport = Readonly<{ route: string; rule: string; bytes: number; entries: number; evicted: number }>

/** The caches of all rules. */
export class Caches {
  readonly #rules = new Map<string, Map<string, RuleCache>>()
  readonly #share: number
  #purges = 0

  /** @param processes that share what a rule may keep in one proxy */
  constructor(processes = 1) {
    this.#share = 1 / processes
  }

  of(route: Route, rule: Rule, policy: Cache): RuleCache {
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
      found = new RuleCache(policy, says, max, this.#purges)
      ofRoute.set(rule.name, found)
    } else found.follow(policy, says, max)
    return found
  }

  /** Forgets what of a route is kept no more; all of it, where the route is gone. */
  prune(id: string, route: Route | undefined): void {
    const ofRoute = this.#rules.get(id)
    const live = new Set(route?.rules.filter(({ cache }) => cache !== undefined).map(({ name }) => name))
    for (const name of ofRoute?.keys() ?? []) if (!live.has(name)) ofRoute?.delete(name)
    if (ofRoute?.size === 0) this.#rules.delete(id)
  }

  /** Forgets the answers of the rules that have this tag and are of this route; without either, all. @returns of how many rules */
  purge({ tag, route }: Purge): number {
    const number = ++this.#purges
    let purged = 0
    for (const [id, ofRoute] of this.#rules) {
      if (route !== undefined && route !== id) continue
      for (const cache of ofRoute.values()) {
        if (tag !== undefined && !cache.policy.tags.includes(tag)) continue
        cache.purge(number)
        purged++
      }
    }
    return purged
  }

  * report(): Generator<CacheReport> {
    for (const [route, ofRoute] of this.#rules) {
      for (const [rule, { memory }] of ofRoute) yield { route, rule, bytes: memory.bytes, entries: memory.size, evicted: memory.evicted }
    }
  }
}
