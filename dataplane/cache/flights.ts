/**
 * What became of the request that the others waited for. `unkept`: its answer is for nobody else, and the next one's would
 * not be either. `stale`: its backend failed, and an old answer stood in.
 */
export type Landing = 'kept' | 'unkept' | 'failed' | 'stale'

/** One request on its way to a backend, and those that wait for its answer. */
export class Flight {
  readonly #waiting = new Set<(landing: Landing) => void>()
  readonly #over: () => void
  #landing: Landing | undefined
  #lonely: (() => void) | undefined

  constructor(over: () => void) {
    this.#over = over
  }

  /** Its own client has left. False: nobody else waits. @param lonely called once that is so */
  outlives(lonely: () => void): boolean {
    if (this.#landing !== undefined || this.#waiting.size === 0) return false
    this.#lonely = lonely
    return true
  }

  /** @returns what to call by whoever waits no longer */
  join(landed: (landing: Landing) => void): () => void {
    if (this.#landing === undefined) this.#waiting.add(landed)
    else landed(this.#landing)
    return () => {
      if (this.#waiting.delete(landed) && this.#waiting.size === 0) this.#lonely?.()
    }
  }

  /** Counts once. */
  land(landing: Landing): void {
    if (this.#landing !== undefined) return
    this.#landing = landing
    this.#over()
    for (const landed of this.#waiting) landed(landing)
    this.#waiting.clear()
  }
}

/** How long nobody waits for an answer like one that was not for others. Milliseconds. */
const unkeptFor = 10_000
const unkeptMax = 10_000

/** The flights of one cache, by the key of what they are to bring. */
export class Flights {
  readonly #flights = new Map<string, Flight>()
  /** Keys whose last answer was for nobody else, and until when that is believed. */
  readonly #unkept = new Map<string, number>()

  under(key: string): Flight | undefined {
    return this.#flights.get(key)
  }

  /** Undefined: who asks for this goes alone. */
  begin(key: string, now: number): Flight | undefined {
    const until = this.#unkept.get(key)
    if (until !== undefined && until > now) return undefined
    this.#unkept.delete(key)
    const flight = new Flight(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }

  /** The answer to this was not for others. */
  unkept(key: string, now: number): void {
    if (this.#unkept.size >= unkeptMax) this.#unkept.clear()
    this.#unkept.set(key, now + unkeptFor)
  }
}
