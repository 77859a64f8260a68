/** Whole tables that are under way at once, of thousands of routes each: what these hold is the most that all proxies together do. */
const TURNS = 8

/**
 * Whoever has taken nothing for so many rounds while others waited is cut off. Rounds and no clock, so that a machine that
 * stood still counts as one of them. The length of one in milliseconds.
 */
const ROUNDS = 10
const ROUND = 1_000

/** The right to be sent whole tables, or the wait for it. */
export type Turn = Readonly<{
  /** False while it waits. */
  begun(): boolean
  /** Some of it was taken. */
  moved(): void
  /** All of it was, or it is of no more interest. Nothing where that was said before. */
  end(): void
}>

type Holder = { rounds: number; readonly begin: () => void; readonly cut: (why: string) => void }

export type TurnsOptions = Readonly<{ most?: number | undefined; roundMs?: number | undefined }>

/**
 * A fleet that comes back all at once is sent its tables in turns. What waits costs nothing, and is sent what is published
 * when its turn comes; all whose turn it is share the bytes of one version.
 */
export class Turns {
  readonly #most: number
  readonly #roundMs: number
  readonly #held = new Set<Holder>()
  readonly #waiting = new Set<Holder>()
  #timer: NodeJS.Timeout | undefined

  constructor({ most = TURNS, roundMs = ROUND }: TurnsOptions = {}) {
    this.#most = most
    this.#roundMs = roundMs
  }

  /**
   * Has begun where there is room.
   * @param begin called when it begins later
   * @param cut it was too slow, and does not have it any more
   */
  ask(begin: () => void, cut: (why: string) => void): Turn {
    const holder: Holder = { rounds: 0, begin, cut }
    if (this.#held.size < this.#most) this.#held.add(holder)
    else this.#waiting.add(holder)
    this.#watch()
    return {
      begun: () => this.#held.has(holder),
      moved: () => void (holder.rounds = 0),
      end: () => {
        this.#waiting.delete(holder)
        if (this.#held.delete(holder)) this.#next()
      },
    }
  }

  #next(): void {
    for (const holder of this.#waiting) {
      if (this.#held.size >= this.#most) return
      this.#waiting.delete(holder)
      this.#held.add(holder)
      holder.begin()
    }
  }

  /** While nobody waits, whoever is slow may be. */
  #watch(): void {
    if (this.#timer !== undefined || this.#waiting.size === 0) return
    for (const holder of this.#held) holder.rounds = 0
    this.#timer = setInterval(() => this.#round(), this.#roundMs).unref()
  }

  #round(): void {
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    for (const holder of this.#held) {
      if (++holder.rounds <= ROUNDS) continue
      this.#held.delete(holder)
      holder.cut(`took nothing of a whole table for ${(ROUNDS * this.#roundMs) / 1000} s while others waited`)
    }
    this.#next()
  }
}
