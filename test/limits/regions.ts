import { createProcessStore, type ProcessStore } from '../../dataplane/limits/process.ts'
import { Memory, Outage } from '../../dataplane/limits/redis/failure.ts'
import type { Take } from '../../dataplane/limits/limiter.ts'
import { seeded } from '../balancing/random.ts'

/**
 * One limit over several regions, played through in simulated time: who counts, what a partition does to it, and what a
 * request waits for. What counts and what decides without the store is the code of the proxies; simulated are time, the
 * requests, and the distance. Latencies are in milliseconds.
 */

export type Region = Readonly<{
  name: string
  proxies: number
  /** Round trip to the first region's Redis, and to the one of its own. */
  far: number
  near: number
  /** Requests a second, window by window; the last goes on. */
  demand: readonly number[]
}>

export type Design =
  /** One Redis, in the first region, for all. */
  | Readonly<{ kind: 'one'; onStoreFailure: Take['onStoreFailure'] }>
  /** A Redis each, with a fixed part of the limit each, in the order of the regions; they sum up to 1, or to more. */
  | Readonly<{ kind: 'shares'; parts: readonly number[] }>
  /** A Redis each, and what is left is divided anew every so many milliseconds, by what each region was asked for. */
  | Readonly<{ kind: 'demand'; every: number }>

/** Regions that reach no other one, from and until then (ms). In that time, `down` ones do not even reach their own Redis. */
export type Cut = Readonly<{ from: number; until: number; regions: readonly string[]; down?: boolean }>

export type Scenario = Readonly<{
  regions: readonly Region[]
  limit: number
  /** Milliseconds. */
  window: number
  windows: number
  /** How long a request waits for a Redis that says nothing. */
  patience: number
  design: Design
  cut?: Cut
  seed?: number
}>

export type Window = { admitted: number; refused: number; asked: number }

export type Played = Readonly<{
  windows: readonly Window[]
  /** What each request waited for its decision. */
  added: readonly number[]
}>

/** Until proxies that ask again after an outage are given answers: a probe, and the second in which all tell what they took. */
const HEALING = 1100

export function play(scenario: Scenario): Played {
  const { regions, limit, window, design, cut } = scenario
  let clock = 0
  const now = () => clock
  const windows: Window[] = Array.from({ length: scenario.windows }, () => ({ admitted: 0, refused: 0, asked: 0 }))
  const added: number[] = []
  const all = regions.reduce((sum, { proxies }) => sum + proxies, 0)
  const onStoreFailure = design.kind === 'one' ? design.onStoreFailure : 'Local'
  const takeOf = (amount: number): Take => ({
    key: 'org FixedWindow all', algorithm: { type: 'FixedWindow', window }, amount, units: 1, hold: false, scope: 'Global', shadow: false, onStoreFailure,
  })
  const stores = (design.kind === 'one' ? regions.slice(0, 1) : regions).map(() => createProcessStore({ now }))
  const storeOf = (at: number): ProcessStore | undefined => stores[design.kind === 'one' ? 0 : at]
  const shares = regions.map((_, at) => (design.kind === 'shares' ? (design.parts[at] ?? 0) : design.kind === 'one' ? 1 : 1 / regions.length))
  const amounts = shares.map((share) => Math.floor(limit * share))
  const sites = regions.map((region) => ({
    asked: 0, outage: undefined as undefined | { began: number; of: Outage[] }, memory: Array.from({ length: region.proxies }, () => new Memory()),
  }))

  const isCut = ({ name }: Region, time: number) => cut !== undefined && time >= cut.from && time < cut.until && cut.regions.includes(name)
  const reaches = (region: Region, time: number): boolean => {
    if (!isCut(region, time)) return true
    return design.kind === 'one' ? region === regions[0] && cut?.down !== true : cut?.down !== true
  }
  const over = (region: Region) => reaches(region, clock) && reaches(region, clock - HEALING)
  const divides = (region: Region): number => (design.kind === 'one' ? all : region.proxies)

  function heal(at: number): void {
    const site = sites[at]
    const store = storeOf(at)
    if (!site?.outage || !store) return
    for (const outage of site.outage.of) {
      for (const operations of outage.end().values()) {
        for (const { numbers: [start, used] } of operations) {
          // What was taken in a window that is over counts for nothing any more.
          if (start === clock - (clock % window) && used > 0) store.take([{ ...takeOf(limit * 1000), units: used }])
        }
      }
    }
    site.outage = undefined
  }

  /** Sums of parts never exceed the limit: who gets less has to agree before anybody gets more, so who is cut off keeps theirs. */
  function divide(): void {
    const there = regions.flatMap((region, at) => (isCut(region, clock) ? [] : [at]))
    const used = (at: number) => storeOf(at)?.used(takeOf(limit))[1] ?? 0
    const fresh = (at: number) => (storeOf(at)?.used(takeOf(limit))[0] === clock - (clock % window) ? used(at) : 0)
    const pool = there.reduce((sum, at) => sum + (amounts[at] ?? 0), 0)
    const taken = there.reduce((sum, at) => sum + fresh(at), 0)
    const left = Math.max(0, pool - taken)
    // Nobody is left with nothing: who was silent may be asked next.
    const weights = there.map((at) => Math.max(sites[at]?.asked ?? 0, 1))
    const sum = weights.reduce((a, b) => a + b, 0)
    for (const [i, at] of there.entries()) {
      amounts[at] = fresh(at) + Math.floor((left * (weights[i] ?? 0)) / sum)
      const site = sites[at]
      if (site) site.asked = 0
    }
  }

  function decide(at: number, region: Region, proxy: number): Readonly<{ allowed: boolean; waited: number }> {
    const site = sites[at]
    const store = storeOf(at)
    if (!site || !store) throw new Error('no such region')
    site.asked++
    const asked = takeOf(amounts[at] ?? 0)
    // All have told what they took before any of them asks again.
    if (site.outage && over(region)) for (const [each, other] of regions.entries()) if (over(other)) heal(each)
    if (!site.outage && reaches(region, clock)) {
      const { allowed, verdicts } = store.take([asked])
      const { remaining = 0, resetAfter = 0 } = verdicts[0] ?? {}
      site.memory[proxy]?.set(asked.key, { remaining, until: clock + resetAfter })
      return { allowed, waited: design.kind === 'one' ? region.far : region.near }
    }
    site.outage ??= {
      began: clock,
      of: site.memory.map((memory) => new Outage({ memory, proxies: () => divides(region), now, nextId: () => '', adopt: () => {}, settle: () => {} })),
    }
    const decided = site.outage.of[proxy]?.decide('org', [asked]).decision
    return { allowed: decided?.allowed === true, waited: clock - site.outage.began < scenario.patience ? scenario.patience : 0 }
  }

  let divided = 0
  for (const { time, at, proxy } of arrivals(scenario)) {
    clock = time
    if (design.kind === 'demand') {
      while (divided + design.every <= time) {
        divided += design.every
        clock = divided
        divide()
      }
      clock = time
    }
    const region = regions[at]
    if (!region) continue
    const { allowed, waited } = decide(at, region, proxy)
    added.push(waited)
    const here = windows[Math.floor(time / window)]
    if (here === undefined) continue
    here.asked++
    if (allowed) here.admitted++
    else here.refused++
  }
  return { windows, added }
}

type Arrival = Readonly<{ time: number; at: number; proxy: number }>

/** By chance (Poisson), the same in each run. */
function arrivals({ regions, window, windows, seed = 1 }: Scenario): readonly Arrival[] {
  const all: Arrival[] = []
  for (const [at, { demand, proxies }] of regions.entries()) {
    const random = seeded(seed * 97 + at)
    for (let time = 0; ;) {
      const rate = demand[Math.min(demand.length - 1, Math.floor(time / window))] ?? 0
      time += rate > 0 ? (-Math.log(1 - random()) * 1000) / rate : window
      if (time >= windows * window) break
      all.push({ time, at, proxy: Math.floor(random() * proxies) })
    }
  }
  return all.sort((a, b) => a.time - b.time)
}

export type Sums = Readonly<{
  /** Of the limit: over all windows, and in the worst one. */
  admitted: number
  worst: number
  /** Of what was asked: refused though the limit had room for it at the window's end. */
  needless: number
  p50: number
  p99: number
}>

export function sumsOf({ windows, added }: Played, limit: number): Sums {
  const sum = (of: (window: Window) => number) => windows.reduce((total, window) => total + of(window), 0)
  const sorted = added.toSorted((a, b) => a - b)
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
  return {
    admitted: sum(({ admitted }) => admitted) / (limit * windows.length),
    worst: Math.max(...windows.map(({ admitted }) => admitted / limit)),
    needless: sum(({ admitted, refused }) => Math.min(refused, Math.max(0, limit - admitted))) / sum(({ asked }) => asked),
    p50: at(0.5),
    p99: at(0.99),
  }
}

/** Three regions, half of all requests in one of them; it moves to another in the middle, as the day does. */
export const world: Pick<Scenario, 'regions' | 'limit' | 'window' | 'windows' | 'patience'> = {
  limit: 6000, window: 60_000, windows: 10, patience: 160,
  regions: [
    { name: 'a', proxies: 6, far: 0.5, near: 0.5, demand: [75, 75, 75, 75, 75, 30] },
    { name: 'b', proxies: 4, far: 70, near: 0.5, demand: [45, 45, 45, 45, 45, 75] },
    { name: 'c', proxies: 2, far: 140, near: 0.5, demand: [30, 30, 30, 30, 30, 45] },
  ],
}

/** Of windows three to six. */
export const cutOff = (...regions: readonly string[]): Cut => ({ from: 130_000, until: 370_000, regions })
