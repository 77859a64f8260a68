import { hash } from 'node:crypto'
import type { Verdict } from '../../pipeline/principal.ts'

/** What is remembered of a token: the verdict, until when, and whether it still counts. */
type Entry = {
  readonly verdict: Verdict
  /** Milliseconds since the epoch. */
  readonly until: number
  readonly bytes: number
  readonly holds: (() => boolean) | undefined
  used: boolean
}

/** Beside what a token's claims take: an entry, its key, and what the runtime keeps of them. */
const entryBytes = 600

/**
 * Tokens that have been verified, by their digests, bounded in bytes: a token seen before costs a lookup. Where there is
 * no room, those go first that were not asked for since they were last passed over.
 */
export class Verified {
  readonly #entries = new Map<string, Entry>()
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @param key see `keyOf` */
  get(key: string, now: number): Verdict | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (now >= entry.until || entry.holds?.() === false) {
      this.#remove(key, entry)
      return undefined
    }
    entry.used = true
    return entry.verdict
  }

  /** @param size of the token, in bytes, which bounds that of its claims */
  set(key: string, verdict: Verdict, size: number, until: number, holds?: () => boolean): void {
    const before = this.#entries.get(key)
    if (before !== undefined) this.#remove(key, before)
    // Claims as objects take several times what they take as text.
    const bytes = entryBytes + size * 4
    if (bytes > this.#bytesMax) return
    while (this.#bytes + bytes > this.#bytesMax) this.#evict()
    this.#entries.set(key, { verdict, until, bytes, holds, used: false })
    this.#bytes += bytes
  }

  #evict(): void {
    for (const [key, entry] of this.#entries) {
      this.#entries.delete(key)
      if (!entry.used) {
        this.#bytes -= entry.bytes
        return
      }
      entry.used = false
      this.#entries.set(key, entry)
    }
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key)
    this.#bytes -= entry.bytes
  }
}

/** Of a token under certain terms. Never the token itself: a dump of the memory must not hold what lets people in. */
export function keyOf(terms: string, token: string): string {
  return hash('sha256', `${terms} ${token}`, 'base64')
}
