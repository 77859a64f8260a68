import type { Log } from '../log.ts'
import { systemClock, type Clock } from './clock.ts'

/** What became of a key: done, or to be tried again, later and later. Throwing means `retry` as well, and is logged. */
export type Outcome = 'done' | 'retry'

/** How a queue stands: keys that it knows, and turns that came to nothing. */
export type Work = Readonly<{ size: number; failed: number }>

export type QueueOptions = Readonly<{
  run(key: string): Promise<Outcome>
  log: Log
  /** Keys in work at once. One key never is twice. */
  concurrency?: number
  clock?: Clock
  /** Milliseconds: 5 ms doubling up to 1,000 s unless told. */
  baseDelay?: number
  maxDelay?: number
}>

/**
 * Work by key, each key serially. A key added while it waits is one piece of work; added while it is being worked on,
 * it runs once more afterwards. A key that failed waits out its backoff, however often it is added meanwhile: news
 * about an object does not mend the server.
 */
export class Queue {
  readonly #options: QueueOptions
  readonly #clock: Clock
  /** Waiting for a turn, in order. */
  readonly #ready = new Set<string>()
  readonly #running = new Map<string, Promise<void>>()
  /** Added while running. */
  readonly #dirty = new Set<string>()
  /** Not due yet: when (monotonic), and how to call the timer off. */
  readonly #later = new Map<string, Readonly<{ at: number; cancel: () => void }>>()
  readonly #failures = new Map<string, number>()
  #stopped = false
  /** How often a turn came to nothing, and is to be tried again. */
  failed = 0

  constructor(options: QueueOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
  }

  /** Everything known to the queue: waiting, in work, or backing off. */
  get size(): number {
    let size = this.#ready.size + this.#later.size
    for (const key of this.#running.keys()) if (!this.#ready.has(key) && !this.#later.has(key)) size++
    return size
  }

  /** Asks for a turn in `delay` ms; of two requests for one key the earlier holds. */
  add(key: string, delay = 0): void {
    if (this.#stopped || this.#ready.has(key)) return
    if (this.#running.has(key) && delay === 0) {
      this.#dirty.add(key)
      return
    }
    if (this.#failures.has(key) && this.#later.has(key)) return
    if (delay > 0) return this.#wait(key, delay)
    this.#later.get(key)?.cancel()
    this.#later.delete(key)
    this.#ready.add(key)
    this.#next()
  }

  /** The key's object is gone, or healthy again: no backoff, and no turn that waits for one. */
  forget(key: string): void {
    this.#failures.delete(key)
    this.#later.get(key)?.cancel()
    this.#later.delete(key)
    this.#ready.delete(key)
    this.#dirty.delete(key)
  }

  /** Drops what waits, and resolves when nothing runs. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const { cancel } of this.#later.values()) cancel()
    this.#later.clear()
    this.#ready.clear()
    this.#dirty.clear()
    await Promise.all(this.#running.values())
  }

  #wait(key: string, delay: number): void {
    const at = this.#clock.now() + delay
    const planned = this.#later.get(key)
    if (planned !== undefined && planned.at <= at) return
    planned?.cancel()
    const cancel = this.#clock.after(delay, () => {
      this.#later.delete(key)
      if (this.#running.has(key)) this.#dirty.add(key)
      else this.#ready.add(key)
      this.#next()
    })
    this.#later.set(key, { at, cancel })
  }

  #next(): void {
    for (const key of this.#ready) {
      if (this.#running.size >= (this.#options.concurrency ?? 1)) return
      this.#ready.delete(key)
      this.#running.set(key, this.#work(key))
    }
  }

  async #work(key: string): Promise<void> {
    let outcome: Outcome
    try {
      outcome = await this.#options.run(key)
    } catch (error) {
      this.#options.log('error', 'work on a queue failed', { key, error: String(error) })
      outcome = 'retry'
    }
    this.#running.delete(key)
    if (this.#stopped) return
    const dirty = this.#dirty.delete(key)
    if (outcome === 'done') {
      this.#failures.delete(key)
      if (dirty) this.#ready.add(key)
    } else {
      this.failed++
      const failures = this.#failures.get(key) ?? 0
      this.#failures.set(key, failures + 1)
      const { baseDelay = 5, maxDelay = 1_000_000 } = this.#options
      this.#later.get(key)?.cancel()
      this.#later.delete(key)
      this.#wait(key, Math.min(maxDelay, baseDelay * 2 ** Math.min(failures, 40)))
    }
    this.#next()
  }
}
