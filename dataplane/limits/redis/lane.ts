import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** What follows is in parts of the patience with a server, a time as `Lane` counts it: after so much silence it is taken for stalled. */
const SILENCE = 0.64
/** The same for one question that others overtake: the server is too slow. */
const OVERTAKEN = 2.4
/** After so long, however busy anything is. */
const ENOUGH = 10
/** From so much silence on the machine is asked how busy it is. */
const SUSPICIOUS = 0.16

/** How often it is looked at. Milliseconds. */
const TICK = 4
/** A look that comes later than this says that this process is busy, and counts for little. */
const PUNCTUAL = 6
const BUSY = 1

/** A question that is not answered yet. */
export type Waiting = { giveUp(): void; since: number; at: number }

export type LaneDeps = Readonly<{
  /** Called when the server is given up, before those that wait are told. */
  trip: (why: string) => void
  /** For how long an idle machine waits for an answer, at most. Milliseconds. */
  patience: number
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
  /** What part of the time who wants to run on this machine does, up to 1. */
  turns?: () => number
}>

/**
 * The questions that one server has not answered yet, and whether it is still asked. A server is given up when it says
 * nothing for most of the patience while something waits. A plain timeout would fire whenever this process is busy: answers lie in
 * the socket, and nobody reads them, and a server on the same machine waits for its turn as we do. So time counts in
 * looks, those of a busy process for next to nothing and at a crowded machine for less, and before the last word the
 * socket is read once more.
 */
export class Lane {
  /** The server is not asked: the shared counts are out of reach. */
  open = false
  readonly #deps: Required<LaneDeps>
  readonly #waiting = new Set<Waiting>()
  #timer: NodeJS.Timeout | undefined
  #last = 0
  /** Time as it is counted here, since the beginning, and since the last answer. */
  #counted = 0
  #silent = 0

  constructor(deps: LaneDeps) {
    this.#deps = { now: () => performance.now(), turns: turnsOfMachine, ...deps }
  }

  add(giveUp: () => void): Waiting {
    const waiting = { giveUp, since: this.#counted, at: this.#deps.now() }
    this.#waiting.add(waiting)
    if (this.#timer === undefined) {
      this.#silent = 0
      this.#last = this.#deps.now()
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
      this.#deps.trip(why)
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
    const { now, patience, turns } = this.#deps
    const at = now()
    const passed = at - this.#last
    const step = passed > PUNCTUAL ? BUSY : this.#silent >= SUSPICIOUS * patience ? passed * turns() : passed
    this.#last = at
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
    const { now, patience } = this.#deps
    if (this.#silent >= SILENCE * patience) return 'it does not answer'
    const late = this.#counted - oldest.since >= OVERTAKEN * patience || now() - oldest.at >= ENOUGH * patience
    return late ? 'it answers too late' : undefined
  }
}

/** What part of the time who wants to run on this machine does (proc_loadavg(5): running/all). 1 where nobody knows. */
function turnsOfMachine(): number {
  try {
    return Math.min(1, availableParallelism() / Number(/ (\d+)\//.exec(readFileSync('/proc/loadavg', 'latin1'))?.[1] ?? 1))
  } catch {
    return 1
  }
}
