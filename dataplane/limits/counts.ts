import { randomInt } from 'node:crypto'
import { WIDTH } from './algorithms.ts'
import { TakenLog } from './log.ts'

/** So many parts, each with its own table: none is ever so large that growing it holds up a request. */
const PARTS = 64
/** Counts that keys of a limit share once there is no room: so many for each part and limit. */
const SHARED = 64
/** How many old counts are looked at for each new one. More than one, so that what has expired never piles up. */
const SWEEP = 4
/** The same when there is no room. */
const SWEEP_FULL = 256

/** The counts of one process by key, in flat arrays: 32 bytes a count and its key. Bounded, as `open` says. */
export class Counts {
  readonly #parts: readonly Part[]

  /** @param most counts in all, but for the shared ones */
  constructor(most: number) {
    const each = Math.max(1, Math.ceil(most / PARTS))
    this.#parts = Array.from({ length: PARTS }, () => new Part(each))
  }

  get size(): number {
    return this.#parts.reduce((sum, part) => sum + part.size, 0)
  }

  part(key: string): Part {
    return this.#parts[hashOf(key) % PARTS] ?? new Part(1)
  }
}

const seed = randomInt(2 ** 32 - 1)

/** FNV-1a, begun where nobody outside knows: whoever chooses keys must not choose their part. */
function hashOf(key: string): number {
  let hash = seed
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

export class Part {
  readonly #most: number
  readonly #slots = new Map<string, number>()
  readonly #keys: (string | undefined)[] = []
  readonly #logs = new Map<number, TakenLog>()
  readonly #free: number[] = []
  #hand = 0
  /** How many of the counts are shared ones; these have room of their own. */
  #shared = 0
  /** The states, WIDTH numbers each. */
  cells: Float64Array = new Float64Array(16 * WIDTH)
  /** When a count may be forgotten; ms since the epoch. */
  expires: Float64Array = new Float64Array(16)

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#slots.size
  }

  /** The slot of a count; undefined when there is none. */
  find(key: string, now: number): number | undefined {
    const slot = this.#slots.get(key)
    // While it is in use it is not to be swept.
    if (slot !== undefined && (this.expires[slot] ?? 0) <= now) this.expires[slot] = now + 1
    return slot
  }

  /** Whose slot it is at present. */
  keyAt(slot: number): string | undefined {
    return this.#keys[slot]
  }

  /**
   * The slot of a count, new if need be. When all are taken and none has expired, a new key shares a count with others
   * of its limit: it may be refused for what they used, but flooding the proxy with keys resets nobody's count.
   */
  open(key: string, now: number): number {
    const found = this.find(key, now) ?? (this.#shared > 0 ? this.find(sharedKey(key), now) : undefined)
    if (found !== undefined) return found
    this.#sweep(now, SWEEP)
    if (this.#full()) this.#sweep(now, SWEEP_FULL)
    if (!this.#full()) return this.#add(key, now)
    this.#shared++
    return this.#add(sharedKey(key), now)
  }

  log(slot: number, now: number): TakenLog {
    let log = this.#logs.get(slot)
    if (log === undefined) {
      log = new TakenLog(now)
      this.#logs.set(slot, log)
    }
    return log
  }

  #full(): boolean {
    return this.#slots.size - this.#shared >= this.#most
  }

  #add(key: string, now: number): number {
    const slot = this.#free.pop() ?? this.#keys.length
    if (slot * WIDTH >= this.cells.length) {
      this.cells = doubled(this.cells)
      this.expires = doubled(this.expires)
    }
    this.cells.fill(0, slot * WIDTH, (slot + 1) * WIDTH)
    this.expires[slot] = now + 1
    this.#keys[slot] = key
    this.#slots.set(key, slot)
    return slot
  }

  /** Forgets what has expired among the next `count` slots. */
  #sweep(now: number, count: number): void {
    for (let i = Math.min(count, this.#keys.length); i > 0; i--) {
      this.#hand = this.#hand + 1 < this.#keys.length ? this.#hand + 1 : 0
      const key = this.#keys[this.#hand]
      if (key === undefined || (this.expires[this.#hand] ?? 0) > now) continue
      this.#slots.delete(key)
      if (key.includes('*')) this.#shared--
      this.#keys[this.#hand] = undefined
      this.#logs.delete(this.#hand)
      this.#free.push(this.#hand)
    }
  }
}

/** The limit and the algorithm, without the values; one of SHARED counts. Values have no `*`. */
function sharedKey(key: string): string {
  const end = key.indexOf(' ', key.indexOf(' ') + 1)
  return `${end < 0 ? key : key.slice(0, end)} *${Math.floor(hashOf(key) / PARTS) % SHARED}`
}

function doubled(array: Float64Array): Float64Array {
  const larger = new Float64Array(array.length * 2)
  larger.set(array)
  return larger
}
