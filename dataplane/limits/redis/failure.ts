import type { Decision, Held, Take, Verdict } from '../limiter.ts'
import { createProcessStore, type ProcessStore } from '../process.ts'
import type { Operation } from './frames.ts'
import { listOf, type Reservation } from './reservations.ts'
import { Op } from './script.ts'

/** What is remembered of how much was left, so that an outage does not begin with full limits. */
const REMEMBERED = 50_000
/** Counts of an outage that are carried over to the store after it. */
const CARRIED = 100_000
/** What was heard of a limit is a moment old: one part in so many of it is kept back. */
const MARGIN = 100
/** What a limit that says Allow allows. */
const UNLIMITED = 2 ** 50
/** When to come back where nobody can be asked. Milliseconds. */
const RETRY = 1000

const unknown: Verdict = { allows: true, remaining: Number.NaN, resetAfter: 0, retryAfter: 0 }
const denied: Verdict = { allows: false, remaining: Number.NaN, resetAfter: 0, retryAfter: RETRY }

/** What the store said of a limit last. `until`: when that is of no use any more. */
type Last = Readonly<{ remaining: number; until: number }>

/** The last that was heard of limits: two generations of a map, of which the older is dropped when the younger is full. */
export class Memory {
  #young = new Map<string, Last>()
  #old = new Map<string, Last>()

  set(key: string, last: Last): void {
    if (this.#young.size >= REMEMBERED) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, last)
  }

  get(key: string): Last | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }
}

export type FailureDeps = Readonly<{
  memory: Memory
  /** How many proxies divide a limit among them. */
  proxies: () => number
  now: () => number
  nextId: () => string
  /** A reservation that the store is to take over. */
  adopt: (reservation: Reservation) => void
  settle: (reservation: Reservation, actual: number) => void
}>

/** A decision without the store. `hold`: what it charged; undefined when that is nothing. */
export type Local = Readonly<{ decision: Decision; hold: LocalHold | undefined }>

/** One count of an outage. `told`: its cells when the store was told of it last. */
type Touched = { readonly tenant: string; readonly asked: Take; readonly own: Take; told: readonly [number, number, number] }

/** Decides as `onStoreFailure` says from when a server stops answering until it answers again, and then tells it what was taken. */
export class Outage {
  readonly #deps: FailureDeps
  readonly #own: ProcessStore
  readonly #touched = new Map<string, Touched>()
  readonly #open = new Set<LocalHold>()

  constructor(deps: FailureDeps) {
    this.#deps = deps
    this.#own = createProcessStore({ now: deps.now, most: CARRIED })
  }

  decide(tenant: string, takes: readonly Take[]): Local {
    if (takes.some(({ onStoreFailure, shadow }) => onStoreFailure === 'Deny' && !shadow)) {
      const verdicts = takes.map(({ onStoreFailure, shadow }) => (onStoreFailure === 'Deny' && !shadow ? denied : unknown))
      return { decision: { allowed: false, unavailable: true, by: 'failure', verdicts, held: undefined }, hold: undefined }
    }
    const proxies = Math.max(1, this.#deps.proxies())
    const own = takes.map((take) => (take.onStoreFailure === 'Local' ? shareOf(take, proxies) : unlimited(take)))
    for (const [i, take] of takes.entries()) this.#begin(tenant, take, own[i], proxies)
    const { allowed, verdicts, held } = this.#own.take(own)
    const hold = allowed && held !== undefined ? new LocalHold(tenant, takes, verdicts, held, this.#deps) : undefined
    if (hold?.reserves === true) {
      this.#open.add(hold)
      hold.settled = () => this.#open.delete(hold)
    }
    return {
      decision: {
        allowed, unavailable: false, by: 'failure', held: hold?.reserves === true ? hold : undefined,
        verdicts: verdicts.map((verdict, i) => (takes[i]?.onStoreFailure === 'Local' ? verdict : unknown)),
      },
      hold,
    }
  }

  /** The first time in this outage: what was used already, as far as this proxy heard of it. */
  #begin(tenant: string, asked: Take, own: Take | undefined, proxies: number): void {
    if (own === undefined || this.#touched.has(asked.key) || this.#touched.size >= CARRIED) return
    const last = this.#deps.memory.get(asked.key)
    if (asked.onStoreFailure === 'Local' && last !== undefined && last.until > this.#deps.now()) {
      // Less what the others may have taken since, and what was on its way.
      const left = Math.max(0, last.remaining - Math.floor(asked.amount / MARGIN))
      const units = Math.max(0, capacityOf(own) - Math.floor(left / proxies))
      this.#own.take([{ ...own, units, hold: false, shadow: true }])
    }
    this.#touched.set(asked.key, { tenant, asked, own, told: this.#own.used(own) })
  }

  /** Whether anything was counted. */
  get counted(): boolean {
    return this.#touched.size > 0
  }

  /** What was taken since the last report, for the store to add to what it knows. */
  report(): ReadonlyMap<string, readonly Operation[]> {
    const byTenant = new Map<string, Operation[]>()
    for (const touched of this.#touched.values()) {
      const { tenant, asked: { key, algorithm, amount }, own, told } = touched
      if (algorithm.type === 'Concurrency') continue
      const now = this.#own.used(own)
      touched.told = now
      const [start, used, before] = now
      const same = told[0] === start || algorithm.type === 'TokenBucket'
      const numbers = [start, same ? used - told[1] : used, same ? before - told[2] : Math.max(0, before - told[1]), 0] as const
      if (numbers[1] !== 0 || numbers[2] !== 0) listOf(byTenant, tenant).push({ op: Op.add, key, algorithm, amount, numbers, id: '' })
    }
    return byTenant
  }

  /** Ends it: the last report. What is reserved the store takes over. */
  end(): ReadonlyMap<string, readonly Operation[]> {
    for (const hold of this.#open) hold.handOver()
    return this.report()
  }
}

const capacityOf = ({ algorithm, amount }: Take) => amount + (algorithm.type === 'TokenBucket' ? algorithm.burst : 0)

/** Whatever is charged is held, so that it can be taken back. */
const held = ({ units, hold }: Take) => hold || units > 0

/** A limit's part for one of several proxies, at least one unit: of a limit of 1, each proxy admits one. */
function shareOf(take: Take, proxies: number): Take {
  const part = (whole: number) => (whole === 0 ? 0 : Math.max(1, Math.floor(whole / proxies)))
  const { algorithm } = take
  return {
    ...take,
    hold: held(take),
    amount: part(take.amount),
    algorithm: algorithm.type === 'TokenBucket' ? { ...algorithm, burst: part(algorithm.burst) } : algorithm,
  }
}

/** It is counted all the same, for when the store is back. A bucket must go on earning as fast as it does. */
function unlimited(take: Take): Take {
  const { algorithm } = take
  return algorithm.type === 'TokenBucket'
    ? { ...take, hold: held(take), algorithm: { ...algorithm, burst: UNLIMITED } }
    : { ...take, hold: held(take), amount: UNLIMITED }
}

/** What an outage charged for one request. */
export class LocalHold implements Held {
  /** Whether the request itself reserves something, and is to settle it. */
  readonly reserves: boolean
  readonly keys: readonly string[]
  settled: () => void = () => {}
  readonly #tenant: string
  readonly #takes: readonly Take[]
  readonly #verdicts: readonly Verdict[]
  readonly #own: Held
  readonly #deps: FailureDeps
  #over = false
  /** Once the store has taken over. */
  #reservations: readonly (Reservation | undefined)[] | undefined

  constructor(tenant: string, takes: readonly Take[], verdicts: readonly Verdict[], own: Held, deps: FailureDeps) {
    this.reserves = takes.some(({ hold }, i) => hold && verdicts[i]?.allows === true)
    this.keys = takes.map(({ key }) => key)
    this.#tenant = tenant
    this.#takes = takes
    this.#verdicts = verdicts
    this.#own = own
    this.#deps = deps
  }

  settle(units: readonly number[] | undefined): void {
    if (this.#over) return
    this.#over = true
    if (this.#reservations !== undefined) {
      for (const [i, one] of this.#reservations.entries()) if (one !== undefined) this.#deps.settle(one, units?.[i] ?? 0)
    } else {
      this.#own.settle(this.#takes.map(({ hold, units: asked }, i) => (hold ? units?.[i] ?? 0 : asked)))
    }
    this.settled()
  }

  /** It counts elsewhere: there by these reservations, of those that reserve. @returns false: too late, it is settled here */
  replace(reservations: readonly (Reservation | undefined)[]): boolean {
    if (this.#reservations !== undefined || this.#over) return false
    this.#own.settle(undefined)
    this.#reservations = reservations
    return true
  }

  /** What is reserved goes to the store, what is merely charged stays here to be told. */
  handOver(): void {
    if (this.#over || this.#reservations !== undefined) return
    this.#own.settle(this.#takes.map(({ hold, units }) => (hold ? 0 : units)))
    this.#reservations = this.#takes.map(({ key, algorithm, amount, units, hold }, i) => {
      if (!hold || this.#verdicts[i]?.allows !== true) return undefined
      const one: Reservation = { tenant: this.#tenant, key, algorithm, amount, units, id: this.#deps.nextId(), where: 0, since: 0 }
      this.#deps.adopt(one)
      return one
    })
  }
}
