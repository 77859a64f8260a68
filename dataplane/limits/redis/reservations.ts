import type { Algorithm } from '../../../table/limits.ts'
import type { Operation } from './frames.ts'
import { LEASE } from './frames.ts'
import { Op } from './script.ts'

/** Units that stand in the store until they are settled; given back by it when not renewed in time. */
export type Reservation = {
  readonly tenant: string
  readonly key: string
  readonly algorithm: Algorithm
  readonly amount: number
  readonly units: number
  readonly id: string
  /** Where it was charged. */
  where: number
  readonly since: number
}

/** How many operations go in one call: a server must not be kept from others for long. */
export const BATCH = 100
/** Settlements that wait for a server that is away. Beyond, the oldest are left to run out. */
const WAITING = 100_000

type Queued = Readonly<{ tenant: string; operation: Operation }>
/** Runs operations of one tenant; answers where each is charged, undefined: they could not be run, or nobody knows. */
export type Apply = (tenant: string, operations: readonly Operation[]) => Promise<readonly number[] | undefined>

const shape = ({ key, algorithm, amount, id }: Reservation) => ({ key, algorithm, amount, id })

/** What this proxy has reserved in the store: renewed while it runs, and settled even if the store is away for a while. */
export class Reservations {
  readonly #apply: Apply
  readonly #reachable: (tenant: string) => boolean
  readonly #running = new Set<Reservation>()
  #queue: Queued[] = []
  #flushing = false
  readonly #sending = new Set<Promise<void>>()
  readonly #timer: NodeJS.Timeout

  constructor(apply: Apply, reachable: (tenant: string) => boolean) {
    this.#apply = apply
    this.#reachable = reachable
    this.#timer = setInterval(() => {
      this.flush()
      void this.renew(performance.now() - LEASE / 4)
    }, LEASE / 4)
    this.#timer.unref()
  }

  get size(): number {
    return this.#running.size
  }

  add(reservation: Reservation): void {
    this.#running.add(reservation)
  }

  /** @param actual what it came to */
  settle(reservation: Reservation, actual: number): void {
    if (!this.#running.delete(reservation)) return
    const { tenant, units, where } = reservation
    this.send(tenant, { ...shape(reservation), op: Op.settle, numbers: [units, where, reservation.algorithm.type === 'Concurrency' ? 0 : actual, 1] })
  }

  /** Sends an operation, with others of this moment; later, if the store is away. */
  send(tenant: string, operation: Operation): void {
    this.#queue.push({ tenant, operation })
    if (this.#queue.length > WAITING) this.#queue.shift()
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.flush()
    })
  }

  /** Sends what waits for servers that are there. */
  flush(): void {
    const ready = new Map<string, Operation[]>()
    const rest: Queued[] = []
    for (const queued of this.#queue) {
      if (this.#reachable(queued.tenant)) listOf(ready, queued.tenant).push(queued.operation)
      else rest.push(queued)
    }
    this.#queue = rest
    for (const [tenant, operations] of ready) {
      for (let at = 0; at < operations.length; at += BATCH) this.#track(this.#sendBatch(tenant, operations.slice(at, at + BATCH)))
    }
  }

  #track(sending: Promise<void>): void {
    this.#sending.add(sending)
    void sending.finally(() => this.#sending.delete(sending))
  }

  async #sendBatch(tenant: string, operations: readonly Operation[]): Promise<void> {
    if (await this.#apply(tenant, operations) !== undefined) return
    // A reservation can be settled only once, so its settlement may be sent again; other changes may not.
    for (const operation of operations) {
      if (operation.op !== Op.settle) continue
      const [units, where, actual] = operation.numbers
      this.#queue.push({ tenant, operation: { ...operation, numbers: [units, where, actual, 0] } })
    }
  }

  /** Keeps those begun before a time, also where the store has given them back in the meantime. */
  async renew(before: number): Promise<void> {
    const due = new Map<string, Reservation[]>()
    for (const one of this.#running) {
      if (one.since > before || !this.#reachable(one.tenant)) continue
      listOf(due, one.tenant).push(one)
    }
    for (const [tenant, all] of due) {
      for (let at = 0; at < all.length; at += BATCH) {
        const batch = all.slice(at, at + BATCH).filter((one) => this.#running.has(one))
        const where = await this.#apply(tenant, batch.map((one) => ({ ...shape(one), op: Op.renew, numbers: [one.units, one.where, 0, 0] })))
        for (const [i, one] of batch.entries()) one.where = where?.[i] ?? one.where
      }
    }
  }

  /** Nothing is renewed any more. Resolves when what was settled has been told. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#running.clear()
    this.flush()
    await Promise.all(this.#sending)
  }
}

export function listOf<T>(map: Map<string, T[]>, key: string): T[] {
  let list = map.get(key)
  if (list === undefined) {
    list = []
    map.set(key, list)
  }
  return list
}
