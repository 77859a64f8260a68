import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** Milliseconds of silence after which a server is taken for stalled, counted as `Lane` counts them. */
const SILENCE = 16
/** The same for one question that others overtake: the server is too slow. */
const PATIENCE = 60
/** How often it is looked at. */
const TICK = 4
/** A look that comes later than this says that this process is busy, and counts for little. */
const PUNCTUAL = 6
const BUSY = 1
/** From so much silence on the machine is asked how busy it is. */
const SUSPICIOUS = 4
/** After so long, however busy anything is. */
const ENOUGH = 250

/** A question that is not answered yet. */
export type Waiting = { giveUp(): void; since: number; at: number }

/**
 * The questions that one server has not answered yet, and whether it is still asked. A server is given up when it says
 * nothing for SILENCE while something waits. A plain timeout would fire whenever this process is busy: answers lie in
 * the socket, and nobody reads them, and a server on the same machine waits for its turn as we do. So time counts in
 * looks, those of a busy process for next to nothing and at a crowded machine for less, and before the last word the socket is read once more.
 */
export class Lane {
  /** The server is not asked: the shared counts are out of reach. */
  open = false
  readonly #trip: (why: string) => void
  readonly #waiting = new Set<Waiting>()
  #timer: NodeJS.Timeout | undefined
  #last = 0
  /** Time as it is counted here, since the beginning, and since the last answer. */
  #counted = 0
  #silent = 0

  /** @param trip called when the server is given up, before those that wait are told */
  constructor(trip: (why: string) => void) {
    this.#trip = trip
  }

  add(giveUp: () => void): Waiting {
    const waiting = { giveUp, since: this.#counted, at: performance.now() }
    this.#waiting.add(waiting)
    if (this.#timer === undefined) {
      this.#silent = 0
      this.#last = performance.now()
      this.#timer = setInterval(() => this.#look(), TICK)
    }
    return waiting
  }

  /** It is answered, or never will be. */
  remove(waiting: Waiting, answered: boolean): void {
    this.#waiting.delete(waiting)
    if (answered) this.#silent = 0
  }

  /** Asks it no more, and everybody who waits decides otherwise. */
  give(why: string): void {
    if (!this.open) {
      this.open = true
      this.#trip(why)
    }
    const all = [...this.#waiting]
    this.close()
    for (const waiting of all) waiting.giveUp()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#waiting.clear()
  }

  #look(): void {
    if (this.#waiting.size === 0) {
      this.close()
      return
    }
    const now = performance.now()
    const passed = now - this.#last
    const step = passed > PUNCTUAL ? BUSY : this.#silent >= SUSPICIOUS ? passed * turns() : passed
    this.#last = now
    this.#counted += step
    this.#silent += step
    if (this.#why() === undefined) return
    // What has arrived by now is read between the timers and this.
    setImmediate(() => {
      const why = this.#why()
      if (why !== undefined) this.give(why)
    })
  }

  #why(): string | undefined {
    // In the order in which they were asked.
    const [oldest] = this.#waiting
    if (oldest === undefined) return undefined
    if (this.#silent >= SILENCE) return 'it does not answer'
    return this.#counted - oldest.since >= PATIENCE || performance.now() - oldest.at >= ENOUGH ? 'it answers too late' : undefined
  }
}

/** What part of the time who wants to run on this machine does (proc_loadavg(5): running/all). 1 where nobody knows. */
function turns(): number {
  try {
    return Math.min(1, availableParallelism() / Number(/ (\d+)\//.exec(readFileSync('/proc/loadavg', 'latin1'))?.[1] ?? 1))
  } catch {
    return 1
  }
}
